"""The network of a run folder in torch, on any device: waveforms -> log-probabilities."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from atc_asr.core.errors import InputError
from atc_asr.model import run_folder
from atc_asr.model.batches import make_batches
from atc_asr.model.network import pick_device
from atc_asr.posteriors.forward import batch_log_probs, device_batch


def find_device(name: str | None) -> torch.device:
    """The device of a name; without a name the first GPU, or the CPU where there is none.

    Raises:
        InputError: it cannot be used.
    """
    try:
        return torch.zeros(1, device=name).device if name else pick_device()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise InputError(f"--device {name}: cannot be used: {str(error).splitlines()[0]}") from error


class TorchNetwork:
    """A `Recognizer` of a run folder, in batches of similar duration."""

    def __init__(self, run_dir: Path, *, device: str | None, trust: bool, batch_seconds: float) -> None:
        """`trust` is that of `load_recognizer`; `batch_seconds` is `posteriors.batch_seconds`.

        Raises:
            InputError: the run folder or the device cannot be used.
        """
        found = find_device(device)
        self._network = run_folder.load_recognizer(run_dir, device=found, trust=trust)
        self._batch_seconds = device_batch(batch_seconds, found)
        self.tokens = self._network.tokens
        self.sample_rate = self._network.sample_rate
        self.frame_seconds = self._network.frame_seconds

    def log_probs(self, signals: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Log-probabilities (T, V) float16 of waveforms (S,) float32 in [-1, 1); `names` are for messages.

        Raises:
            InputError: they contain NaN.
        """
        results: dict[int, np.ndarray] = {}
        durations = [len(signal) / self.sample_rate for signal in signals]
        for batch in make_batches(durations, self._batch_seconds):
            found = batch_log_probs(self._network, [signals[row] for row in batch], [names[row] for row in batch])
            results |= zip(batch, found, strict=True)
        return [results[row] for row in range(len(signals))]
