"""Writing and reading of decode.jsonl, and messages for damaged files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.hypotheses.hypotheses import (
    Alternative,
    Hypothesis,
    SlotRow,
    Word,
    from_json,
    read_hypotheses,
    to_json,
    write_hypotheses,
)

CONFIDENCES = st.integers(0, 10_000).map(lambda n: n / 10_000)
TIMES = st.integers(0, 10_000_000).map(lambda n: n / 1000)
WORDS = st.builds(
    lambda word, times, confidence: Word(word, min(times), max(times), confidence),
    st.text(max_size=8),
    st.tuples(TIMES, TIMES),
    CONFIDENCES,
)
SCORES = st.integers(-(10**7), 0).map(lambda n: n / 10_000)
NOTHING_OR_TEXT = st.none() | st.text(max_size=5)
SLOTS = st.builds(
    SlotRow,
    kind=st.text(max_size=5),
    value=NOTHING_OR_TEXT,
    unit=NOTHING_OR_TEXT,
    act=st.sampled_from([None, "report"]),
    first_word=st.integers(0, 99),
    last_word=st.integers(0, 99),
    start=st.none() | TIMES,
    end=st.none() | TIMES,
    confidence=st.none() | CONFIDENCES,
    doubtful=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)
SLOT_FIELDS = st.fixed_dictionaries(
    {
        "callsign": NOTHING_OR_TEXT,
        "role": st.sampled_from([None, "pilot", "controller"]),
        "role_confidence": st.none() | CONFIDENCES,
        "slots": st.lists(SLOTS, max_size=2).map(tuple),
    }
)
HYPOTHESES = st.builds(
    lambda slots, **fields: Hypothesis(**fields, **slots),
    slots=st.just({}) | SLOT_FIELDS,
    id=st.text(min_size=1),
    hyp=st.text(),
    score=st.none() | SCORES,
    words=st.lists(WORDS, max_size=3).map(tuple),
    nbest=st.lists(st.builds(Alternative, st.text(), SCORES), max_size=3).map(tuple),
)


@given(HYPOTHESES)
def test_json_round_trip(hypothesis: Hypothesis) -> None:
    assert from_json(to_json(hypothesis), "x") == hypothesis


def test_empty_fields_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "decode.jsonl"
    write_hypotheses(path, [Hypothesis("b", "DELTA ONE"), Hypothesis("a", "")])
    assert path.read_text().splitlines() == ['{"id": "b", "hyp": "DELTA ONE"}', '{"id": "a", "hyp": ""}']
    assert [hypothesis.id for hypothesis in read_hypotheses(path)] == ["b", "a"]


def test_id_and_hyp_come_first() -> None:
    line = to_json(Hypothesis("a", "ONE", -1.5, (Word("ONE", 0.1, 0.2, 0.9),), (Alternative("ONE", -1.5),)))
    assert list(json.loads(line)) == ["id", "hyp", "score", "words", "nbest"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "hyp": "ONE"}\n{"id": "b", "hy', r"decode.jsonl:2: cannot be read \(Invalid JSON: EOF"),
        ('{"id": "a", "hyp": "ONE"}\n{"id": "a", "hyp": "TWO"}\n', r"decode.jsonl:2 \(id a\): duplicate of line 1"),
        ('{"id": "a"}\n', "decode.jsonl:1: field hyp: missing"),
        ('{"id": 3, "hyp": ""}\n', "decode.jsonl:1: field id: got 3, wanted a valid string"),
        ('["a"]\n', r"decode.jsonl:1: cannot be read \(an object\), wanted an object with id and hyp"),
        ('{"id": "a", "hyp": "", "score": NaN}\n', "field score: got nan, wanted a finite number"),
        ('{"id": "a", "hyp": "A", "words": "A"}\n', "field words: got 'A', wanted a valid array"),
        (
            '{"id": "a", "hyp": "A", "words": [{"word": "A", "start": 2, "end": 1, "confidence": 1}]}\n',
            "from 2.0 s to 1.0 s",
        ),
        (
            '{"id": "a", "hyp": "A", "words": [{"word": "A", "start": 1, "end": 2, "confidence": 1.5}]}\n',
            r"field words\.0\.confidence: got 1\.5, wanted less than or equal to 1",
        ),
        ('{"id": "a", "hyp": "A", "slots": [{"kind": "altitude"}]}\n', r"field slots\.0\.value: missing"),
        ('{"id": "a", "hyp": "A", "slots": 5}\n', "field slots: got 5, wanted a valid array"),
        ("\n", "no hypotheses"),
    ],
)
def test_message_names_damaged_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "decode.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_hypotheses(path)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_hypotheses(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_hypotheses(tmp_path / "latin.jsonl")


@pytest.mark.parametrize("hypotheses", [[], [Hypothesis("a", ""), Hypothesis("a", "")]])
def test_failed_write_leaves_no_file(tmp_path: Path, hypotheses: list[Hypothesis]) -> None:
    with pytest.raises(InputError):
        write_hypotheses(tmp_path / "decode.jsonl", hypotheses)
    assert list(tmp_path.iterdir()) == []


def test_import_does_not_load_torch() -> None:
    code = "import sys, atc_asr.hypotheses.hypotheses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
