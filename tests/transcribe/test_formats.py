"""Times and texts in the four output formats."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.hypotheses.hypotheses import Hypothesis, Word
from atc_asr.transcribe.formats import FORMATS, Transmission, fill_gaps, place, timestamp
from atc_asr.transcribe.segment import Track

ONE = place(
    Hypothesis("x", "DELTA ONE", -2.0, (Word("DELTA", 0.1, 0.5, 0.9), Word("ONE", 0.6, 0.8, 0.8))),
    Track(Path("a.wav")),
    3600.0,
    3601.5,
)
TWO = place(Hypothesis("y", 'CLIMB <HI> & "GO"', -1.0), Track(Path("a.wav")), 3602.0, 3603.0)


def text_of(name: str, transmissions: list[Transmission], duration: float) -> str:
    return FORMATS[name](transmissions, duration)


def test_jsonl_times_are_times_of_the_file() -> None:
    row = json.loads(text_of("jsonl", [ONE], 4000.0))
    assert list(row)[:2] == ["id", "hyp"]
    assert (row["id"], row["start"], row["end"]) == ("a.wav#003600000", 3600.0, 3601.5)
    assert [word["start"] for word in row["words"]] == [3600.1, 3600.6]


def test_subtitles() -> None:
    assert text_of("srt", [ONE, TWO], 4000.0).startswith(
        "1\n01:00:00,000 --> 01:00:01,500\nDELTA ONE\n\n2\n01:00:02,000"
    )
    vtt = text_of("vtt", [ONE, TWO], 4000.0)
    assert vtt.startswith("WEBVTT\n\n01:00:00.000 --> 01:00:01.500\nDELTA ONE\n")
    assert 'CLIMB &lt;HI&gt; &amp; "GO"' in vtt


def test_a_textgrid_covers_the_recording() -> None:
    text = text_of("TextGrid", [ONE, TWO], 4000.0)
    assert "size = 2" in text
    assert 'text = "CLIMB <HI> & ""GO"""' in text
    for tier in text.split("item [")[2:]:
        lows = [float(value) for value in re.findall(r"            xmin = (\S+)", tier)]
        highs = [float(value) for value in re.findall(r"            xmax = (\S+)", tier)]
        assert lows[0] == 0.0
        assert highs[-1] == 4000.0
        assert lows[1:] == highs[:-1]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=10))
def test_filled_spans_have_no_gaps(spans: list[tuple[float, float]]) -> None:
    filled = fill_gaps([(start, end, "x") for start, end in spans], 50.0)
    assert filled[0][0] == 0.0
    assert filled[-1][1] == 50.0
    assert all(first[1] == second[0] for first, second in itertools.pairwise(filled))
    assert all(start < end for start, end, _ in filled)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "00:00:00,000"), (59.9996, "00:01:00,000"), (36001.25, "10:00:01,250")]
)
def test_timestamp(seconds: float, text: str) -> None:
    assert timestamp(seconds, ",") == text


def test_outputs_without_transmissions_are_valid() -> None:
    assert text_of("jsonl", [], 1.0) == text_of("srt", [], 1.0) == ""
    assert text_of("vtt", [], 1.0) == "WEBVTT\n"
    assert "intervals: size = 1" in text_of("TextGrid", [], 1.0)
