"""Reading a pretrained network: a SpeechBrain pretrained folder or a run folder, on this machine or on the Hub.

    hyperparams.yaml    read as data (atc_asr.model.plain_hparams), never executed
    model.ckpt          or asr.ckpt, …: the ModuleList with front-end and Conformer that `pretrainer` loads
    normalizer.ckpt     global feature statistics
    tokenizer.ckpt      SentencePiece or CTCTextEncoder

Checkpoints are unpickled as tensors and plain values only. The layouts are those of SpeechBrain's LibriSpeech,
streaming and Loquacious Conformers (recipes/*/ASR/{transformer,transducer}/hparams).
"""

import inspect
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.processing.features import InputNormalization

from atc_asr.core.config import make_section
from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import TOKEN_VARIABLES, one_line, read_token, silence_http_log
from atc_asr.model import network
from atc_asr.model.params import ModelParams
from atc_asr.model.plain_hparams import Made, PlainHparams, Ref
from atc_asr.model.run_folder import HPARAMS, MODEL, NORMALIZER, TOKENIZER, load_state, load_statistics
from atc_asr.tokenizer.tokens import BLANK, SPACE
from atc_asr.training.checkpoints import file_hash

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
MAX_BLOCKS = 100  # of a front-end
ACTIVATIONS = {name.split(".")[-1]: key for key, name in network.ACTIVATIONS.items()}
SPM_CLASS, CHAR_CLASS = "SentencePieceProcessor", "CTCTextEncoder"
WANTED_FOLDER = "wanted a run folder or a SpeechBrain pretrained folder"
WANTED_NETWORK = "wanted one: a Conformer with ConvolutionFrontEnd, TransformerASR and InputNormalization"
# Prefixes of the tensors of our network (conformer_ctc.yaml: model = [front_end, conformer, ctc_head])
FRONT_END, ENCODER, HEAD = "0.", "1.transformer.", "2."
OTHER = "source."  # prefix of the source's tensors that our network does not have


@dataclass(frozen=True)
class Layout:
    """The files of a pretrained folder, and what they contain.

    Attributes:
        architecture: the keys of the section `model` that the source determines.
        model, normalizer: checkpoints of the network and of the feature statistics.
        tokenizer: tokens of the CTC head; None without a CTC head or tokenizer.
        tokenizer_class: SPM_CLASS or CHAR_CLASS.
        prefixes: prefix of the source's tensors -> prefix of ours.
        blank: number of the CTC blank among the source's tokens.
    """

    architecture: Mapping[str, Any]
    model: Path
    normalizer: Path
    tokenizer: Path | None
    tokenizer_class: str
    prefixes: Mapping[str, str]
    blank: int


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network, with its tensors under the names of our network.

    Attributes:
        architecture: as in `Layout`.
        state: name -> tensor; tensors that our network does not have are under `source.`.
        statistics: `count`, `glob_mean` and `glob_std` of the normaliser.
        symbols: token of each row of the CTC head, the blank as `<blank>`; empty without a CTC head.
    """

    architecture: Mapping[str, Any]
    state: Mapping[str, torch.Tensor]
    statistics: Mapping[str, Any]
    symbols: tuple[str, ...]


def locate(source: str) -> Path:
    """The local folder of a source; a Hub name is downloaded.

    Raises:
        InputError: it does not exist or cannot be downloaded; the message never contains the token.
    """
    if Path(source).exists():
        return Path(source)
    where = f"train.init_from {source}: is no local folder and"
    if not HUB_NAME.fullmatch(source):
        raise InputError(f"{where} no Hub name (owner/name), wanted one of them")
    import huggingface_hub  # takes a second to import, which other trainings do not need

    silence_http_log()
    token = read_token()
    try:
        folder = huggingface_hub.snapshot_download(
            source, token=token, allow_patterns=[HPARAMS, "*.ckpt"], ignore_patterns=["lm*.ckpt"]
        )
    except Exception as error:  # huggingface_hub passes on exceptions of httpx and of the file system
        reason = f"{type(error).__name__}: {one_line(error, token)}"
        if not token:
            reason += f"; no token: a gated model needs {' or '.join(TOKEN_VARIABLES)} in the environment or in .env"
        raise InputError(f"{where} cannot be downloaded from the Hub: {reason}") from None
    return Path(folder)


def fingerprint(source: str) -> dict[str, str]:
    """SHA-256 of each file that is read from a source.

    Raises:
        InputError: as `locate` and `read_layout`.
    """
    folder = locate(source)
    layout = read_layout(folder)
    paths = (folder / HPARAMS, layout.model, layout.normalizer, layout.tokenizer)
    return {path.name: file_hash(path) for path in paths if path is not None}


def read_layout(folder: Path) -> Layout:
    """Read hyperparams.yaml of a pretrained folder and find its checkpoints.

    Raises:
        InputError: a file is missing, or the network is no Conformer that the section `model` can describe.
    """
    if not (folder / HPARAMS).is_file():
        raise InputError(f"{folder / HPARAMS}: no such file, {WANTED_FOLDER}")
    hparams = PlainHparams(folder / HPARAMS)
    parts, prefixes = _network(hparams, _only(hparams, "ConvolutionFrontEnd"), _only(hparams, "TransformerASR"))
    _arguments(hparams, InputNormalization, norm_type="global", std_norm=True)
    tokenizer = next(iter(hparams.made(SPM_CLASS, CHAR_CLASS)), None) if HEAD in prefixes.values() else None
    blank = hparams.get("blank_index")
    return Layout(
        architecture=_architecture(hparams),
        model=_checkpoint(hparams, folder, parts, MODEL, "asr.ckpt"),
        normalizer=_checkpoint(hparams, folder, _only(hparams, "InputNormalization"), NORMALIZER),
        tokenizer=_checkpoint(hparams, folder, tokenizer, TOKENIZER) if tokenizer else None,
        tokenizer_class=tokenizer.name if tokenizer else "",
        prefixes=prefixes,
        blank=blank if isinstance(blank, int) else 0,
    )


def _only(hparams: PlainHparams, name: str) -> Made:
    """The object of a class that must be in the file once."""
    found = hparams.made(name)
    if len(found) != 1:
        raise InputError(f"{hparams.path}: has {len(found) or 'no'} {name}, {WANTED_NETWORK}")
    return found[0]


def _arguments(hparams: PlainHparams, of: type, **required: Any) -> dict[str, Any]:
    """Arguments of the only object of a class, with its defaults; classes and functions as names without their modules.

    Raises:
        InputError: an argument is unknown, or differs from the value that our network has.
    """
    made = _only(hparams, of.__name__)
    given = made.arguments or {}
    if not isinstance(given, dict):
        raise InputError(f"{hparams.path}: {made.name}: got {given!r}, wanted arguments by name")
    defaults = {name: item.default for name, item in inspect.signature(of).parameters.items()}
    unknown = sorted(map(str, set(given) - set(defaults)))
    if unknown:
        raise InputError(f"{hparams.path}: {made.name}.{unknown[0]}: is no argument in this version of SpeechBrain")
    values = defaults | {name: hparams.resolve(value) for name, value in given.items()}
    for name, value in values.items():
        values[name] = value.name if isinstance(value, Made) else getattr(value, "__name__", value)
    for name, value in required.items():
        if values[name] != value:
            raise _mismatch(hparams, f"{made.name}.{name}", values[name], f"{value!r}, no model.* key can express it")
    return values


def _mismatch(hparams: PlainHparams, name: str, got: Any, wanted: str) -> InputError:
    return InputError(f"{hparams.path}: {name}: got {got!r}, wanted {wanted}")


def _architecture(hparams: PlainHparams) -> dict[str, Any]:
    """The keys of the section `model` that a source determines: all but the dropout.

    Raises:
        InputError: the network has properties that no key can express.
    """
    features = _arguments(hparams, Fbank, sample_rate=16000, hop_length=10, deltas=False, context=False, f_min=0)
    if features["f_max"] not in (None, 8000):
        raise _mismatch(hparams, "Fbank.f_max", features["f_max"], "8000")
    blocks = _arguments(
        hparams, ConvolutionFrontEnd, num_layers_per_block=1, conv_module="Conv2d", activation="LeakyReLU",
        norm="LayerNorm", conv_bias=True, padding="same",
    )  # fmt: skip
    num_blocks = blocks["num_blocks"]
    if not isinstance(num_blocks, int) or not 1 <= num_blocks <= MAX_BLOCKS:
        raise _mismatch(hparams, "ConvolutionFrontEnd.num_blocks", num_blocks, f"1 to {MAX_BLOCKS}")
    for name in ("residuals", "dilations", "strides", "out_channels", "kernel_sizes"):
        if not isinstance(blocks[name], list | tuple):
            raise _mismatch(hparams, f"ConvolutionFrontEnd.{name}", blocks[name], "a list")
    for name, value in (("residuals", False), ("dilations", 1)):
        if list(blocks[name][:num_blocks]) != [value] * num_blocks:
            wanted = f"{value!r} for each block, no model.* key can express it"
            raise _mismatch(hparams, f"ConvolutionFrontEnd.{name}", blocks[name], wanted)
    strides = list(blocks["strides"][:num_blocks])
    frame_ms = next((ms for ms, pair in network.STRIDES.items() if strides[:2] == list(pair)), None)
    if frame_ms is None or strides[2:] != [1] * (num_blocks - 2):
        wanted = f"{' or '.join(str(list(pair)) for pair in network.STRIDES.values())}, then 1"
        raise _mismatch(hparams, "ConvolutionFrontEnd.strides", strides, wanted)
    layers = _arguments(
        hparams, TransformerASR, encoder_module="conformer", causal=False, bias=True,
        positional_encoding="fixed_abs_sine",
    )  # fmt: skip
    activation = layers["conformer_activation"]
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise _mismatch(hparams, "TransformerASR.conformer_activation", activation, " or ".join(ACTIVATIONS))
    architecture = {
        "frame_ms": frame_ms,
        "n_mels": features["n_mels"],
        "n_fft": features["n_fft"],
        "win_length": features["win_length"],
        "front_end_channels": list(blocks["out_channels"][:num_blocks]),
        "front_end_kernels": list(blocks["kernel_sizes"][:num_blocks]),
        "num_layers": layers["num_encoder_layers"],
        "d_model": layers["d_model"],
        "num_heads": layers["nhead"],
        "d_ffn": layers["d_ffn"],
        "kernel_size": layers["kernel_size"],
        "activation": ACTIVATIONS[activation],
        "attention_type": layers["attention_type"],
    }
    for name, value in architecture.items():
        if isinstance(value, Ref) or not isinstance(value, int | str | list):
            raise InputError(f"{hparams.path}: model.{name}: {value!r} cannot be read without running the file")
    make_section(ModelParams, architecture | {"dropout": 0.0}, f"{hparams.path}: model")
    input_size = math.ceil(architecture["n_mels"] / math.prod(strides)) * architecture["front_end_channels"][-1]
    if layers["input_size"] != input_size:
        raise _mismatch(hparams, "TransformerASR.input_size", layers["input_size"], str(input_size))
    return architecture


def _network(hparams: PlainHparams, front_end: Made, transformer: Made) -> tuple[Made, dict[str, str]]:
    """The ModuleList that is saved, and prefix of its tensors -> prefix of ours."""
    for parts in hparams.made("ModuleList"):
        entries = parts.arguments if isinstance(parts.arguments, list) else []
        if len(entries) == 1 and isinstance(entries[0], list):
            entries = entries[0]
        prefixes = {}
        for number, entry in enumerate(entries):
            value = hparams.resolve(entry)
            kind = value.name if isinstance(value, Made) else ""
            if value is front_end:
                prefixes[f"{number}."] = FRONT_END
            elif value is transformer:
                prefixes[f"{number}."] = ENCODER
            elif kind == "EncoderWrapper":
                prefixes[f"{number}.transformer."] = ENCODER
            elif kind == "Linear" and isinstance(entry, Ref) and "ctc" in entry:
                prefixes[f"{number}."] = HEAD
        if FRONT_END not in prefixes.values():
            continue
        if ENCODER not in prefixes.values():
            raise InputError(f"{hparams.path}: the network that it loads has no encoder, wanted a TransformerASR")
        return parts, prefixes
    raise InputError(f"{hparams.path}: has no ModuleList with the front-end, wanted `model` or `asr_model`")


def _checkpoint(hparams: PlainHparams, folder: Path, made: Made, *usual: str) -> Path:
    """The file that an object is loaded from: named after its key in the Pretrainer's loadables, or a usual name."""
    names = []
    for pretrainer in hparams.made("Pretrainer")[:1]:
        arguments = pretrainer.arguments
        loadables = hparams.resolve(arguments.get("loadables")) if isinstance(arguments, dict) else None
        if not isinstance(loadables, dict):
            raise InputError(f"{hparams.path}: Pretrainer: got {arguments!r}, wanted a mapping of loadables")
        names += [f"{name}.ckpt" for name, value in loadables.items() if hparams.resolve(value) is made]
    candidates = list(dict.fromkeys([*names, *usual]))
    for name in candidates:
        path = folder / Path(name).name  # only the last part, so that no file outside of the folder is read
        if os.path.isfile(path):  # Path.is_file raises an error for a name that is too long
            return path
    raise InputError(f"{folder}: has no {' or '.join(candidates)}, {WANTED_FOLDER}")


def load(folder: Path) -> Pretrained:
    """Read a pretrained folder.

    Raises:
        InputError: a file is missing or incomplete, or does not fit the others.
    """
    layout = read_layout(folder)
    state = {}
    for name, tensor in load_state(layout.model).items():
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"{layout.model}: {name}: got {type(tensor).__name__}, wanted a tensor")
        prefix = next((prefix for prefix in layout.prefixes if name.startswith(prefix)), None)
        state[OTHER + name if prefix is None else layout.prefixes[prefix] + name.removeprefix(prefix)] = tensor
    if not any(name.startswith(f"{ENCODER}encoder.") for name in state):
        raise InputError(f"{layout.model}: has no tensor of an encoder, wanted names like 1.encoder.layers.0.…")
    symbols = _symbols(layout)
    heads = {tuple(tensor.shape[:1]) for name, tensor in state.items() if name.startswith(HEAD)}
    if symbols and heads - {(len(symbols),)}:
        rows = " or ".join(str(shape[0]) if shape else "0" for shape in heads)
        head = f"the CTC head in {layout.model.name} has {rows} rows"
        raise InputError(f"{layout.tokenizer}: has {len(symbols)} tokens, {head}")
    return Pretrained(
        layout.architecture, state, load_statistics(layout.normalizer, layout.architecture["n_mels"]), symbols
    )


def _symbols(layout: Layout) -> tuple[str, ...]:
    """Token of each output, written as in tokens.txt; none without a tokenizer."""
    path, blank = layout.tokenizer, layout.blank
    if path is None:
        return ()
    try:
        if layout.tokenizer_class == SPM_CLASS:
            pieces = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
            symbols = [pieces.id_to_piece(number) for number in range(len(pieces))]
        else:
            encoder = CTCTextEncoder()
            encoder.load(path)
            symbols = [str(encoder.ind2lab[number]) for number in range(len(encoder.ind2lab))]
    except Exception as error:  # damaged files raise almost anything
        raise InputError(f"{path}: cannot be read as {layout.tokenizer_class}: {one_line(error)}") from error
    if not 0 <= blank < len(symbols):
        raise InputError(f"{path}: has {len(symbols)} tokens, but the blank is number {blank}")
    symbols[blank] = BLANK
    return tuple(SPACE if symbol == " " else symbol for symbol in symbols)
