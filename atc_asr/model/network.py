"""The network: params.yaml + conformer_ctc.yaml -> SpeechBrain modules.

HyperPyYAML files can run code when they are loaded: load only this project's or your own.
"""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml.error import YAMLError
from speechbrain.utils.distributed import get_local_rank

from atc_asr.core.errors import InputError
from atc_asr.model.padding import count_steps, mask_convolutions
from atc_asr.model.params import ModelParams, SpecAugmentParams

HPARAMS_FILE = Path(__file__).with_name("conformer_ctc.yaml")
PLACEHOLDER = re.compile(r"^(\w+):[ \t]*!PLACEHOLDER", flags=re.MULTILINE)

# Strides of the first two front-end blocks, in time and frequency; 10 ms hop x both = one encoder frame.
STRIDES = {20: (2, 1), 40: (2, 2)}
ACTIVATIONS = {"swish": "speechbrain.nnet.activations.Swish", "gelu": "torch.nn.GELU"}
SAMPLES_PER_MS = 16


class Name(str):
    """Dotted name of something in Python, which HyperPyYAML writes as `!name:…`."""


def frame_seconds(frame_ms: int) -> float:
    """Seconds of audio an encoder frame stands for."""
    return frame_ms / 1000


def count_frames(num_samples: int, frame_ms: int) -> int:
    """Encoder frames of a waveform of 16 kHz: 10 ms steps, then both strides, each rounded up."""
    num_frames = count_steps(num_samples)
    for stride in STRIDES[frame_ms]:
        num_frames = math.ceil(num_frames / stride)
    return num_frames


def block_strides(frame_ms: int, num_blocks: int) -> list[int]:
    """Stride of each front-end block; those after the second keep the frames."""
    return [*STRIDES[frame_ms], *[1] * (num_blocks - len(STRIDES[frame_ms]))]


def hparams_values(model: ModelParams, specaugment: SpecAugmentParams, num_tokens: int) -> dict[str, Any]:
    """Value of every placeholder: the tunables, and what follows from them.

    Raises:
        InputError: values that contradict each other.
    """
    num_blocks = len(model.front_end_channels)
    if num_blocks < len(STRIDES[model.frame_ms]):
        raise InputError(f"model.front_end_channels: got {model.front_end_channels}, wanted two numbers or more")
    if len(model.front_end_kernels) != num_blocks or any(kernel % 2 == 0 for kernel in model.front_end_kernels):
        raise InputError(f"model.front_end_kernels: got {model.front_end_kernels}, wanted {num_blocks} odd numbers")
    if model.win_length * SAMPLES_PER_MS > model.n_fft:
        least = model.win_length * SAMPLES_PER_MS
        raise InputError(f"model.n_fft: got {model.n_fft}, wanted at least the {least} samples of win_length")
    if model.d_model % model.num_heads:
        raise InputError(f"model.num_heads: got {model.num_heads}, wanted a divisor of d_model {model.d_model}")
    if model.kernel_size % 2 == 0:
        raise InputError(f"model.kernel_size: got {model.kernel_size}, wanted an odd number")
    strides = block_strides(model.frame_ms, num_blocks)
    bands = model.n_mels
    for stride in strides:
        bands = math.ceil(bands / stride)
    tunables = asdict(model)
    del tunables["frame_ms"], tunables["activation"]
    derived = {
        "num_tokens": num_tokens,
        "num_blocks": num_blocks,
        "strides": strides,
        "residuals": [False] * num_blocks,
        "front_end_size": bands * model.front_end_channels[-1],
        "conformer_activation": Name(ACTIVATIONS[model.activation]),
    }
    return derived | tunables | asdict(specaugment)


def fill_placeholders(hparams_file: Path, values: dict[str, Any]) -> str:
    """The file's text with every `key: !PLACEHOLDER` replaced by its value.

    Raises:
        InputError: the file cannot be read, has a placeholder without a value, or no placeholder for a value
            (which would then change nothing).
    """
    try:
        text = Path(hparams_file).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"--hparams_file {hparams_file}: cannot be read: {error.strerror}") from error
    found = set(PLACEHOLDER.findall(text))
    unknown, unused = sorted(found - set(values)), sorted(set(values) - found)
    if unknown:
        raise InputError(f"{hparams_file}: placeholder {unknown[0]} is no key of params.yaml's model or specaugment")
    if unused:
        raise InputError(f"{hparams_file}: {unused[0]} is no !PLACEHOLDER there, so params.yaml's value has no effect")
    written = {key: f"!name:{value}" if isinstance(value, Name) else json.dumps(value) for key, value in values.items()}
    return PLACEHOLDER.sub(lambda match: f"{match[1]}: {written[match[1]]}", text)


def build(text: str, where: str) -> SimpleNamespace:
    """The objects of a filled HyperPyYAML text, by name; weights are drawn from torch's generator.

    Raises:
        InputError: the text is no HyperPyYAML or lacks the parts that training needs.
    """
    try:
        hparams = load_hyperpyyaml(text)
    except (YAMLError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise InputError(f"{where}: cannot be built: {' '.join(str(error).split())}") from error
    for name in ("modules", "encoder", "normalizer", "model", "sample_rate"):
        if name not in hparams:
            raise InputError(f"{where}: {name} is missing")
    mask_convolutions(hparams["model"])
    return SimpleNamespace(**hparams)


def pick_device() -> torch.device:
    """A CUDA device when there is one, of several processes each its own; else the CPU."""
    return torch.device(f"cuda:{get_local_rank() or 0}" if torch.cuda.is_available() else "cpu")


def cuda_peak(device: torch.device) -> int | None:
    """Peak bytes allocated on a CUDA device so far, None on another."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def count_parameters(module: torch.nn.Module, *, trainable: bool = False) -> int:
    """Numbers in a module's parameters, all of them or those that are trained."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad or not trainable)
