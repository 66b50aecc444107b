"""Expected call signs, for instance of a surveillance feed, and their spoken forms.

The file is CSV with the column `callsign` (ICAO form: DAL1234, N123AB) and, optionally, `file` (utterance id, or name
of the recording without its suffix; empty = all files), `start` and `end` (seconds in that file; empty = its ends).
"""

import csv
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atc_asr.atc.vocabulary.callsigns import SHORT_LENGTH, icao_form, is_registration
from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.atc.vocabulary.words import DIGITS, PHONETIC, RADIO_DIGITS, group_words, is_tail
from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.core.files import read_lines

log = logging.getLogger(__name__)

COLUMNS = ("callsign", "file", "start", "end")


@dataclass(frozen=True)
class ExpectedCallsign:
    """A call sign expected in a file (None = all) between two times in seconds."""

    callsign: str
    file: str | None
    start: float
    end: float


def _seconds(text: str, default: float, where: str) -> float:
    try:
        value = float(text or default)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise InputError(f"{where}: got {text!r}, wanted seconds >= 0")
    return value


def _expected(row: Mapping[str, str | None], where: str) -> ExpectedCallsign:
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    callsign = icao_form(cells["callsign"])
    if callsign is None:
        raise InputError(f"{where}: got callsign {cells['callsign']!r}, wanted ICAO form (DAL1234, N123AB)")
    start = _seconds(cells["start"], 0.0, f"{where}: start")
    end = _seconds(cells["end"], math.inf, f"{where}: end")
    if end < start:
        raise InputError(f"{where}: got {start} s to {end} s, wanted start <= end")
    return ExpectedCallsign(callsign, cells["file"] or None, start, end)


def read_expected(path: Path) -> list[ExpectedCallsign]:
    """Read a file of expected call signs.

    Raises:
        InputError: the file or a row cannot be used; the message names the line.
    """
    try:
        reader = csv.DictReader(read_lines(path, newline=""))
        columns = list(reader.fieldnames or ())
        if "callsign" not in columns or not set(columns) <= set(COLUMNS):
            raise InputError(f"{path}:1: got columns {columns}, wanted callsign and any of file,start,end")
        expected = [_expected(row, f"{path}:{reader.line_num}") for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not expected:
        raise InputError(f"{path}: no call signs, wanted one per line")
    return expected


def spell_characters(characters: str) -> list[str]:
    """The words of digits and letters, one by one; letters in the radio alphabet."""
    return [DIGITS[int(character)] if character.isdigit() else PHONETIC[character] for character in characters]


def with_variants(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The words, the words with `oh` for zero, and the words with the radio's digits (niner, tree, fife)."""
    yield tuple(words)
    yield tuple("oh" if word == "zero" else word for word in words)
    yield tuple(RADIO_DIGITS.get(word, word) for word in words)


def number_forms(number: str) -> Iterator[tuple[str, ...]]:
    """A flight number digit by digit and in group form; letters at its end in the radio alphabet."""
    yield from with_variants(spell_characters(number))
    digits = number.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    if digits.isdigit() and len(digits) <= 4 and not digits.startswith("0"):
        yield from with_variants([*group_words(int(digits)).split(), *spell_characters(number[len(digits) :])])


def spoken_forms(callsign: str, names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """All spoken forms of a call sign in ICAO form as transcripts write them, without duplicates.

    `names` has the telephony names by ICAO designator; other designators are spelled, in the radio alphabet and in
    letters. A registration is spoken whole and shortened: in the United States its last three characters, elsewhere its
    first and its last two.
    """
    if is_tail(callsign):
        short = callsign[-SHORT_LENGTH:]
        tails = (("november",), callsign[1:]), (("november",), short), ((), short)
        forms = [
            (*prefix, *words) for prefix, characters in tails for words in with_variants(spell_characters(characters))
        ]
    elif is_registration(callsign):
        texts = (callsign, callsign[0] + callsign[-2:])
        forms = [words for text in texts for words in with_variants(spell_characters(text))]
    else:
        operator, number = callsign[:3], callsign[3:]
        spelled = (" ".join(spell_characters(operator)), " ".join(operator))
        forms = [(name, *words) for name in names.get(operator, spelled) for words in number_forms(number)]
    return tuple(dict.fromkeys(" ".join(form).upper() for form in forms))


class CallsignBoost:
    """Spoken forms of the call signs that are expected in a part of a file."""

    def __init__(self, expected: Iterable[ExpectedCallsign], operators: str | None = None) -> None:
        """Use the operators of this package and of a user's file; a warning is logged for those without a name.

        Raises:
            InputError: the file of operators cannot be used.
        """
        self._expected = list(expected)
        names = load_operators(operators).names
        self._forms = {row.callsign: spoken_forms(row.callsign, names) for row in self._expected}
        flights = (callsign for callsign in self._forms if not is_registration(callsign))
        for designator in sorted({flight[:3] for flight in flights}.difference(names)):
            log.warning(messages.NO_TELEPHONY_NAME, designator)

    def forms(self, file: str, start: float, end: float) -> tuple[str, ...]:
        """Texts to boost between two times (seconds) of a file, without duplicates."""
        rows = (row for row in self._expected if row.file in (None, file) and row.start <= end and start <= row.end)
        return tuple(dict.fromkeys(form for row in rows for form in self._forms[row.callsign]))
