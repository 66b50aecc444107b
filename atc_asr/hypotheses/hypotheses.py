"""Reading and writing of decode.jsonl: a hypothesis per line, `{"id": ..., "hyp": ...}` and further fields."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from atc_asr.core.errors import InputError
from atc_asr.core.files import read_lines
from atc_asr.core.outputs import new_file

LIKE = r'\{"id": [^\n]*"hyp": '  # beginning of the file
STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # how a line is validated; constructors do not validate
Shape = TypeVar("Shape")
DOUBTFUL = 0.9  # confidence below which a word of a slot is doubtful


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
class SlotRow:
    """A slot of the text: a call sign, an altitude or another kind of docs/scoring.md.

    Attributes:
        value: None where it cannot be read.
        act: instruction, request, report or readback, None where the words do not tell.
        first_word: index of its first word in the text.
        last_word: index of its last word.
        start: seconds, None for a text without listed words; so are `end` and `confidence`.
        confidence: probability that all of its words are correct, see `rate_slot`.
        doubtful: its words with a confidence below `DOUBTFUL`.
    """

    __pydantic_config__ = STRICT
    kind: str
    value: str | None
    unit: str | None
    act: str | None
    first_word: Annotated[int, Field(ge=0)]
    last_word: Annotated[int, Field(ge=0)]
    start: float | None = None
    end: float | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    doubtful: tuple[str, ...] = ()


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
    callsign: str | None = None  # in ICAO form; None without one that can be read
    role: str | None = None  # controller or pilot; None where nothing tells
    role_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    slots: tuple[SlotRow, ...] | None = None  # None where slots were not read; then the three fields above are None


_LINE = TypeAdapter(Hypothesis)
SLOT_DIGITS = {"start": 3, "end": 3, "confidence": 4}


def rate_slot(slot: SlotRow, words: Sequence[Word]) -> SlotRow:
    """A slot with the times and the confidence of its words; `words` are those of the text, or none.

    The confidence is the lowest of its words: errors in a number come together, so that the product is too low.
    """
    own = words[slot.first_word : slot.last_word + 1]
    if not own:
        return slot if slot.confidence is None else replace(slot, start=None, end=None, confidence=None, doubtful=())
    confidences = [word.confidence for word in own]
    doubtful = tuple(word.word for word in own if word.confidence < DOUBTFUL)
    return replace(slot, start=own[0].start, end=own[-1].end, confidence=min(confidences), doubtful=doubtful)


def word_rows(words: Iterable[Word]) -> list[dict[str, Any]]:
    """Words as JSON objects."""
    digits = {"start": 3, "end": 3, "confidence": 4}
    return [{"word": word.word} | {key: round(getattr(word, key), digits[key]) for key in digits} for word in words]


def slot_fields(hypothesis: Hypothesis) -> dict[str, Any]:
    """Call sign, role and slots as JSON fields; empty where slots were not read."""
    if hypothesis.slots is None:
        return {}
    rows = [asdict(slot) for slot in hypothesis.slots]
    for row in rows:
        row |= {key: round(row[key], digits) for key, digits in SLOT_DIGITS.items() if row[key] is not None}
    role_confidence = None if hypothesis.role_confidence is None else round(hypothesis.role_confidence, 4)
    return {
        "callsign": hypothesis.callsign,
        "role": hypothesis.role,
        "role_confidence": role_confidence,
        "slots": rows,
    }


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
    line |= slot_fields(hypothesis)
    return json.dumps(line, ensure_ascii=False, allow_nan=False)


def parse_line(shape: TypeAdapter[Shape], line: str, where: str, wanted: str) -> Shape:
    """Parse one line of JSON Lines; `where` is its file and number, `wanted` what it should be.

    Raises:
        InputError: the line is not a JSON object, or a field is missing or invalid.
    """
    try:
        return shape.validate_json(line)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        reason = error["msg"].removeprefix("Input should be ")
        if not error["loc"]:
            raise InputError(f"{where}: cannot be read ({reason}), wanted {wanted}") from None
        field = ".".join(map(str, error["loc"]))
        if error["type"] == "missing":
            raise InputError(f"{where}: field {field}: missing") from None
        raise InputError(f"{where}: field {field}: got {error['input']!r}, wanted {reason}") from None


def from_json(line: str, where: str) -> Hypothesis:
    """Parse one line of decode.jsonl; `where` is its file and number.

    Raises:
        InputError: see `parse_line`.
    """
    hypothesis = parse_line(_LINE, line, where, "an object with id and hyp")
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
