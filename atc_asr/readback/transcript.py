"""Transcripts of recordings: lines of transcribe, or others with text and times."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from atc_asr.atc.grammar.structure import add_slots
from atc_asr.atc.vocabulary.operators import Operators
from atc_asr.core.errors import InputError
from atc_asr.core.files import read_lines
from atc_asr.core.text import normalize
from atc_asr.hypotheses.hypotheses import STRICT, Hypothesis, SlotRow, parse_line


@dataclass(frozen=True)
class Line(Hypothesis):
    """A line of a transcript; `start` and `end` in seconds of the recording `file`."""

    __pydantic_config__ = STRICT
    file: str = ""
    start: float | None = None
    end: float | None = None


_LINE = TypeAdapter(Line)


@dataclass(frozen=True)
class Transmission:
    """A transmission whose slots and times are known; `start` and `end` in seconds of the recording `file`."""

    file: str
    start: float
    end: float
    hypothesis: Hypothesis

    @property
    def slots(self) -> Sequence[SlotRow]:
        """The slots in spoken order."""
        return self.hypothesis.slots or ()


def read_transcript(path: Path, operators: Operators) -> tuple[list[list[Transmission]], Counter[str]]:
    """The transmissions of each recording in the order of their starts, and counts of lines with less information.

    Slots are read from the text where a line has none. Lines without times are left out.

    Raises:
        InputError: the file cannot be read, a line is invalid, or no line has times.
    """
    files: dict[str, list[Transmission]] = {}
    counts: Counter[str] = Counter()
    for number, text in enumerate(read_lines(path), start=1):
        if not text.strip():
            continue
        line = parse_line(_LINE, text, f"{path}:{number}", "an object with id, hyp, start and end")
        if line.start is None or line.end is None or line.end < line.start:
            counts["lines without times, left out"] += 1
            continue
        has_slots = line.slots is not None
        hypothesis = line if has_slots else add_slots(replace(line, hyp=normalize(line.hyp)), operators)
        counts["lines of unknown speakers"] += hypothesis.role is None
        files.setdefault(line.file, []).append(Transmission(line.file, line.start, line.end, hypothesis))
    if not files:
        got = f"{counts.total()} lines without times" if counts else "an empty file"
        raise InputError(f"{path}: got {got}, wanted a transcript with start and end, as transcribe writes it")
    for transmissions in files.values():
        transmissions.sort(key=lambda one: (one.start, one.end))
        latest = 0.0
        for one in transmissions:
            counts["transmissions that begin before another ends"] += one.start < latest
            latest = max(latest, one.end)
    return [*files.values()], +counts
