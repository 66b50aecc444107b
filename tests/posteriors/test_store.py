"""Files of log-probabilities."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from atc_asr.core.errors import InputError
from atc_asr.posteriors.store import PosteriorsMeta, StoredPosteriors, write_posteriors


def test_round_trip_and_determinism(tmp_path: Path) -> None:
    meta = PosteriorsMeta(("a", "b"), (1.0, 2.0), ("<blank>", "A"), 0.02)
    rows = [np.log(np.full((frames, 2), 0.5)).astype(np.float16) for frames in (3, 5)]
    for name in ("one", "two"):
        write_posteriors(tmp_path / name, meta, [(1, rows[1]), (0, rows[0])])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    stored = StoredPosteriors(tmp_path / "one")
    assert stored.meta == meta
    assert all(np.array_equal(stored.read(row), rows[row]) for row in (1, 0))
    with zipfile.ZipFile(tmp_path / "one") as archive, archive.open("0000001.npy") as member:
        assert np.array_equal(np.load(member), rows[1])  # NumPy's own reader


def test_damaged_row(tmp_path: Path) -> None:
    meta = PosteriorsMeta(("a", "b"), (1.0, 2.0), ("<blank>", "A"), 0.02)
    write_posteriors(tmp_path / "file", meta, [(0, np.zeros((3, 2), np.float16)), (1, np.ones((3, 2), np.float16))])
    data = (tmp_path / "file").read_bytes()
    ones = np.ones((3, 2), np.float16).tobytes()
    (tmp_path / "file").write_bytes(data.replace(ones, ones[::-1]))
    stored = StoredPosteriors(tmp_path / "file")
    assert not stored.read(0).any()
    with pytest.raises(InputError, match=r"file \(id b\): damaged data"):
        stored.read(1)


def test_row_without_frames(tmp_path: Path) -> None:
    meta = PosteriorsMeta(("a",), (0.02,), ("<blank>", "A"), 0.02)
    write_posteriors(tmp_path / "file", meta, [(0, np.zeros((0, 2), np.float16))])
    assert StoredPosteriors(tmp_path / "file").read(0).shape == (0, 2)


def test_error_messages(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InputError, match="not a file of log-probabilities"):
        StoredPosteriors(tmp_path / "text")
    with pytest.raises(InputError, match="cannot be read"):
        StoredPosteriors(tmp_path / "missing")
    with pytest.raises(InputError, match="no utterances"):
        write_posteriors(tmp_path / "empty", PosteriorsMeta((), (), ("<blank>",), 0.02), [])
    assert not (tmp_path / "empty").exists()
