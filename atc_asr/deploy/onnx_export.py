"""Export of a trained recogniser to one ONNX file, for any batch size and duration.

Inputs are waveforms, outputs log-probabilities. The file contains features and normaliser, and its metadata the
tokens, so that a runtime needs no code for features and no other file.

B utterances, S samples, T encoder frames, D width, V tokens.
"""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException as OrtError
from speechbrain.lobes.models.transformer import TransformerASR
from speechbrain.nnet import attention
from speechbrain.processing.features import STFT

from atc_asr.core import outputs
from atc_asr.core.errors import InputError
from atc_asr.model import network
from atc_asr.model.run_folder import Recognizer

LIKE = r"\x08.\x12.pytorch"  # beginning of the file: version of the format, producer
OPSET = 18  # supported by onnxruntime since 1.14
INPUTS, OUTPUTS = ("wavs", "num_samples"), ("log_probs", "num_frames")
AXES = {"wavs": "BS", "num_samples": "B", "log_probs": "BT", "num_frames": "B"}  # free axes
TOLERANCE = 1e-4  # largest difference of log-probabilities between the two runtimes
CHECKED = ((1, 0.3), (1, 9.0), (3, 2.5), (5, 4.21))  # batch sizes and seconds that are compared


class ConvolutionSTFT(torch.nn.Module):
    """SpeechBrain's STFT as a convolution with windowed cosines and sines; few runtimes have an STFT operator."""

    kernels: torch.Tensor

    def __init__(self, stft: STFT) -> None:
        super().__init__()
        steps = torch.arange(stft.n_fft, dtype=torch.float64)
        bins = torch.arange(stft.n_fft // 2 + 1, dtype=torch.float64)
        angles = 2 * torch.pi * torch.outer(bins, steps) / stft.n_fft
        margin = stft.n_fft - stft.win_length  # a shorter window is centred, as in torch.stft
        window = torch.nn.functional.pad(stft.window.double(), (margin // 2, margin - margin // 2))
        kernels = torch.cat([window * angles.cos(), -window * angles.sin()])
        self.register_buffer("kernels", kernels.float()[:, None])
        self.hop_length = stft.hop_length
        self.margin = stft.n_fft // 2

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        """Waveforms (B, S) -> spectra (B, steps of 10 ms, bins, 2), real and imaginary parts."""
        padded = torch.nn.functional.pad(wavs[:, None], (self.margin, self.margin))
        spectrum = torch.nn.functional.conv1d(padded, self.kernels, stride=self.hop_length)
        return torch.stack(spectrum.chunk(2, dim=1), dim=-1).transpose(1, 2)


class Exported(torch.nn.Module):
    """The exported module: `atc_asr.model.network.forward`."""

    def __init__(self, encoder: torch.nn.ModuleDict) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, wavs: torch.Tensor, num_samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, S) float32 and (B,) int64 -> natural log-probabilities (B, T, V) and (B,) int64 frames."""
        return network.forward(self.encoder, wavs, num_samples)


def length_to_mask(num_frames: torch.Tensor, max_len: int) -> torch.Tensor:
    """Frames (B,) -> mask (B, T), as SpeechBrain's `length_to_mask`."""
    return torch.arange(max_len)[None] < num_frames[:, None]


def relative_positions(encoding: attention.RelPosEncXL, seq_len: int) -> torch.Tensor:
    """Encodings (1, 2 T - 1, D) of the distances T - 1 … 1 - T, as `RelPosEncXL.make_pe`."""
    distances = torch.arange(2 * seq_len - 1) - (seq_len - 1)
    angles = -distances[:, None] * encoding.inv_freq
    return torch.stack([angles.abs().sin(), angles.cos()], dim=-1).flatten(1)[None]


@contextlib.contextmanager
def traceable(recognizer: Recognizer) -> Iterator[Exported]:
    """A module whose trace is valid for inputs of any size; the recogniser is changed only within the context.

    The trace of SpeechBrain's mask would fix the batch size, and that of its cached RoPE sines the duration.
    """
    features = recognizer.encoder["compute_features"]
    stft = features.compute_STFT
    features.compute_STFT = ConvolutionSTFT(stft)
    try:
        with (
            mock.patch.object(attention, "_get_precomputed_values", attention.PrecomputedRoPESinusoids),
            mock.patch.object(attention.RelPosEncXL, "make_pe", relative_positions),
            mock.patch.object(TransformerASR, "length_to_mask", length_to_mask),
        ):
            yield Exported(recognizer.encoder).eval()  # torch.onnx.export restores the mode
    finally:
        features.compute_STFT = stft


def make_noise(
    num_utterances: int, seconds: float, sample_rate: int, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise (B, S) for utterances of decreasing duration, the first with `seconds`, and (B,) their samples."""
    num_samples = (torch.linspace(1, 0.4, num_utterances) * seconds * sample_rate).long()
    wavs = 0.1 * torch.randn(num_utterances, int(num_samples[0]), generator=random)
    return wavs.masked_fill(torch.arange(wavs.shape[1]) >= num_samples[:, None], 0.0), num_samples


def largest_difference(
    recognizer: Recognizer, session: onnxruntime.InferenceSession, wavs: torch.Tensor, num_samples: torch.Tensor
) -> float:
    """The largest difference between onnxruntime's log-probabilities and the recogniser's, without padding.

    Raises:
        InputError: onnxruntime has outputs of another shape.
    """
    wanted, num_frames = recognizer.log_probs(wavs, num_samples / wavs.shape[1])
    got, frames = session.run(OUTPUTS, {"wavs": wavs.numpy(), "num_samples": num_samples.numpy()})
    if got.shape != tuple(wanted.shape) or frames.tolist() != num_frames.tolist():
        raise InputError(f"onnxruntime: got {got.shape} and frames {frames}, wanted {tuple(wanted.shape)}")
    return max(
        np.abs(ours - theirs)[:end].max().item() for ours, theirs, end in zip(wanted.numpy(), got, frames, strict=True)
    )


def write_graph(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    metadata: Mapping[str, str],
) -> None:
    """Write a module as an ONNX file by tracing it with example inputs.

    Args:
        module: on the CPU, from `traceable`.
        example: its inputs.
        path: the file.
        inputs: their names.
        outputs: names of the outputs.
        axes: input or output -> its free axes with their names.
        metadata: for the file.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing is old, and of constants in the trace
        torch.onnx.export(
            module,
            example,
            path,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # torch.export fixes the batch size and the duration of SpeechBrain's attention
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)


def export(recognizer: Recognizer, path: Path) -> float:
    """Write the recogniser as an ONNX file with free axes B, S and T, and compare both.

    Args:
        recognizer: a trained network on the CPU.
        path: the file; inputs `wavs` (B, S) float32 in [-1, 1), zeros behind an utterance's end, and `num_samples`
            (B,) int64; outputs `log_probs` (B, T, V) natural logarithms and `num_frames` (B,) int64.

    Returns:
        The largest difference between the log-probabilities of the file and the recogniser.

    Raises:
        InputError: onnxruntime cannot run the file, or the difference is above `TOLERANCE`; no file is left.
    """
    rate = recognizer.sample_rate
    metadata = {
        "tokens": json.dumps(recognizer.tokens.symbols, ensure_ascii=False),
        "blank": "0",
        "sample_rate": str(rate),
        "frame_seconds": str(recognizer.frame_seconds),
    }
    with outputs.new_file(path, LIKE) as partial:
        with traceable(recognizer) as module:
            write_graph(
                module,
                (torch.zeros(2, rate), torch.tensor([rate, rate // 2])),
                partial,
                inputs=INPUTS,
                outputs=OUTPUTS,
                axes={name: dict(enumerate(axes)) for name, axes in AXES.items()},
                metadata=metadata,
            )
        random = torch.Generator().manual_seed(0)
        try:
            session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
            noises = [make_noise(*size, rate, random) for size in CHECKED]
            difference = max(largest_difference(recognizer, session, *noise) for noise in noises)
        except OrtError as error:
            raise InputError(f"{path}: onnxruntime: {' '.join(str(error).split())}") from error
        if difference > TOLERANCE:
            raise InputError(f"{path}: differs from the recogniser by {difference:.1e}, wanted at most {TOLERANCE:.0e}")
    return difference
