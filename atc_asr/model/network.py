"""The network: building it from params.yaml and conformer_ctc.yaml, and its forward pass.

    waveforms -> log-mel features -> global normalisation -> convolutional front-end -> Conformer -> CTC head

HyperPyYAML files can run code when they are loaded: load only this project's or your own.

B utterances, S samples, F mel bands, T encoder frames, D width, V tokens. A step is 10 ms of features.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml.error import YAMLError
from speechbrain.utils.distributed import get_local_rank

from atc_asr.core.errors import InputError
from atc_asr.model.convolutions import front_end, mask_convolutions
from atc_asr.model.params import ModelParams, SpecAugmentParams

HPARAMS_FILE = Path(__file__).with_name("conformer_ctc.yaml")
PLACEHOLDER = re.compile(r"^(\w+):[ \t]*!PLACEHOLDER", flags=re.MULTILINE)

SAMPLE_RATE = 16_000  # Hz
HOP = SAMPLE_RATE // 100  # samples in a step
STEP_MULTIPLE = 16  # steps of a batch are a multiple of it, because oneDNN compiles kernels for each new shape
STATISTICS_TAKEN = 1_000_000  # epoch number that makes InputNormalization use its statistics without updating them
# Strides of the first two front-end blocks, in time and frequency. An encoder frame is both times the 10 ms hop.
STRIDES = {20: (2, 1), 40: (2, 2)}
ACTIVATIONS = {"swish": "speechbrain.nnet.activations.Swish", "gelu": "torch.nn.GELU"}
NAME_TAG = "!name:"  # HyperPyYAML's tag of a class

# Importing SpeechBrain allows TF32. Here float32 on a GPU is float32: log-probabilities are those of a CPU to 1e-3.
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

Count = TypeVar("Count", int, torch.Tensor)


def count_steps(num_samples: Count) -> Count:
    """Number of steps of a 16 kHz waveform: hops with centred windows."""
    return num_samples // HOP + 1


def count_frames(num_samples: int, frame_ms: int) -> int:
    """Number of encoder frames of a 16 kHz waveform: its steps, divided by both strides and rounded up."""
    return math.ceil(count_steps(num_samples) / math.prod(STRIDES[frame_ms]))


def padded_samples(num_samples: int) -> int:
    """Number of samples of a batch whose longest utterance has `num_samples`."""
    rounded = math.ceil(count_steps(num_samples) / STEP_MULTIPLE) * STEP_MULTIPLE
    return rounded * HOP - 1


def padded_seconds(longest: float) -> float:
    """Duration of a batch whose longest utterance lasts `longest` seconds."""
    return padded_samples(round(longest * SAMPLE_RATE)) / SAMPLE_RATE


def pad_waveforms(wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Waveforms (B, S) and relative lengths (B,), padded with zeros to `padded_samples`."""
    num_samples = wavs.shape[1]
    padded = padded_samples(round(wav_lens.max().item() * num_samples))
    return F.pad(wavs, (0, padded - num_samples)), wav_lens * num_samples / padded


def hparams_values(model: ModelParams, specaugment: SpecAugmentParams, num_tokens: int) -> dict[str, Any]:
    """Values of all placeholders: the parameters, and the values derived from them.

    Raises:
        InputError: parameters contradict each other.
    """
    num_blocks = len(model.front_end_channels)
    num_strides = len(STRIDES[model.frame_ms])
    if num_blocks < num_strides:
        raise InputError(f"model.front_end_channels: got {model.front_end_channels}, wanted two numbers or more")
    if len(model.front_end_kernels) != num_blocks or any(kernel % 2 == 0 for kernel in model.front_end_kernels):
        raise InputError(f"model.front_end_kernels: got {model.front_end_kernels}, wanted {num_blocks} odd numbers")
    window = model.win_length * SAMPLE_RATE // 1000
    if window > model.n_fft:
        raise InputError(f"model.n_fft: got {model.n_fft}, wanted at least the {window} samples of win_length")
    if model.d_model % model.num_heads:
        raise InputError(f"model.num_heads: got {model.num_heads}, wanted a divisor of d_model {model.d_model}")
    if model.kernel_size % 2 == 0:
        raise InputError(f"model.kernel_size: got {model.kernel_size}, wanted an odd number")
    strides = [*STRIDES[model.frame_ms], *[1] * (num_blocks - num_strides)]
    bands = math.ceil(model.n_mels / math.prod(strides))
    derived = {
        "num_tokens": num_tokens,
        "num_blocks": num_blocks,
        "strides": strides,
        "residuals": [False] * num_blocks,
        "front_end_size": bands * model.front_end_channels[-1],
        "conformer_activation": NAME_TAG + ACTIVATIONS[model.activation],
    }
    return derived | model.model_dump(exclude={"frame_ms", "activation"}) | specaugment.model_dump()


def fill_placeholders(hparams_file: Path, values: Mapping[str, Any]) -> str:
    """The file's text with every `key: !PLACEHOLDER` replaced by its value.

    Raises:
        InputError: the file cannot be read, has a placeholder without a value, or lacks the placeholder of a value
            (which would then have no effect).
    """
    try:
        text = hparams_file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"--hparams_file {hparams_file}: cannot be read: {error.strerror}") from error
    found = set(PLACEHOLDER.findall(text))
    unknown, unused = sorted(found - set(values)), sorted(set(values) - found)
    if unknown:
        raise InputError(f"{hparams_file}: placeholder {unknown[0]} is no key of params.yaml's model or specaugment")
    if unused:
        raise InputError(f"{hparams_file}: {unused[0]} is no !PLACEHOLDER there, so params.yaml's value has no effect")
    written = {key: value if str(value).startswith(NAME_TAG) else json.dumps(value) for key, value in values.items()}
    return PLACEHOLDER.sub(lambda match: f"{match[1]}: {written[match[1]]}", text)


def build(text: str, where: str) -> SimpleNamespace:
    """The objects of a HyperPyYAML text without placeholders, by name; `where` names the text in error messages.

    Weights are drawn from torch's random generator.

    Raises:
        InputError: the text is not HyperPyYAML, or lacks a part that training needs.
    """
    try:
        hparams = load_hyperpyyaml(text)
    except (YAMLError, ValueError, TypeError, AttributeError, ImportError, AssertionError) as error:
        raise InputError(f"{where}: cannot be built: {' '.join(str(error).split())}") from error
    for name in (
        "modules",
        "encoder",
        "normalizer",
        "model",
        "ctc_head",
        "sample_rate",
        "hop_length",
        "strides",
        "n_mels",
    ):
        if name not in hparams:
            raise InputError(f"{where}: {name} is missing")
    mask_convolutions(hparams["model"])
    return SimpleNamespace(**hparams)


def encode(
    modules: torch.nn.ModuleDict, features: torch.Tensor, num_steps: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """Forward pass of front-end and Conformer, for normalised features (B, steps, F) with (B,) steps that are audio.

    Returns:
        The last hidden states (B, T, D), the hidden states of all layers, and (B,) frames that are audio.
    """
    x, num_frames = front_end(modules["front_end"], features, num_steps)
    hidden, layers = modules["conformer"](x, num_frames / x.shape[1])
    return hidden, layers, num_frames


def forward(
    modules: torch.nn.ModuleDict, wavs: torch.Tensor, num_samples: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward pass of the whole network, for inference.

    Args:
        modules: the parts of the network by name.
        wavs: (B, S) in [-1, 1), zeros behind an utterance's end.
        num_samples: (B,) samples that are audio.

    Returns:
        Natural log-probabilities (B, T, V), and (B,) frames that are audio.
    """
    features = modules["compute_features"](wavs)
    features = modules["normalizer"](features, num_samples / wavs.shape[1], epoch=STATISTICS_TAKEN)
    hidden, _, num_frames = encode(modules, features, count_steps(num_samples))
    return modules["log_softmax"](modules["ctc_head"](hidden)), num_frames


def pick_device() -> torch.device:
    """The CUDA device of this process if there is one, else the CPU."""
    return torch.device(f"cuda:{get_local_rank() or 0}" if torch.cuda.is_available() else "cpu")


def cuda_peak(device: torch.device) -> int | None:
    """Peak of the bytes allocated on a CUDA device, None for other devices."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def count_parameters(module: torch.nn.Module, *, trainable: bool = False) -> int:
    """Number of parameters of a module, all or only the trainable ones."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad or not trainable)
