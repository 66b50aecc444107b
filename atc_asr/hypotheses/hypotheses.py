"""Reading and writing of decode.jsonl: a hypothesis per line, `{"id": ..., "hyp": ...}` and further fields."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from atc_asr.core.errors import InputError
from atc_asr.core.files import read_lines
from atc_asr.core.outputs import new_file

LIKE = r'\{"id": [^\n]*"hyp": '  # beginning of the file
STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # how a line is validated; constructors do not validate


@dataclass(frozen=True)
class Word:
    """A recognised word; `start` and `end` in seconds, `confidence` in [0, 1]."""

    __pydantic_config__ = STRICT
    word: str
    start: Annotated[float, Field(ge=0)]
    end: float
    confidence: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Alternative:
    """An entry of an n-best list; `score` is a natural logarithm."""

    __pydantic_config__ = STRICT
    hyp: str
    score: float


@dataclass(frozen=True)
class Hypothesis:
    """The recognised text of an utterance; `score` is a natural logarithm."""

    __pydantic_config__ = STRICT
    id: str
    hyp: str
    score: float | None = None
    words: tuple[Word, ...] = ()
    nbest: tuple[Alternative, ...] = ()
    greedy: str | None = None  # text of the best path, where another search made `hyp`


_LINE = TypeAdapter(Hypothesis)


def word_rows(words: Iterable[Word]) -> list[dict[str, Any]]:
    """Words as JSON objects."""
    digits = {"start": 3, "end": 3, "confidence": 4}
    return [{"word": word.word} | {key: round(getattr(word, key), digits[key]) for key in digits} for word in words]


def to_json(hypothesis: Hypothesis) -> str:
    """One line of decode.jsonl; empty fields are left out."""
    line: dict[str, Any] = {"id": hypothesis.id, "hyp": hypothesis.hyp}
    if hypothesis.score is not None:
        line["score"] = round(hypothesis.score, 4)
    if hypothesis.words:
        line["words"] = word_rows(hypothesis.words)
    if hypothesis.nbest:
        line["nbest"] = [{"hyp": entry.hyp, "score": round(entry.score, 4)} for entry in hypothesis.nbest]
    if hypothesis.greedy is not None:
        line["greedy"] = hypothesis.greedy
    return json.dumps(line, ensure_ascii=False, allow_nan=False)


def from_json(line: str, where: str) -> Hypothesis:
    """Parse one line of decode.jsonl; `where` is its file and number.

    Raises:
        InputError: the line is not a JSON object, or a field is missing or invalid.
    """
    try:
        hypothesis = _LINE.validate_json(line)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        wanted = error["msg"].removeprefix("Input should be ")
        if not error["loc"]:
            raise InputError(f"{where}: cannot be read ({wanted}), wanted an object with id and hyp") from None
        field = ".".join(map(str, error["loc"]))
        if error["type"] == "missing":
            raise InputError(f"{where}: field {field}: missing") from None
        raise InputError(f"{where}: field {field}: got {error['input']!r}, wanted {wanted}") from None
    for word in hypothesis.words:
        if word.start > word.end:
            raise InputError(f"{where}: word from {word.start} s to {word.end} s, wanted start <= end")
    return hypothesis


def write_hypotheses(path: Path, hypotheses: Iterable[Hypothesis]) -> None:
    """Write decode.jsonl; the file appears only when it is complete.

    Raises:
        InputError: there are no hypotheses, or two have the same id.
    """
    seen: set[str] = set()
    with new_file(path, LIKE) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        for hypothesis in hypotheses:
            if hypothesis.id in seen:
                raise InputError(f"{path}: id {hypothesis.id} occurs twice, wanted one hypothesis per utterance")
            seen.add(hypothesis.id)
            file.write(to_json(hypothesis) + "\n")
        if not seen:
            raise InputError(f"{path}: no hypotheses to write, wanted at least one utterance")


def read_hypotheses(path: Path) -> list[Hypothesis]:
    """All hypotheses of a decode.jsonl, see `each_hypothesis`."""
    return list(each_hypothesis(path))


def each_hypothesis(path: Path) -> Iterator[Hypothesis]:
    """Read the hypotheses of a decode.jsonl one by one, in file order.

    Raises:
        InputError: the file cannot be read or is empty, a line is invalid, or two lines have the same id.
    """
    line_numbers: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        hypothesis = from_json(line, f"{path}:{number}")
        first = line_numbers.setdefault(hypothesis.id, number)
        if first != number:
            raise InputError(f"{path}:{number} (id {hypothesis.id}): duplicate of line {first}")
        yield hypothesis
    if not line_numbers:
        raise InputError(f"{path}: no hypotheses, wanted at least one line")
