"""Forward pass over many utterances: batches, audio, and error messages."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, read_manifest
from atc_asr.posteriors.forward import batch_log_probs, compute_log_probs, read_signal
from tests.echo import EchoRecognizer, write_corpus


def test_log_probs_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    utterances = read_manifest(write_corpus(tmp_path, {"a": "A", "b": "LONGER ONE"}))
    together = dict(compute_log_probs(EchoRecognizer(), utterances, 100.0))
    alone = dict(compute_log_probs(EchoRecognizer(), utterances, 0.1))
    assert all(np.array_equal(together[row], alone[row]) for row in range(2))


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(100), 8000, "got 1 channels at 8000 Hz, wanted mono at 16000 Hz"),
        (np.zeros((100, 2)), 16000, "got 2 channels at 16000 Hz"),
        (np.zeros(0), 16000, "no samples"),
    ],
)
def test_unsupported_audio(tmp_path: Path, samples: np.ndarray, rate: int, message: str) -> None:
    soundfile.write(tmp_path / "x.wav", samples, rate)
    with pytest.raises(InputError, match=message):
        read_signal(Utterance("x", tmp_path / "x.wav", 1.0, "A"), 16000)


def test_message_names_unreadable_audio(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"x\.wav \(id x\): cannot be read as audio"):
        read_signal(Utterance("x", tmp_path / "x.wav", 1.0, "A"), 16000)


def test_very_short_signal() -> None:
    (log_probs,) = batch_log_probs(EchoRecognizer(), [np.zeros(320, dtype=np.float32)], ["x"])
    assert log_probs.shape[0] == 1


def test_nan_raises() -> None:
    class Diverged(EchoRecognizer):
        def log_probs(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            log_probs, num_frames = super().log_probs(wavs, wav_lens)
            return log_probs * float("nan"), num_frames

    with pytest.raises(InputError, match="x: the log-probabilities contain NaN"):
        batch_log_probs(Diverged(), [np.zeros(320, dtype=np.float32)], ["x"])
