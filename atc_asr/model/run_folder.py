"""The run folder: all files of a trained recogniser. It depends on no file outside.

    hyperparams.yaml    the network, resolved, as SpeechBrain's EncoderASR.from_hparams(source=…) reads it
    model.ckpt          front-end, Conformer and CTC head
    normalizer.ckpt     global CMVN
    tokenizer.ckpt      the tokens, as SpeechBrain reads them
    tokens.txt          the tokens, as atc_asr.tokenizer.tokens reads them (with spm.model for SentencePiece)
    checkpoints/        SpeechBrain Checkpointer, with the optimiser; weights that are not trained are in frozen.ckpt
    train_log.txt  curves.csv  metrics.json  model_card.json  README.md (the model card of the Hub)

hyperparams.yaml is HyperPyYAML, which can run code when it is loaded. It is read as data here (stored_network).

B utterances, S samples, T encoder frames, V tokens.
"""

import io
import math
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from speechbrain.dataio.encoder import CTCTextEncoder

from atc_asr.core import files, outputs
from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import one_line
from atc_asr.model import network
from atc_asr.model.stored_network import read_network
from atc_asr.tokenizer.tokens import BLANK, SPACE, Tokens

HPARAMS = "hyperparams.yaml"
MODEL = "model.ckpt"
NORMALIZER = "normalizer.ckpt"
TOKENIZER = "tokenizer.ckpt"
CHECKPOINTS = "checkpoints"
FROZEN = "frozen.ckpt"  # weights that are not trained; checkpoints hold the others
TRAIN_LOG = "train_log.txt"
CURVES = "curves.csv"
CARD, METRICS, README = "model_card.json", "metrics.json", "README.md"

SPEECHBRAIN_TOKENIZER = {
    "char": "speechbrain.dataio.encoder.CTCTextEncoder",
    "spm": "sentencepiece.SentencePieceProcessor",
}
INFERENCE = """
# For SpeechBrain's EncoderASR
tokenizer: !new:{tokenizer}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        model: !ref <model>
        normalizer: !ref <normalizer>
        tokenizer: !ref <tokenizer>
"""


class Recognizer:
    """A trained network, ready to turn waveforms into log-probabilities.

    Attributes:
        frame_seconds: duration of an encoder frame.
        sample_rate: of the waveforms, in Hz.
        encoder: the modules of the network by name.
    """

    def __init__(self, hparams: SimpleNamespace, tokens: Tokens, device: torch.device) -> None:
        self.tokens = tokens
        self.device = device
        self.sample_rate = int(hparams.sample_rate)
        self.frame_seconds = hparams.hop_length / 1000 * math.prod(hparams.strides)
        self.encoder = hparams.encoder.to(device).eval()
        self.encoder["normalizer"].to(device)  # its statistics are no buffers, so Module.to above leaves them

    @torch.no_grad()  # inference_mode would spoil the RoPE sines that SpeechBrain caches for a later training
    def log_probs(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Natural log-probabilities (B, T, V) float32, and (B,) int64 frames that are audio.

        Args:
            wavs: (B, S) float32 in [-1, 1).
            wav_lens: (B,) relative lengths: fraction of S that is audio.
        """
        num_samples = (wav_lens * wavs.shape[1]).round().long()
        return network.forward(self.encoder, wavs.to(self.device), num_samples.to(self.device))


def save_weights(folder: Path, *, hparams_text: str, hparams: SimpleNamespace, tokens: Tokens) -> None:
    """Write hyperparams.yaml, the weights and the tokens into an existing run folder.

    `hparams` are the objects built from the filled HyperPyYAML `hparams_text`, trained, with adapters merged.
    """
    hparams_text += INFERENCE.format(tokenizer=SPEECHBRAIN_TOKENIZER[tokens.kind])
    files.write_text(folder / HPARAMS, hparams_text, outputs.ANY)
    states = {MODEL: hparams.model.state_dict(), NORMALIZER: hparams.normalizer._statistics_dict()}
    for name, state in states.items():
        archive = io.BytesIO()  # written to a path, it would contain the random name of the partial file
        torch.save(state, archive)
        with outputs.new_file(folder / name, outputs.ANY) as partial:
            partial.write_bytes(archive.getbuffer())
    tokens.save(folder)
    with outputs.new_file(folder / TOKENIZER, outputs.ANY) as partial:
        if tokens.spm_model is not None:
            partial.write_bytes(tokens.spm_model)
        else:
            encoder = CTCTextEncoder()
            encoder.insert_blank(blank_label=BLANK, index=0)
            encoder.update_from_iterable((" " if symbol == SPACE else symbol for symbol in tokens.symbols[1:]), False)
            encoder.save(partial)


def load_state(path: Path) -> dict:
    """Load a state dict; only tensors and plain values are unpickled.

    Raises:
        InputError: the file is missing, incomplete, or contains other objects.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                    raise ValueError("is compressed, wanted a file of torch.save")
        with warnings.catch_warnings(action="ignore"):  # of sparse tensors
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, wanted a finished run folder") from error
    except Exception as error:  # damaged files raise almost anything, besides UnpicklingError and RuntimeError
        raise InputError(f"{path}: cannot be loaded (incomplete, or not only weights): {one_line(error)}") from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path}: got {type(state).__name__}, wanted tensors by name")
    return state


def load_statistics(path: Path, n_mels: int) -> dict[str, Any]:
    """Load the global statistics of a normaliser: `count`, `glob_mean` and `glob_std` (F,).

    Raises:
        InputError: the file cannot be used, or has other statistics.
    """
    found = load_state(path)
    if not isinstance(found.get("count"), int | float | torch.Tensor):
        raise InputError(f"{path}: has no count, wanted the statistics of a global InputNormalization")
    for name in ("glob_mean", "glob_std"):
        value = found.get(name)
        shape = tuple(getattr(value, "shape", ()))
        if not isinstance(value, torch.Tensor) or shape != (n_mels,) or not value.isfinite().all():
            raise InputError(f"{path}: {name}: got shape {shape}, wanted ({n_mels},) finite numbers")
    return {name: found[name] for name in ("count", "glob_mean", "glob_std")}


def load_recognizer(
    run_dir: Path, *, device: torch.device | str, hparams_file: Path | None = None, trust: bool = False
) -> Recognizer:
    """Load the recogniser of a run folder.

    Args:
        run_dir: the run folder.
        device: of the network.
        hparams_file: the user's HyperPyYAML, executed instead of reading the run folder's. A file with placeholders is
            ignored.
        trust: whether the run folder's hyperparams.yaml is executed, which can run any code; else it is read as data.

    Raises:
        InputError: a file is missing or cannot be used, or the weights do not fit the network.
    """
    tokens = Tokens.load(run_dir)
    path = run_dir / HPARAMS
    for needed in (path, run_dir / MODEL):
        if not needed.is_file():
            raise InputError(f"{needed}: no such file, wanted a finished run folder")
    if hparams_file is not None and not network.PLACEHOLDER.search(files.read_text(hparams_file)):
        path, trust = hparams_file, True
    text = files.read_text(path) if trust else read_network(path, run_dir / MODEL, len(tokens))
    hparams = network.build(text, str(path))
    try:
        hparams.model.load_state_dict(load_state(run_dir / MODEL))
    except (RuntimeError, TypeError) as error:
        raise InputError(f"{run_dir}: weights do not fit {path}: {one_line(error)}") from error
    hparams.normalizer._load_statistics_dict(load_statistics(run_dir / NORMALIZER, hparams.n_mels))
    num_tokens = hparams.ctc_head.w.weight.shape[0]
    if num_tokens != len(tokens):
        raise InputError(f"{run_dir}: the network has {num_tokens} outputs, tokens.txt has {len(tokens)} tokens")
    return Recognizer(hparams, tokens, torch.device(device))
