"""Exchanges: clearances with what was read back, as JSON Lines."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from atc_asr.core.files import read_lines
from atc_asr.hypotheses.hypotheses import STRICT, parse_line

LIKE = r'\{"id": [^\n]*"alert": '  # beginning of the file
DIGITS = 3  # decimals of times and confidences
Result = Literal["correct", "wrong", "missing", "unreadable"]


@dataclass(frozen=True)
class Comparison:
    """A slot of a clearance and what was read back.

    Attributes:
        kind: kind of the slot, or `turn` for left and right.
        cleared: value in the clearance, None where it cannot be read.
        read: value in the readback, None where there is none or it cannot be read.
        result: correct, wrong, missing or unreadable.
        confidence: that the result is no error of the recogniser, 0 to 1; 1 for texts without confidences.
    """

    __pydantic_config__ = STRICT
    kind: str
    cleared: str | None
    read: str | None
    result: Result
    confidence: Annotated[float, Field(ge=0, le=1)]

    @property
    def is_fault(self) -> bool:
        """Whether it is worth an alert; a readback without a call sign is not."""
        return self.result == "wrong" or (self.result == "missing" and self.kind != "callsign")


@dataclass(frozen=True)
class Said:
    """A transmission; `start` and `end` in seconds of the recording."""

    __pydantic_config__ = STRICT
    id: str
    start: float
    end: float
    hyp: str


@dataclass(frozen=True)
class Exchange:
    """A clearance and its readback.

    Attributes:
        id: that of the clearance.
        alert: whether something is wrong or missing with a confidence of at least the threshold.
        file: the recording.
        callsign: of the clearance; where it cannot be read, of the readback.
        readback: None where nothing was read back.
    """

    __pydantic_config__ = STRICT
    id: str
    alert: bool
    file: str
    callsign: str | None
    clearance: Said
    readback: Said | None
    slots: tuple[Comparison, ...]


_LINE = TypeAdapter(Exchange)


def to_json(exchange: Exchange) -> str:
    """One line, numbers rounded."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rounded(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [*map(rounded, value)]
        return round(value, DIGITS) if isinstance(value, float) else value

    return json.dumps(rounded(asdict(exchange)), ensure_ascii=False, allow_nan=False)


def lines(exchanges: Iterable[Exchange]) -> str:
    """JSON Lines."""
    return "".join(to_json(exchange) + "\n" for exchange in exchanges)


def read_exchanges(path: Path) -> list[Exchange]:
    """The exchanges of a file of the command readback, which may be empty.

    Raises:
        InputError: the file cannot be read, or a line is no exchange.
    """
    rows = enumerate(read_lines(path), start=1)
    return [parse_line(_LINE, line, f"{path}:{number}", "an exchange") for number, line in rows if line.strip()]
