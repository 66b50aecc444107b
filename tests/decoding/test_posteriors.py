"""Batches, audio and the store of log-probabilities."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.manifest import Utterance, read_manifest
from asr.decoding.posteriors import (
    PosteriorsMeta,
    StoredPosteriors,
    batch_log_probs,
    compute_log_probs,
    make_batches,
    read_signal,
    write_posteriors,
)
from asr.errors import InputError
from tests.echo import EchoRecognizer, write_corpus


@given(st.lists(st.floats(0.1, 30), max_size=40), st.floats(1, 100))
def test_batches_hold_every_row_once_and_keep_the_limit(durations: list[float], limit: float) -> None:
    batches = make_batches(durations, limit)
    assert sorted(row for batch in batches for row in batch) == list(range(len(durations)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(durations[row] for row in batch) <= limit


def test_an_utterance_gives_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    utterances = read_manifest(write_corpus(tmp_path, {"a": "A", "b": "LONGER ONE"}))
    together = dict(compute_log_probs(EchoRecognizer(), utterances, 100.0))
    alone = dict(compute_log_probs(EchoRecognizer(), utterances, 0.1))
    assert all(np.array_equal(together[row], alone[row]) for row in range(2))


def test_stored_rows_come_back_and_bytes_repeat(tmp_path: Path) -> None:
    meta = PosteriorsMeta(("a", "b"), (1.0, 2.0), ("<blank>", "A"), 0.02)
    rows = [np.log(np.full((frames, 2), 0.5)).astype(np.float16) for frames in (3, 5)]
    for name in ("one", "two"):
        write_posteriors(tmp_path / name, meta, [(1, rows[1]), (0, rows[0])])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    stored = StoredPosteriors(tmp_path / "one")
    assert stored.meta == meta
    assert all(np.array_equal(log_probs, rows[row]) for row, log_probs in stored.rows())


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InputError, match="no file of stored log-probabilities"):
        StoredPosteriors(tmp_path / "text")
    with pytest.raises(InputError, match="cannot be read"):
        StoredPosteriors(tmp_path / "missing")
    with pytest.raises(InputError, match="no utterances"):
        write_posteriors(tmp_path / "empty", PosteriorsMeta((), (), ("<blank>",), 0.02), [])
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(100), 8000, "got 1 channels at 8000 Hz, wanted mono at 16000 Hz"),
        (np.zeros((100, 2)), 16000, "got 2 channels at 16000 Hz"),
        (np.zeros(0), 16000, "holds no samples"),
    ],
)
def test_audio_of_another_kind_is_refused(tmp_path: Path, samples: np.ndarray, rate: int, message: str) -> None:
    soundfile.write(tmp_path / "x.wav", samples, rate)
    with pytest.raises(InputError, match=message):
        read_signal(Utterance("x", tmp_path / "x.wav", 1.0, "A"), 16000)


def test_unreadable_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"x\.wav \(id x\): cannot be read as audio"):
        read_signal(Utterance("x", tmp_path / "x.wav", 1.0, "A"), 16000)


def test_twenty_milliseconds_are_padded_and_answered() -> None:
    (log_probs,) = batch_log_probs(EchoRecognizer(), [np.zeros(320, dtype=np.float32)], ["x"])
    assert log_probs.shape[0] == 1


def test_a_diverged_network_is_named() -> None:
    class Diverged(EchoRecognizer):
        def log_probs(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            log_probs, num_frames = super().log_probs(wavs, wav_lens)
            return log_probs * float("nan"), num_frames

    with pytest.raises(InputError, match="x: the network's log-probabilities hold NaN"):
        batch_log_probs(Diverged(), [np.zeros(320, dtype=np.float32)], ["x"])
