"""Validation and conversion of one clip; its id."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.config import load_section
from atc_asr.corpus import clips
from atc_asr.corpus.params import CheckParams
from atc_asr.corpus.source import Clip

CHECKS = load_section(CheckParams)
NOISE = (np.random.default_rng(0).standard_normal(8000) * 0.1).astype(np.float32)


def make(**changes):
    values = {"id": "x1", "audio": NOISE, "sample_rate": 8000, "text": "turn left, we're", "columns": {"tape": "t"}}
    return clips.make_row(Clip(**values | changes), config="base", split="train", params=CHECKS)


def test_an_accepted_clip():
    row, pcm = make()
    assert (row.id, row.transcript, row.duration, row.sample_rate) == ("base_train_x1", "TURN LEFT WERE", 1.0, 8000)
    assert (row.apostrophes, dict(row.columns), row.rejection) == (("WERE",), {"tape": "t"}, None)
    assert (pcm.dtype, pcm.shape) == (np.int16, (16000,))


def test_channels_are_averaged():
    _, stereo = make(audio=np.stack([NOISE, NOISE / 2], axis=1))
    _, mono = make(audio=(NOISE + NOISE / 2) / 2)
    assert np.array_equal(stereo, mono)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audio": None}, "no_audio"),
        ({"audio": b""}, "no_audio"),
        ({"audio": b"RIFFnoise"}, "unreadable_audio"),
        ({"sample_rate": None}, "unreadable_audio"),
        ({"text": None}, "empty_text"),
        ({"text": "x" * 10_000}, "too_fast"),
        ({"text": "дом"}, "foreign_characters"),
        ({"audio": np.zeros(8000, np.float32)}, "silence"),
        ({"audio": np.full(8000, np.nan, np.float32)}, "not_finite"),
        ({"problem": "line 3: no TIMES"}, "unreadable_row"),
    ],
)
def test_a_rejected_clip(changes, reason):
    row, pcm = make(**changes)
    assert row.rejection.reason == reason
    assert pcm is None


def test_the_digest_does_not_depend_on_the_container():
    import io

    import soundfile as sf

    pcm = np.round(NOISE * 32768).astype(np.int16)
    flac = io.BytesIO()
    sf.write(flac, pcm, 8000, format="FLAC", subtype="PCM_16")
    assert make(audio=pcm)[0].digest == make(audio=flac.getvalue())[0].digest


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("0001", "base_train_0001"),
        ("train_0001", "base_train_0001"),
        ("base_000017", "base_train_000017"),
        ("LJ001-0001", "base_train_LJ001-0001"),
    ],
)
def test_ids_of_known_corpora(raw, wanted):
    assert clips.utterance_id(Clip(raw, None, None, None), "base", "train") == wanted


@pytest.mark.parametrize(
    "raw", ["../../x", "a/b", "a\\b", "..", ".", "con", "x" * 300, "дом", "é", "a b", "a\nb", "\0"]
)
def test_unsafe_ids_become_plain_names(raw):
    name = clips.utterance_id(Clip(raw, None, None, None), "base", "train")
    assert re.fullmatch(r"base_train_[A-Za-z0-9_-]+", name)
    assert len(name) < 150


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_ids_stay_different(one, other):
    assert (clips.safe_name(one) == clips.safe_name(other)) == (one == other)


def test_an_id_from_content_depends_on_the_content_only():
    row = make(id=None)[0]
    assert re.fullmatch(r"base_train_[0-9a-f]{16}", row.id)
    assert make(id=None)[0].id == row.id
    assert make(id=None, text="turn right")[0].id != row.id
    assert make(id=None, audio=NOISE * 0.5)[0].id != row.id
