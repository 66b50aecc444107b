"""A trained network to start from: a SpeechBrain pretrained folder on this machine or on the Hub, ours among them.

    hyperparams.yaml    read as data (atc_asr.training.plain_hparams), never executed
    model.ckpt          or asr.ckpt …: the ModuleList that `pretrainer` loads, with front-end and Conformer in it
    normalizer.ckpt     global CMVN
    tokenizer.ckpt      SentencePiece or CTCTextEncoder

Checkpoints are unpickled as tensors and plain values only. Read with the layouts of SpeechBrain's LibriSpeech,
streaming and Loquacious Conformers in mind, whose recipes are recipes/*/ASR/{transformer,transducer}/hparams.
"""

import inspect
import logging
import math
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

from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import TOKEN_VARIABLES, one_line, read_token
from atc_asr.model import network
from atc_asr.model.run_folder import HPARAMS, MODEL, NORMALIZER, TOKENIZER, load_state
from atc_asr.tokenizer.tokens import BLANK, SPACE
from atc_asr.training.checkpoints import file_hash
from atc_asr.training.plain_hparams import Made, PlainHparams, Ref

log = logging.getLogger(__name__)

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HUB_FILES = {"allow_patterns": [HPARAMS, "*.ckpt"], "ignore_patterns": ["lm*.ckpt"]}
FRAME_MS = {tuple(strides): frame_ms for frame_ms, strides in network.STRIDES.items()}
ACTIVATION = {name.split(".")[-1]: key for key, name in network.ACTIVATIONS.items()}
SPM_CLASS, CHAR_CLASS = "SentencePieceProcessor", "CTCTextEncoder"
# Prefixes of our own network's tensors (conformer_ctc.yaml: model = [front_end, conformer, ctc_head])
FRONT_END, ENCODER, HEAD, ELSEWHERE = "0.", "1.transformer.", "2.", "source."


@dataclass(frozen=True)
class Layout:
    """Where in a pretrained folder what is.

    Attributes:
        architecture: fields of the section `model` that the source decides.
        model: the checkpoint of the network.
        normalizer: the checkpoint of the feature statistics.
        tokenizer: the units of the CTC head; None when there are none that can be read.
        tokenizer_class: SPM_CLASS or CHAR_CLASS.
        prefixes: prefix of the source's tensors -> prefix of ours.
        blank: number of the CTC blank among the source's units.
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
    """A network to start from, its tensors under our own network's names.

    Attributes:
        architecture: fields of the section `model` that it decides.
        state: name -> tensor; what has no place in our network is under `source.`.
        statistics: the normaliser's `count`, `glob_mean`, `glob_std`.
        symbols: unit of each row of the CTC head, the blank as `<blank>`; none when it has no head.
    """

    architecture: Mapping[str, Any]
    state: Mapping[str, torch.Tensor]
    statistics: Mapping[str, Any]
    symbols: tuple[str, ...]


def locate(source: str) -> Path:
    """The folder of a source on this machine, downloaded when it is a Hub name.

    Raises:
        InputError: it cannot be had; the token is never in the message.
    """
    if Path(source).exists():
        return Path(source)
    where = f"train.init_from {source}: is no folder here"
    if not HUB_NAME.fullmatch(source):
        raise InputError(f"{where} and no Hub name (owner/name), wanted one of them")
    import huggingface_hub  # a second that no other start has to wait for

    for client in ("httpx", "httpx2"):  # they log every address, those that are signed included
        logging.getLogger(client).setLevel(logging.WARNING)
    token = read_token()
    try:
        return Path(huggingface_hub.snapshot_download(source, token=token, **HUB_FILES))
    except Exception as error:  # lets through what httpx, the Hub and the file system raise
        reason = f"{type(error).__name__}: {one_line(error, token)}"
        if not token:
            reason += f"; no token: a gated model wants {' or '.join(TOKEN_VARIABLES)} in the environment or in .env"
        raise InputError(f"{where} and cannot be had from the Hub: {reason}") from None


def fingerprint(source: str) -> dict[str, str]:
    """SHA-256 of each file that a start from the source reads.

    Raises:
        InputError: as `locate` and `find`.
    """
    folder = locate(source)
    layout = find(folder)
    paths = (folder / HPARAMS, layout.model, layout.normalizer, layout.tokenizer)
    return {path.name: file_hash(path) for path in paths if path is not None}


def find(folder: Path) -> Layout:
    """What a pretrained folder holds, from its hyperparams.yaml alone.

    Raises:
        InputError: no such folder or file, no Conformer in it, or one that the section `model` cannot express.
    """
    folder = Path(folder)
    path = folder / HPARAMS
    if not path.is_file():
        raise InputError(f"{path}: no such file, wanted a run folder or a SpeechBrain pretrained folder")
    hparams = PlainHparams.read(path)
    front_end = _only(hparams, "ConvolutionFrontEnd")
    transformer = _only(hparams, "TransformerASR")
    parts = _network(hparams, front_end)
    prefixes = _prefixes(hparams, parts, front_end, transformer)
    normalizer = _only(hparams, "InputNormalization")
    _fixed(hparams, normalizer, InputNormalization, norm_type="global", std_norm=True)
    units = [value for value in hparams.values() if isinstance(value, Made) and value.name in (SPM_CLASS, CHAR_CLASS)]
    has_head = HEAD in prefixes.values()
    blank = hparams.get("blank_index")
    return Layout(
        architecture=_architecture(hparams, front_end, transformer),
        model=_file(hparams, folder, parts, MODEL, "asr.ckpt"),
        normalizer=_file(hparams, folder, normalizer, NORMALIZER),
        tokenizer=_file(hparams, folder, units[0], TOKENIZER) if units and has_head else None,
        tokenizer_class=units[0].name if units else "",
        prefixes=prefixes,
        blank=blank if isinstance(blank, int) else 0,
    )


def _only(hparams: PlainHparams, name: str) -> Made:
    found = {id(value): value for value in hparams.values() if isinstance(value, Made) and value.name == name}
    if len(found) != 1:
        wanted = "wanted one: a Conformer with ConvolutionFrontEnd, TransformerASR and InputNormalization"
        raise InputError(f"{hparams.where}: has {len(found) or 'no'} {name}, {wanted}")
    return next(iter(found.values()))


def _arguments(hparams: PlainHparams, made: Made, of: type) -> dict[str, Any]:
    """Arguments of a made thing, those that are not given as its class in SpeechBrain has them; names of classes and
    functions without their modules."""
    given = made.arguments or {}
    if not isinstance(given, dict):
        raise InputError(f"{hparams.where}: {made.name}: got {given!r}, wanted arguments by name")
    known = {name: item.default for name, item in inspect.signature(of).parameters.items()}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"{hparams.where}: {made.name}.{unknown[0]}: is no argument that this SpeechBrain knows")
    values = known | {name: hparams.resolve(value) for name, value in given.items()}
    return {
        name: getattr(value, "__name__", None) or (value.name if isinstance(value, Made) else value)
        for name, value in values.items()
    }


def _fixed(hparams: PlainHparams, made: Made, of: type, **wanted: Any) -> dict[str, Any]:
    """The arguments of a made thing, refused when one of them is not as our network has it."""
    values = _arguments(hparams, made, of)
    for name, value in wanted.items():
        if values[name] != value:
            got = f"got {values[name]!r}, wanted {value!r}, no model.* key can express it"
            raise InputError(f"{hparams.where}: {made.name}.{name}: {got}")
    return values


def _architecture(hparams: PlainHparams, front_end: Made, transformer: Made) -> dict[str, Any]:
    """The section `model` of a source, without its dropout."""
    fbank = _only(hparams, "Fbank")
    features = _fixed(hparams, fbank, Fbank, sample_rate=16000, hop_length=10, deltas=False, context=False, f_min=0)
    if features["f_max"] not in (None, 8000):
        raise InputError(f"{hparams.where}: Fbank.f_max: got {features['f_max']!r}, wanted 8000")
    blocks = _fixed(
        hparams, front_end, ConvolutionFrontEnd, num_layers_per_block=1, conv_module="Conv2d", activation="LeakyReLU",
        norm="LayerNorm", conv_bias=True, padding="same",
    )  # fmt: skip
    num_blocks = blocks["num_blocks"]
    for name, value in (("residuals", False), ("dilations", 1)):
        if list(blocks[name][:num_blocks]) != [value] * num_blocks:
            got = f"got {blocks[name]!r}, wanted {value!r} for each block, no model.* key can express it"
            raise InputError(f"{hparams.where}: ConvolutionFrontEnd.{name}: {got}")
    strides = list(blocks["strides"][:num_blocks])
    if tuple(strides[:2]) not in FRAME_MS or strides[2:] != [1] * (num_blocks - 2):
        known = " or ".join(str(list(known)) for known in FRAME_MS)
        raise InputError(f"{hparams.where}: ConvolutionFrontEnd.strides: got {strides}, wanted {known}, then 1")
    layers = _fixed(
        hparams, transformer, TransformerASR, encoder_module="conformer", causal=False, bias=True,
        positional_encoding="fixed_abs_sine",
    )  # fmt: skip
    if layers["conformer_activation"] not in ACTIVATION:
        got = f"got {layers['conformer_activation']!r}, wanted {' or '.join(ACTIVATION)}"
        raise InputError(f"{hparams.where}: TransformerASR.conformer_activation: {got}")
    found = {
        "frame_ms": FRAME_MS[tuple(strides[:2])],
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
        "activation": ACTIVATION[layers["conformer_activation"]],
        "attention_type": layers["attention_type"],
    }
    for name, value in found.items():
        if not isinstance(value, int | str | list):
            raise InputError(f"{hparams.where}: model.{name}: {value!r} cannot be read without running the file")
    bands = math.ceil(found["n_mels"] / math.prod(strides))
    if layers["input_size"] != bands * found["front_end_channels"][-1]:
        got = f"got {layers['input_size']!r}, wanted {bands * found['front_end_channels'][-1]}"
        raise InputError(f"{hparams.where}: TransformerASR.input_size: {got}")
    return found


def _network(hparams: PlainHparams, front_end: Made) -> Made:
    """The ModuleList that holds the front-end."""
    for value in hparams.values():
        is_list = isinstance(value, Made) and value.name == "ModuleList"
        if is_list and any(hparams.resolve(entry) is front_end for entry in _entries(value)):
            return value
    raise InputError(f"{hparams.where}: has no ModuleList with the front-end in it, wanted `model` or `asr_model`")


def _entries(parts: Made) -> list[Any]:
    """The entries of a ModuleList, as they are written."""
    given = parts.arguments if isinstance(parts.arguments, list) else []
    return given[0] if len(given) == 1 and isinstance(given[0], list) else given


def _prefixes(hparams: PlainHparams, parts: Made, front_end: Made, transformer: Made) -> dict[str, str]:
    """Prefix of the source's tensors -> prefix of ours, for front-end, encoder and, when there is one, CTC head."""
    prefixes = {}
    for number, entry in enumerate(_entries(parts)):
        value = hparams.resolve(entry)
        kind = value.name if isinstance(value, Made) else ""
        if value is front_end:
            prefixes[f"{number}."] = FRONT_END
        elif value is transformer:
            prefixes[f"{number}."] = ENCODER
        elif kind == "EncoderWrapper":
            prefixes[f"{number}.transformer."] = ENCODER
        elif kind == "Linear" and isinstance(entry, Ref) and "ctc" in entry.text:
            prefixes[f"{number}."] = HEAD
    if ENCODER not in prefixes.values():
        raise InputError(f"{hparams.where}: the network that it loads has no encoder, wanted a TransformerASR")
    return prefixes


def _file(hparams: PlainHparams, folder: Path, thing: Made, *usual: str) -> Path:
    """The checkpoint that a thing is loaded from: `<name>.ckpt` for its name among the loadables.

    Raises:
        InputError: it is not in the folder.
    """
    pretrainers = [value for value in hparams.values() if isinstance(value, Made) and value.name == "Pretrainer"]
    loadables = pretrainers[0].arguments.get("loadables") if pretrainers else {}
    names = [f"{name}.ckpt" for name, value in (loadables or {}).items() if hparams.resolve(value) is thing]
    candidates = list(dict.fromkeys([*names, *usual]))
    for name in candidates:
        path = folder / Path(name).name  # a name, not a path: nothing outside of the folder is read
        if path.is_file():
            return path
    wanted = "wanted a run folder or a SpeechBrain pretrained folder"
    raise InputError(f"{folder}: has no {' or '.join(candidates)}, {wanted}")


def load(folder: Path) -> Pretrained:
    """Read a pretrained folder.

    Raises:
        InputError: a file is missing, cut short, or belongs to another network or other units.
    """
    layout = find(folder)
    state = {}
    for name, tensor in load_state(layout.model).items():
        prefix = next((prefix for prefix in layout.prefixes if name.startswith(prefix)), None)
        state[ELSEWHERE + name if prefix is None else layout.prefixes[prefix] + name.removeprefix(prefix)] = tensor
    if not any(name.startswith(f"{ENCODER}encoder.") for name in state):
        raise InputError(f"{layout.model}: has no tensor of an encoder, wanted names as 1.encoder.layers.0.…")
    symbols = _symbols(layout) if layout.tokenizer is not None else ()
    rows = next((len(tensor) for name, tensor in state.items() if name.startswith(HEAD)), 0)
    if symbols and rows and rows != len(symbols):
        raise InputError(
            f"{layout.tokenizer}: has {len(symbols)} units, the CTC head in {layout.model.name} {rows} rows"
        )
    return Pretrained(layout.architecture, state, _statistics(layout), symbols)


def _statistics(layout: Layout) -> dict[str, Any]:
    """The normaliser's statistics; older checkpoints hold those of speakers too, which are left."""
    found = load_state(layout.normalizer)
    n_mels = layout.architecture["n_mels"]
    if not isinstance(found, dict) or "count" not in found:
        raise InputError(f"{layout.normalizer}: has no count, wanted the statistics of a global InputNormalization")
    for name in ("glob_mean", "glob_std"):
        shape = tuple(getattr(found.get(name), "shape", ()))
        if shape != (n_mels,):
            raise InputError(f"{layout.normalizer}: {name}: got shape {shape}, wanted ({n_mels},)")
    return {name: found[name] for name in ("count", "glob_mean", "glob_std")}


def _symbols(layout: Layout) -> tuple[str, ...]:
    """Unit of each output, spelt as in our tokens."""
    path = layout.tokenizer
    try:
        if layout.tokenizer_class == SPM_CLASS:
            pieces = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
            symbols = [pieces.id_to_piece(number) for number in range(len(pieces))]
        else:
            encoder = CTCTextEncoder()
            encoder.load(path)
            symbols = [str(encoder.ind2lab[number]) for number in range(len(encoder.ind2lab))]
    except (RuntimeError, ValueError, KeyError, SyntaxError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as {layout.tokenizer_class}: {' '.join(str(error).split())[:200]}"
        ) from error
    symbols = [SPACE if symbol == " " else symbol for symbol in symbols]
    if not 0 <= layout.blank < len(symbols):
        raise InputError(f"{path}: has {len(symbols)} units, and the blank is number {layout.blank}")
    symbols[layout.blank] = BLANK
    return tuple(symbols)
