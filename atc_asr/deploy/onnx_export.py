"""A trained recogniser as one ONNX file: waveforms in, log-probabilities out, any batch size and duration.

Front-end and normaliser are inside, so that a runtime needs no feature code of its own; the output units are in the
file's metadata, so that it needs no other file.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Iterator
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

from atc_asr.core import files
from atc_asr.core.errors import InputError
from atc_asr.model import padding
from atc_asr.model.run_folder import Recognizer

OPSET = 18  # of the operators: what onnxruntime knows since 1.14
INPUTS = ("wavs", "num_samples")
OUTPUTS = ("log_probs", "num_frames")
TOLERANCE = 1e-4  # between the log-probabilities of the two runtimes
CHECKED = ((1, 0.3), (1, 9.0), (3, 2.5), (5, 4.21))  # batch sizes and seconds that are tried


class ConvolutionSTFT(torch.nn.Module):
    """SpeechBrain's STFT as one convolution with windowed cosines and sines.

    Runtimes know convolutions on every kind of device; few know the STFT operator.
    """

    def __init__(self, stft: STFT) -> None:
        super().__init__()
        steps = torch.arange(stft.n_fft, dtype=torch.float64)
        bins = torch.arange(stft.n_fft // 2 + 1, dtype=torch.float64)
        angles = 2 * torch.pi * torch.outer(bins, steps) / stft.n_fft
        margin = stft.n_fft - stft.win_length  # a shorter window stands in the middle, as in torch.stft
        window = torch.nn.functional.pad(stft.window.double(), (margin // 2, margin - margin // 2))
        kernels = torch.cat([window * angles.cos(), -window * angles.sin()])
        self.register_buffer("kernels", kernels.float()[:, None])
        self.hop_length = stft.hop_length
        self.margin = stft.n_fft // 2

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        """(B, S) -> (B, 10 ms steps, bins, 2), real and imaginary parts."""
        padded = torch.nn.functional.pad(wavs[:, None], (self.margin, self.margin))
        spectrum = torch.nn.functional.conv1d(padded, self.kernels, stride=self.hop_length)
        real, imaginary = spectrum.chunk(2, dim=1)
        return torch.stack([real, imaginary], dim=-1).transpose(1, 2)


class Waveforms(torch.nn.Module):
    """The recogniser with lengths in samples and frames, as users of a runtime have them."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, wavs: torch.Tensor, num_samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, S) float32 and (B,) int64 -> (B, T, V) natural logarithms and (B,) int64 frames that are audio."""
        return padding.recognize(self.encoder, wavs, num_samples)


def frames_that_are_audio(num_frames: torch.Tensor, max_len: int) -> torch.Tensor:
    """(B,) -> (B, T), as SpeechBrain's `length_to_mask`."""
    return torch.arange(max_len)[None] < num_frames[:, None]


def relative_positions(encoding: attention.RelPosEncXL, seq_len: int) -> torch.Tensor:
    """Sines and cosines of the distances T - 1 … 1 - T, (1, 2 T - 1, D), as `RelPosEncXL.make_pe`."""
    distances = torch.arange(2 * seq_len - 1) - (seq_len - 1)
    angles = -distances[:, None] * encoding.inv_freq
    return torch.stack([angles.abs().sin(), angles.cos()], dim=-1).flatten(1)[None]


@contextlib.contextmanager
def traceable(recognizer: Recognizer) -> Iterator[Waveforms]:
    """The recogniser as a module whose every step follows its inputs' sizes; put back afterwards.

    SpeechBrain's own mask fixes the batch size when it is traced, its cache of RoPE's sines the longest audio.
    """
    features = recognizer.encoder["compute_features"]
    stft = features.compute_STFT
    features.compute_STFT = ConvolutionSTFT(stft)
    try:
        with (
            mock.patch.object(attention, "_get_precomputed_values", attention.PrecomputedRoPESinusoids),
            mock.patch.object(attention.RelPosEncXL, "make_pe", relative_positions),
            mock.patch.object(TransformerASR, "length_to_mask", frames_that_are_audio),
        ):
            yield Waveforms(recognizer.encoder).eval()  # the exporter gives back the mode it found
    finally:
        features.compute_STFT = stft


def describe(recognizer: Recognizer) -> dict[str, str]:
    """What a runtime has to know besides the graph."""
    return {
        "tokens": json.dumps(recognizer.tokens.symbols, ensure_ascii=False),
        "blank": "0",
        "sample_rate": str(recognizer.sample_rate),
        "frame_seconds": str(recognizer.frame_seconds),
    }


def greatest_difference(recognizer: Recognizer, path: Path) -> float:
    """How far onnxruntime's log-probabilities of noise are from the recogniser's own, at most; padding is left out.

    Raises:
        InputError: onnxruntime cannot run the file, or counts other frames.
    """
    random = torch.Generator().manual_seed(0)
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for num_utterances, seconds in CHECKED:
            num_samples = (torch.linspace(1, 0.4, num_utterances) * seconds * recognizer.sample_rate).long()
            wavs = 0.1 * torch.randn(num_utterances, int(num_samples[0]), generator=random)
            wavs[torch.arange(wavs.shape[1]) >= num_samples[:, None]] = 0.0
            wanted, num_frames = recognizer.log_probs(wavs, num_samples / wavs.shape[1])
            got, counted = session.run(OUTPUTS, {"wavs": wavs.numpy(), "num_samples": num_samples.numpy()})
            if got.shape != tuple(wanted.shape) or counted.tolist() != num_frames.tolist():
                raise InputError(f"{path}: got {got.shape} and frames {counted}, wanted {tuple(wanted.shape)}")
            for row, frames in enumerate(counted):
                largest = max(largest, np.abs(got - wanted.numpy())[row, :frames].max().item())
    except OrtError as error:
        raise InputError(f"{path}: onnxruntime: {' '.join(str(error).split())}") from error
    return largest


def export(recognizer: Recognizer, path: Path) -> float:
    """Write the recogniser as an ONNX file and try it in onnxruntime; its axes B, S and T are free.

    Args:
        recognizer: a trained network on the CPU.
        path: the file; inputs `wavs` (B, S) float32 in [-1, 1), zeros behind an utterance's end, and `num_samples`
            (B,) int64; outputs `log_probs` (B, T, V) natural logarithms and `num_frames` (B,) int64.

    Returns:
        The greatest difference between the two recognisers' log-probabilities.

    Raises:
        InputError: the difference is above `TOLERANCE`; then there is no file.
    """
    wavs = torch.zeros(2, recognizer.sample_rate)
    num_samples = torch.tensor([recognizer.sample_rate, recognizer.sample_rate // 2])
    graph = io.BytesIO()
    with traceable(recognizer) as module, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing and of its age
        torch.onnx.export(
            module,
            (wavs, num_samples),
            graph,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_axes={
                "wavs": {0: "B", 1: "S"},
                "num_samples": {0: "B"},
                "log_probs": {0: "B", 1: "T"},
                "num_frames": {0: "B"},
            },
            opset_version=OPSET,
            dynamo=False,  # torch.export fixes the batch size and the duration of SpeechBrain's attention
        )
    model = onnx.load_from_string(graph.getvalue())
    onnx.helper.set_model_props(model, describe(recognizer))
    with files.new_file(path) as partial:
        onnx.save(model, partial)
        difference = greatest_difference(recognizer, partial)
        if difference > TOLERANCE:
            raise InputError(f"{path}: differs from the recogniser by {difference:.1e}, wanted at most {TOLERANCE:.0e}")
    return difference
