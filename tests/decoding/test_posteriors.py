"""The store of log-probabilities."""

from pathlib import Path

import numpy as np
import pytest

from asr.decoding.posteriors import PosteriorsMeta, StoredPosteriors, write_posteriors
from asr.errors import InputError


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
