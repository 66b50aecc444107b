"""Reading the network of a run folder from its hyperparams.yaml as data: nothing in the file is executed.

The file must be conformer_ctc.yaml with its placeholders filled. The network is built from this project's
conformer_ctc.yaml and the values of the file, so that an untrusted file decides numbers only.
"""

from pathlib import Path
from typing import Any

from atc_asr.core.config import make_section
from atc_asr.core.errors import InputError
from atc_asr.model import network
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.model.plain_hparams import Made, PlainHparams

LAYER_COST = 1 << 16  # numbers; limits layers without weights, which cost time
SPARE = 1 << 26  # numbers that a network may have beyond its file of weights


def read_network(path: Path, weights: Path, num_tokens: int) -> str:
    """HyperPyYAML of a stored network, safe to build.

    Args:
        path: hyperparams.yaml of a run folder.
        weights: model.ckpt; a network that is much larger is refused before it takes memory.
        num_tokens: V.

    Raises:
        InputError: the file describes no network of this project, or values that contradict each other.
    """
    content, own = PlainHparams(path).content, PlainHparams(network.HPARAMS_FILE).content
    for key, wanted in own.items():
        placeholder = isinstance(wanted, Made) and wanted.tag == "PLACEHOLDER"
        if key not in content or not (placeholder or repr(content[key]) == repr(wanted)):
            found = "is missing" if key not in content else "is not that of this project's network"
            raise InputError(f"{path}: {key}: {found}; only --trust builds other networks, which can run any code")
    if content["num_tokens"] != num_tokens:
        got = content["num_tokens"]
        raise InputError(f"{path.parent}: the network has {got!r} outputs, tokens.txt has {num_tokens} tokens")
    model, specaugment = _sections(path, content)
    if _count_numbers(model, num_tokens) > weights.stat().st_size + SPARE:
        raise InputError(f"{path}: the network is much larger than {weights.name}")
    try:
        values = network.hparams_values(model, specaugment, num_tokens)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for key in set(values) - set(ModelParams.model_fields) - set(SpecAugmentParams.model_fields):
        got = content[key]
        got = f"!{got.tag}" if isinstance(got, Made) else got
        if got != values[key]:
            raise InputError(f"{path}: {key}: got {got!r}, wanted {values[key]!r} as the other values and the tokens")
    return network.fill_placeholders(network.HPARAMS_FILE, values)


def _sections(path: Path, content: dict[str, Any]) -> tuple[ModelParams, SpecAugmentParams]:
    """The sections of params.yaml that give the values of a file."""
    strides, activation = content["strides"], content["conformer_activation"]
    tag = activation.tag if isinstance(activation, Made) else None
    derived = {
        "frame_ms": next((ms for ms, pair in network.STRIDES.items() if _begins(strides, pair)), strides),
        "activation": next((key for key, name in network.ACTIVATIONS.items() if tag == f"name:{name}"), tag),
    }
    values = content | derived
    model = make_section(ModelParams, {key: values.get(key) for key in ModelParams.model_fields}, str(path))
    keys = SpecAugmentParams.model_fields
    return model, make_section(SpecAugmentParams, {key: values.get(key) for key in keys}, str(path))


def _begins(values: Any, wanted: tuple[int, ...]) -> bool:
    return isinstance(values, list) and values[: len(wanted)] == list(wanted)


def _count_numbers(model: ModelParams, num_tokens: int) -> int:
    """About as many numbers as the network has."""
    layer = 8 * model.d_model**2 + model.d_model * (4 * model.d_ffn + model.kernel_size) + LAYER_COST
    blocks, channels = 0, 1
    for width, kernel in zip(model.front_end_channels, model.front_end_kernels, strict=False):
        blocks += channels * width * kernel**2 + LAYER_COST
        channels = width
    bands = 8 * model.n_mels * model.n_fft + channels * model.n_mels * model.d_model
    return model.num_layers * layer + blocks + bands + num_tokens * model.d_model
