"""Callsigns expected on frequency, as a surveillance feed gives them, and how they are spoken.

The file is CSV: `callsign` (ICAO form: DAL1234, N123AB) and, when they are there, `file` (utterance id, or name of
the recording without its ending; empty = all), `start` and `end` (seconds in that file; empty = its ends).
"""

import csv
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atc_asr.atc.vocabulary.words import DIGITS, PHONETIC, RADIO_DIGITS, group_words, read_airlines
from atc_asr.core.errors import InputError

log = logging.getLogger(__name__)

COLUMNS = ("callsign", "file", "start", "end")
FLIGHT = re.compile(r"([A-Z]{3})(\d[0-9A-Z]{0,4})")  # ICAO Annex 10 volume II, 5.2.1.7.2.1: type c
TAIL = re.compile(r"N\d[0-9A-Z]{0,4}")  # 14 CFR 47.15
SHORT_TAIL = 3  # characters that a shortened tail number keeps (AIM 4-2-4)


@dataclass(frozen=True)
class ExpectedCallsign:
    """A callsign on frequency in a file (None = all) between two times in seconds."""

    callsign: str
    file: str | None
    start: float
    end: float


def _seconds(text: str, otherwise: float, where: str) -> float:
    if not text:
        return otherwise
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{where}: got {text!r}, wanted seconds") from None
    if not value >= 0:
        raise InputError(f"{where}: got {text}, wanted seconds >= 0")
    return value


def _expected(row: Mapping[str, str | None], where: str) -> ExpectedCallsign:
    callsign = (row["callsign"] or "").strip().upper()
    if not (FLIGHT.fullmatch(callsign) or TAIL.fullmatch(callsign)):
        raise InputError(f"{where}: callsign {callsign!r}, wanted ICAO form (DAL1234, N123AB)")
    start = _seconds((row.get("start") or "").strip(), 0.0, f"{where}: start")
    end = _seconds((row.get("end") or "").strip(), math.inf, f"{where}: end")
    if end < start:
        raise InputError(f"{where}: from {start} s to {end} s, wanted start <= end")
    return ExpectedCallsign(callsign, (row.get("file") or "").strip() or None, start, end)


def read_expected(path: Path) -> list[ExpectedCallsign]:
    """The callsigns of a file; an airline without telephony name is warned about and spelt in letters.

    Raises:
        InputError: the file or a row cannot be used; the message has its line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            unknown = set(reader.fieldnames or ()) - set(COLUMNS)
            if "callsign" not in (reader.fieldnames or ()) or unknown:
                raise InputError(f"{path}:1: columns {reader.fieldnames}, wanted callsign and any of file,start,end")
            expected = [_expected(row, f"{path}:{reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not expected:
        raise InputError(f"{path}: holds no callsigns, wanted one a line")
    telephony = telephony_names()
    airlines = {row.callsign[:3] for row in expected if not TAIL.fullmatch(row.callsign)}
    for airline in sorted(airlines - set(telephony)):
        log.warning("%s: airline %s has no telephony name here, its letters are spelt", path, airline)
    return expected


def telephony_names() -> dict[str, str]:
    """Telephony name by ICAO designator (atc_asr/atc/vocabulary/airlines.csv)."""
    return {airline.icao: airline.telephony for airline in read_airlines()}


def spell_characters(characters: str) -> list[str]:
    """Digits and letters one by one, the letters by their radio alphabet."""
    return [DIGITS[int(character)] if character.isdigit() else PHONETIC[character] for character in characters]


def with_variants(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Words as they are, with `oh` for zero, and with the radio's own digits (niner, tree, fife)."""
    yield tuple(words)
    yield tuple("oh" if word == "zero" else word for word in words)
    yield tuple(RADIO_DIGITS.get(word, word) for word in words)


def number_forms(number: str) -> Iterator[tuple[str, ...]]:
    """A flight number digit by digit, and in group form; letters at its end by the radio alphabet."""
    yield from with_variants(spell_characters(number))
    digits = number.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    if digits.isdigit() and len(digits) <= 4 and not digits.startswith("0"):
        yield from with_variants([*group_words(int(digits)).split(), *spell_characters(number[len(digits) :])])


def spoken_forms(callsign: str, telephony: Mapping[str, str]) -> tuple[str, ...]:
    """All ways to say a callsign, as transcripts write them, each once.

    Args:
        callsign: ICAO form, already checked.
        telephony: name by designator; a designator that is missing is spelt, by the radio alphabet and in letters.
    """
    forms: dict[str, None] = {}
    if TAIL.fullmatch(callsign):
        tails = (["november"], callsign[1:]), (["november"], callsign[-SHORT_TAIL:]), ([], callsign[-SHORT_TAIL:])
        for prefix, characters in tails:
            for words in with_variants(spell_characters(characters)):
                forms[" ".join((*prefix, *words))] = None
    else:
        airline, number = callsign[:3], callsign[3:]
        spelt = (" ".join(spell_characters(airline)), " ".join(airline))
        names = (telephony[airline],) if airline in telephony else spelt
        for name in names:
            for words in number_forms(number):
                forms[" ".join((name, *words))] = None
    return tuple(form.upper() for form in forms)


class CallsignBoost:
    """Spoken forms of the callsigns that are expected in a stretch of a file."""

    def __init__(self, expected: Iterable[ExpectedCallsign]) -> None:
        self._expected = list(expected)
        telephony = telephony_names()
        self._forms = {row.callsign: spoken_forms(row.callsign, telephony) for row in self._expected}

    def forms(self, file: str, start: float, end: float) -> tuple[str, ...]:
        """Texts to favour between two times (seconds) of a file, each once."""
        texts = {
            form: None
            for row in self._expected
            if row.file in (None, file) and row.start <= end and start <= row.end
            for form in self._forms[row.callsign]
        }
        return tuple(texts)
