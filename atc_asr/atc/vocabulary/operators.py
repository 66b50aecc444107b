"""Operators of aircraft: ICAO designators and telephony names, of this package and of a user's file.

The table of the package is operators.csv, whose head has its sources. A user's file is CSV with the columns `icao` and
`telephony`; its names come first where they are also names of the package.
"""

import csv
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atc_asr.core.errors import InputError
from atc_asr.core.text import normalize

TABLE = Path(__file__).with_name("operators.csv")
PHRASEOLOGY = Path(__file__).with_name("phraseology.txt")
DESIGNATOR = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Operator:
    """A telephony name of an operator.

    Attributes:
        icao: designator of three letters.
        telephony: name on the radio, lower case.
        country: empty where unknown.
        until: last year of the name, empty for a name in use.
        synthetic: whether the synthetic corpus speaks it.
    """

    icao: str
    telephony: str
    country: str = ""
    until: str = ""
    synthetic: bool = False


@functools.cache
def read_operators() -> tuple[Operator, ...]:
    """The table of this package."""
    rows = csv.DictReader(_data_lines(TABLE))
    return tuple(Operator(**{**row, "synthetic": row["synthetic"] == "yes"}) for row in rows)  # type: ignore[arg-type]


@functools.cache
def phraseology() -> frozenset[str]:
    """Upper-case words of air traffic control that name nothing by themselves."""
    return frozenset(" ".join(_data_lines(PHRASEOLOGY)).upper().split())


def _data_lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def name_key(words: Sequence[str]) -> str:
    """A name without spaces and spelling variants: `USAIR` for US AIR and U S AIR, `AIRFRANS` for AIR FRANCE."""
    return "".join(words).replace("FRANCE", "FRANS")


class Operators:
    """Finds telephony names in utterances."""

    def __init__(self, added: Sequence[Operator] = ()) -> None:
        own = {name_key([name]) for one in added for name in [normalize(one.telephony).replace(" ", "")]}
        self._designators: dict[str, set[str]] = {}
        self.names: dict[str, list[str]] = {}  # telephony names by designator, those in use first
        for one in (*added, *sorted(read_operators(), key=lambda row: row.until != "")):
            key = name_key(normalize(one.telephony).split())
            if one in added or key not in own:
                self._designators.setdefault(key, set()).add(one.icao)
                self.names.setdefault(one.icao, []).append(one.telephony)
        # The beginnings of all names, so that most words are looked up once.
        self._beginnings = {key[:length] for key in self._designators for length in range(1, len(key) + 1)}

    def begins(self, word: str) -> bool:
        """Whether a name begins with the word or with a part of it."""
        return name_key([word]) in self._beginnings

    def find(self, words: Sequence[str], start: int) -> tuple[str | None, int] | None:
        """Designator of the longest name at `start` and the position after the name.

        The designator is None for a name of several operators. None where no name begins.
        """
        found = None
        key = ""
        for end in range(start + 1, len(words) + 1):
            key = name_key([key, words[end - 1]])
            if key not in self._beginnings:
                break
            if key in self._designators:
                icao = self._designators[key]
                found = (next(iter(icao)) if len(icao) == 1 else None), end
        return found


@functools.cache
def load_operators(path: str | None = None) -> Operators:
    """The operators of this package, and of a user's file if given.

    Raises:
        InputError: the file or a row cannot be used; the message names the line.
    """
    return Operators(read_added(path))


@functools.cache
def read_added(path: str | None) -> tuple[Operator, ...]:
    """The operators of a user's file, none without a file.

    Raises:
        InputError: the file or a row cannot be used; the message names the line.
    """
    if path is None:
        return ()
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"icao", "telephony"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path}:1: got columns {reader.fieldnames}, wanted icao and telephony")
            return tuple(_added_row(row, f"{path}:{reader.line_num}") for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _added_row(row: dict[str, str | None], where: str) -> Operator:
    icao, telephony = ((row[name] or "").strip() for name in ("icao", "telephony"))
    if not DESIGNATOR.fullmatch(icao.upper()):
        raise InputError(f"{where}: got icao {icao!r}, wanted three letters")
    if not re.fullmatch(r"[A-Z]+( [A-Z]+)*", normalize(telephony)):
        raise InputError(f"{where}: got telephony {telephony!r}, wanted words of letters")
    return Operator(icao.upper(), normalize(telephony).lower())
