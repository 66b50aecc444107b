"""Export of a trained recogniser for sherpa-onnx, which runs on phones, in C++ programs and in WebSocket servers.

The graph is that of sherpa-onnx's models "omnilingual ASR CTC", its only CTC models whose input is a waveform. It
has one input `x` (1, S), which sherpa-onnx brings to mean 0 and variance 1, and one output `logits` (1, T, V). There, a
frame of the output lasts 20 ms; longer frames are repeated, so that times are right; greedy decoding merges them again.

S samples, T frames, V tokens.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException as OrtError

from atc_asr.core import files, outputs
from atc_asr.core.errors import InputError
from atc_asr.deploy.onnx_export import CHECKED, TOLERANCE, Exported, make_noise, traceable, write_graph
from atc_asr.model.run_folder import Recognizer

MODEL_FILE, TOKENS_FILE = "model.onnx", "tokens.txt"
NAMES = (MODEL_FILE, TOKENS_FILE)  # of the output folder
LEVEL = -23.0  # dB of full scale that the waveform gets, in the middle of those that transcription sets
FRAME_SECONDS = 0.02  # of sherpa-onnx


class SherpaGraph(torch.nn.Module):
    """The exported module for waveforms of variance 1."""

    def __init__(self, exported: Exported, frame_seconds: float) -> None:
        super().__init__()
        self.exported = exported
        self.repeats = round(frame_seconds / FRAME_SECONDS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, S) float32 -> natural log-probabilities (1, T, V)."""
        num_samples = torch.ones_like(x, dtype=torch.long).sum(dim=1)
        log_probs, _ = self.exported(10 ** (LEVEL / 20) * x, num_samples)
        return log_probs.repeat_interleave(self.repeats, dim=1)


def export(recognizer: Recognizer, folder: Path) -> float:
    """Write model.onnx and tokens.txt, and compare the graph in onnxruntime with the recogniser.

    Args:
        recognizer: a trained network on the CPU.
        folder: the output.

    Returns:
        The largest difference between the log-probabilities of the graph and of the recogniser.

    Raises:
        InputError: sherpa-onnx has no such frames, onnxruntime cannot run the graph, or the difference is above
            `TOLERANCE`; no folder is left.
    """
    repeats = recognizer.frame_seconds / FRAME_SECONDS
    if abs(repeats - round(repeats)) > 1e-6 or round(repeats) < 1:
        raise InputError(
            f"frames of {recognizer.frame_seconds * 1000:g} ms, wanted a multiple of 20 ms for sherpa-onnx"
        )
    lines = [f"{symbol} {number}\n" for number, symbol in enumerate(recognizer.tokens.symbols)]
    with outputs.new_folder(folder, NAMES) as partial:
        files.write_text(partial / TOKENS_FILE, "".join(lines))
        with traceable(recognizer) as exported:
            write_graph(
                SherpaGraph(exported, recognizer.frame_seconds).eval(),
                (torch.randn(1, recognizer.sample_rate),),
                partial / MODEL_FILE,
                inputs=["x"],
                outputs=["logits"],
                axes={"x": {1: "S"}, "logits": {1: "T"}},
                metadata={},
            )
        random = torch.Generator().manual_seed(0)
        try:
            session = onnxruntime.InferenceSession(partial / MODEL_FILE, providers=["CPUExecutionProvider"])
            noises = [make_noise(1, seconds, recognizer.sample_rate, random)[0] for _, seconds in CHECKED]
            difference = max(largest_difference(recognizer, session, noise) for noise in noises)
        except OrtError as error:
            raise InputError(f"{folder}: onnxruntime: {' '.join(str(error).split())}") from error
        if difference > TOLERANCE:
            raise InputError(
                f"{folder}: differs from the recogniser by {difference:.1e}, wanted at most {TOLERANCE:.0e}"
            )
    return difference


def largest_difference(recognizer: Recognizer, session: onnxruntime.InferenceSession, x: torch.Tensor) -> float:
    """The largest difference between the log-probabilities of the graph and of the recogniser for a waveform (1, S).

    Raises:
        InputError: the graph has outputs of another shape.
    """
    wanted = recognizer.log_probs(10 ** (LEVEL / 20) * x, torch.ones(1))[0].numpy()
    wanted = np.repeat(wanted, round(recognizer.frame_seconds / FRAME_SECONDS), axis=1)
    (got,) = session.run(["logits"], {"x": x.numpy()})
    if got.shape != wanted.shape:
        raise InputError(f"onnxruntime: got {got.shape}, wanted {wanted.shape}")
    return np.abs(got - wanted).max().item()
