"""decode.jsonl: what is written is read back, what is damaged is refused with its line."""

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
HYPOTHESES = st.builds(
    Hypothesis,
    id=st.text(min_size=1),
    hyp=st.text(),
    score=st.none() | SCORES,
    words=st.lists(WORDS, max_size=3).map(tuple),
    nbest=st.lists(st.builds(Alternative, st.text(), SCORES), max_size=3).map(tuple),
)


@given(HYPOTHESES)
def test_a_line_read_back_is_the_same_hypothesis(hypothesis: Hypothesis) -> None:
    assert from_json(to_json(hypothesis), "x") == hypothesis


def test_id_and_hyp_come_first_and_empty_fields_stay_away(tmp_path: Path) -> None:
    path = tmp_path / "decode.jsonl"
    write_hypotheses(path, [Hypothesis("b", "DELTA ONE"), Hypothesis("a", "")])
    assert path.read_text().splitlines() == ['{"id": "b", "hyp": "DELTA ONE"}', '{"id": "a", "hyp": ""}']
    assert [hypothesis.id for hypothesis in read_hypotheses(path)] == ["b", "a"]


def test_fields_beyond_the_specification_follow() -> None:
    line = to_json(Hypothesis("a", "ONE", -1.5, (Word("ONE", 0.1, 0.2, 0.9),), (Alternative("ONE", -1.5),)))
    assert list(json.loads(line)) == ["id", "hyp", "score", "words", "nbest"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "hyp": "ONE"}\n{"id": "b", "hy', r"decode.jsonl:2: is not a whole JSON line"),
        ('{"id": "a", "hyp": "ONE"}\n{"id": "a", "hyp": "TWO"}\n', r"decode.jsonl:2 \(id a\): duplicate of line 1"),
        ('{"id": "a"}\n', "decode.jsonl:1: field hyp is None"),
        ('{"id": 3, "hyp": ""}\n', "decode.jsonl:1: field id is 3"),
        ('["a"]\n', "decode.jsonl:1: got list"),
        ('{"id": "a", "hyp": "", "score": NaN}\n', "field score is nan"),
        ('{"id": "a", "hyp": "A", "words": "A"}\n', "field words is 'A'"),
        (
            '{"id": "a", "hyp": "A", "words": [{"word": "A", "start": 2, "end": 1, "confidence": 1}]}\n',
            "from 2.0 s to 1.0 s",
        ),
        ("\n", "holds no hypotheses"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "decode.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_hypotheses(path)


def test_missing_file_and_wrong_encoding(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_hypotheses(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(InputError, match="not UTF-8"):
        read_hypotheses(tmp_path / "latin.jsonl")


@pytest.mark.parametrize("hypotheses", [[], [Hypothesis("a", ""), Hypothesis("a", "")]])
def test_nothing_that_looks_whole_is_left_behind(tmp_path: Path, hypotheses: list[Hypothesis]) -> None:
    with pytest.raises(InputError):
        write_hypotheses(tmp_path / "decode.jsonl", hypotheses)
    assert list(tmp_path.iterdir()) == []


def test_reading_hypotheses_needs_no_torch() -> None:
    code = "import sys, atc_asr.hypotheses.hypotheses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
