"""decode.jsonl: one hypothesis a line, `{"id": …, "hyp": …}` first, richer fields after them."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.core.files import new_file


@dataclass(frozen=True)
class Word:
    """One recognised word; `start` and `end` in seconds, `confidence` in [0, 1]."""

    word: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Alternative:
    """One entry of an n-best list; `score` is a natural logarithm."""

    hyp: str
    score: float


@dataclass(frozen=True)
class Hypothesis:
    """What the decoder says about one utterance; `score` is a natural logarithm."""

    id: str
    hyp: str
    score: float | None = None
    words: tuple[Word, ...] = ()
    nbest: tuple[Alternative, ...] = ()


def to_json(hypothesis: Hypothesis) -> str:
    """One line of decode.jsonl; empty fields are left out."""
    line: dict[str, Any] = {"id": hypothesis.id, "hyp": hypothesis.hyp}
    if hypothesis.score is not None:
        line["score"] = round(hypothesis.score, 4)
    if hypothesis.words:
        line["words"] = [
            {
                "word": word.word,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
            }
            for word in hypothesis.words
        ]
    if hypothesis.nbest:
        line["nbest"] = [{"hyp": one.hyp, "score": round(one.score, 4)} for one in hypothesis.nbest]
    return json.dumps(line, ensure_ascii=False, allow_nan=False)


def write_hypotheses(path: Path, hypotheses: Iterable[Hypothesis]) -> None:
    """Write decode.jsonl, whole or not at all.

    Raises:
        InputError: there is no hypothesis to write, or an id comes twice.
    """
    seen: set[str] = set()
    with new_file(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        for hypothesis in hypotheses:
            if hypothesis.id in seen:
                raise InputError(f"{path}: id {hypothesis.id} comes twice, wanted one hypothesis an utterance")
            seen.add(hypothesis.id)
            file.write(to_json(hypothesis) + "\n")
        if not seen:
            raise InputError(f"{path}: no hypotheses to write, wanted at least one utterance")


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise InputError(f"{where}: field {key} is {value!r}, wanted a string")
    return value


def _number(row: Mapping[str, Any], key: str, where: str) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where}: field {key} is {value!r}, wanted a finite number")
    return float(value)


def _rows(row: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{where}: field {key} is {value!r}, wanted a list of objects")
    return value


def _word(row: Mapping[str, Any], where: str) -> Word:
    start, end, confidence = (_number(row, key, where) for key in ("start", "end", "confidence"))
    if not 0 <= start <= end:
        raise InputError(f"{where}: word from {start} s to {end} s, wanted 0 <= start <= end")
    if not 0 <= confidence <= 1:
        raise InputError(f"{where}: confidence is {confidence}, wanted 0 to 1")
    return Word(_text(row, "word", where), start, end, confidence)


def from_json(line: str, where: str) -> Hypothesis:
    """One line of decode.jsonl.

    Raises:
        InputError: the line is no JSON object, or a field is missing or of another type.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: is not a whole JSON line ({error.msg}), wanted {{'id': …, 'hyp': …}}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: got {type(row).__name__}, wanted an object with id and hyp")
    return Hypothesis(
        id=_text(row, "id", where),
        hyp=_text(row, "hyp", where),
        score=_number(row, "score", where) if "score" in row else None,
        words=tuple(_word(item, where) for item in _rows(row, "words", where)),
        nbest=tuple(
            Alternative(_text(item, "hyp", where), _number(item, "score", where)) for item in _rows(row, "nbest", where)
        ),
    )


def read_hypotheses(path: Path) -> list[Hypothesis]:
    """All hypotheses of a decode.jsonl, in file order.

    Raises:
        InputError: the file is missing or empty, a line is cut, a field is missing, an id comes twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 at byte {error.start}, wanted a decode.jsonl") from error
    hypotheses: list[Hypothesis] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        hypothesis = from_json(line, f"{path}:{number}")
        if hypothesis.id in lines:
            raise InputError(f"{path}:{number} (id {hypothesis.id}): duplicate of line {lines[hypothesis.id]}")
        lines[hypothesis.id] = number
        hypotheses.append(hypothesis)
    if not hypotheses:
        raise InputError(f"{path}: holds no hypotheses, wanted at least one line")
    return hypotheses
