"""Call signs: from spoken words to ICAO form (`UAL686`, `N345AB`).

A flight is called by the telephony name of its operator and up to four characters (ICAO Annex 10, volume II,
5.2.1.7.2.1, type c), another aircraft by its registration, whole or shortened to its last three characters
(Aeronautical Information Manual, 4-2-4). Words with two readings make a call sign that cannot be read: a wrong call
sign is worse than one that is counted as unreadable.

To add an operator, add a row to atc_asr/atc/vocabulary/airlines.csv; a further name of one belongs in `OTHER_NAMES`.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

from atc_asr.atc.grammar.spoken_numbers import Numeral, join_digits, read_run, word_at
from atc_asr.atc.vocabulary import words as vocabulary

LETTERS = {word.upper(): letter for letter, word in vocabulary.PHONETIC.items()} | {
    "ALFA": "A", "JULIETT": "J", "JULIETTE": "J", "WHISKY": "W", "QUEBECK": "Q",
}  # fmt: skip
# Makes, models and kinds of flight, said instead of NOVEMBER before a US registration.
AIRCRAFT = frozenset(word.upper() for word in vocabulary.AIRCRAFT) | frozenset(
    "APACHE ARCHER ARROW AZTEC BARON BEECH BEECHCRAFT CARAVAN CARDINAL CENTURION CHALLENGER CHEYENNE CITATION "
    "COMANCHE COMMANDER CONQUEST DIAMOND DUKE EXPERIMENTAL FALCON GRUMMAN GULFSTREAM HAWKER HELICOPTER LANCE LEAR "
    "LEARJET LIFEGUARD MALIBU MEDEVAC MERLIN MITSUBISHI MOONEY NAVAJO PILATUS PIPER SABRELINER SARATOGA SEMINOLE "
    "SENECA SKYLANE SKYMASTER TOMAHAWK WARRIOR WESTWIND".split()
)
AIRCRAFT_PAIRS = frozenset({("KING", "AIR"), ("TWIN", "CESSNA"), ("TWIN", "COMMANDER"), ("TWIN", "BEECH")})
# Names of operators other than their telephony name in the table, without spaces.
OTHER_NAMES = {"FRONTIER": "FFT", "AMERICAWEST": "AWE"}
# Telephony name without spaces -> ICAO designator: USAIR for US AIR and U S AIR.
TELEPHONY = {row.telephony.upper().replace(" ", ""): row.icao for row in vocabulary.read_airlines()} | OTHER_NAMES
DESIGNATORS = frozenset(TELEPHONY.values())
MAX_TELEPHONY_WORDS = max(len(row.telephony.split()) for row in vocabulary.read_airlines())
# Flights without an ICAO designator in the table: recognised as a call sign that cannot be read.
MILITARY = frozenset({("ARMY",), ("NAVY",), ("MARINE",), ("AIR", "FORCE"), ("COAST", "GUARD"), ("GUARD", "COPTER")})
WAKE_CATEGORIES = frozenset({"HEAVY", "SUPER"})
# Nationality marks of registrations that consist of letters (ICAO Annex 7).
LETTER_MARKS = ("G", "F", "I", "DE", "HB", "OE", "OK", "OM", "OO", "PH", "SP", "LN", "SE", "OY", "EC", "CS", "EI", "HA")

# An operator's name after one of these describes other traffic and is no call sign.
DESCRIBING = frozenset({"A", "AN", "THE", "THAT", "ANOTHER", "BEHIND", "FOLLOW", "FOLLOWING", "COMPANY", "IS"})
AIRLINER_TYPES = frozenset("707 717 727 737 747 757 767 777 787 319 320 321 330 340 350 380 145 190".split())
LIGHT_TYPES = frozenset("150 152 172 182 206 208 210 310 340 402 414 421".split())
# A letter after one of these names a taxiway, a gate or a recorded weather information.
BEFORE_PLACES = frozenset(
    "VIA TAXIWAY INFORMATION GATE SPOT INTERSECTION ON AT CATEGORY SHORT OF WITH CROSS CROSSING AND RAMP".split()
)
# One letter after one of these is a complete name: INFORMATION KILO, WITH KILO.
BEFORE_SINGLE_LETTERS = frozenset({"INFORMATION", "WITH", "HAVE"})
TAXI_WORDS = frozenset({"TAXI", "VIA", "TAXIWAY", "RAMP", "GATE", "SPOT", "TAXIING"})
SIDES = {"LEFT": "L", "RIGHT": "R", "CENTER": "C", "CENTRE": "C"}
AFTER_TURN = frozenset({"TURN", "HEADING", "TO", "DOWNWIND", "BASE", "TRAFFIC", "CLOSED", "ON", "ONTO", "AT"})

MAX_FLIGHT_LENGTH = 4
MAX_TAIL_LENGTH = 5
SHORT_TAIL_LENGTH = 3

WRITTEN_FLIGHT = re.compile(r"([A-Z]{3})([1-9]\d{0,3}[A-Z]{0,2})")
WRITTEN_TAIL = re.compile(r"N[1-9](?:\d{0,4}|\d{0,3}[A-HJ-NP-Z]|\d{0,2}[A-HJ-NP-Z]{2})")


@dataclasses.dataclass(frozen=True)
class Callsign:
    """A spoken call sign.

    Attributes:
        icao: `UAL686`, `N345AB`; `*5AB` for the last characters of a registration; None where it cannot be read.
        end: position after its last word.
        operator: `UAL`; `N` for a US registration, empty for call signs without an operator.
    """

    icao: str | None
    end: int
    operator: str


def read_callsign(words: Sequence[str], start: int) -> Callsign | None:
    """The call sign that begins at position `start`; None where none does."""
    readers = (_read_written, _read_flight, _read_tail, _read_letters, _read_military, _read_short_tail)
    return next((found for read in readers if (found := read(words, start)) is not None), None)


def reread_callsign(words: Sequence[str], start: int, operator: str) -> Callsign | None:
    """A corrected call sign without its operator: UNITED SIX EIGHTY SIX CORRECTION SIX EIGHTY EIGHT."""
    if operator == "N":
        return _read_tail_number(words, start)
    return _read_flight_number(words, start, operator) if operator and read_run(words, start) else None


def _read_written(words: Sequence[str], start: int) -> Callsign | None:
    flight = WRITTEN_FLIGHT.fullmatch(words[start])
    if flight and flight[1] in DESIGNATORS and len(flight[2]) <= MAX_FLIGHT_LENGTH:
        return Callsign(words[start], start + 1, flight[1])
    if WRITTEN_TAIL.fullmatch(words[start]) and len(words[start]) > 2:
        return Callsign(words[start], start + 1, "N")
    return None


def _find_operator(words: Sequence[str], start: int) -> tuple[str, int] | None:
    """ICAO designator of the longest telephony name at `start`, and the position after the name."""
    for end in range(min(len(words), start + MAX_TELEPHONY_WORDS), start, -1):
        name = "".join(words[start:end])
        if name in TELEPHONY:
            return TELEPHONY[name], end
    return None


def _read_flight(words: Sequence[str], start: int) -> Callsign | None:
    found = _find_operator(words, start)
    if found is None:
        return None
    operator, position = found
    run = read_run(words, position)
    if not run or run[0].kind != "digits":
        return None
    if words[start] in LETTERS and _names_place(words, start):
        return _read_at_place(words, run, operator)
    types = {join_digits(run[:length]) for length in range(1, len(run) + 1)}
    if word_at(words, start - 1) in DESCRIBING and types & AIRLINER_TYPES:
        return None
    return _read_flight_number(words, position, operator)


def _names_place(words: Sequence[str], start: int) -> bool:
    """Whether the letter at `start` may name a taxiway, a gate or a recorded information."""
    before = word_at(words, start - 1)
    if before in LETTERS:
        return word_at(words, start - 2) not in BEFORE_SINGLE_LETTERS
    return before in BEFORE_PLACES


def _read_at_place(words: Sequence[str], run: Sequence[Numeral], operator: str) -> Callsign | None:
    """A run after a letter that may name a place: the number of a taxiway if short, else an unreadable call sign."""
    letters, end = _letters_from(words, run[-1].end)
    digits = join_digits(run)
    is_short = digits is not None and len(digits + letters) < SHORT_TAIL_LENGTH
    return None if is_short else Callsign(None, end, operator)


def _read_flight_number(words: Sequence[str], start: int, operator: str) -> Callsign:
    run = read_run(words, start)
    number = _split_number(run, words, MAX_FLIGHT_LENGTH)
    if number is None:
        return Callsign(None, _skip_wake_category(words, run[-1].end), operator)
    digits, end = number
    letters, letters_end = _suffix_letters(words, end, MAX_FLIGHT_LENGTH - len(digits))
    if letters is None:
        return Callsign(None, letters_end, operator)
    return Callsign(f"{operator}{digits}{letters}", _skip_wake_category(words, letters_end), operator)


def _skip_wake_category(words: Sequence[str], position: int) -> int:
    return position + (word_at(words, position) in WAKE_CATEGORIES)


def _suffix_letters(words: Sequence[str], position: int, max_letters: int) -> tuple[str | None, int]:
    """The letters that end a flight number; None where they may name a taxiway or begin the next call sign."""
    letters, end = _letters_from(words, position)
    if not letters or (_begins_flight(words, position) and _goes_on(words, end)):
        return "", position
    if len(letters) > min(max_letters, 2) or read_run(words, end) or TAXI_WORDS & set(words):
        return None, end
    return letters, end


def _begins_flight(words: Sequence[str], position: int) -> bool:
    found = _find_operator(words, position)
    return found is not None and bool(read_run(words, found[1]))


def _letters_from(words: Sequence[str], position: int) -> tuple[str, int]:
    """Consecutive letters, and the position after them; X-ray is one word or two."""
    letters = ""
    while True:
        if word_at(words, position) == "X" and word_at(words, position + 1) == "RAY":
            letters, position = letters + "X", position + 2
        elif word_at(words, position) in LETTERS:
            letters, position = letters + LETTERS[words[position]], position + 1
        else:
            return letters, position


def _split_number(run: Sequence[Numeral], words: Sequence[str], max_length: int) -> tuple[str, int] | None:
    """The digits of a call sign at the start of a run, and the position after them.

    Speakers put the next number directly after it (UNITED SIX EIGHTY SIX FIVE MILES FROM ...): the word after the run
    decides what number the run must end with. None where no division or more than one makes sense.
    """
    candidates = set(_divisions(run, words, max_length))
    return candidates.pop() if len(candidates) == 1 else None


def _divisions(run: Sequence[Numeral], words: Sequence[str], max_length: int) -> Iterator[tuple[str, int]]:
    use = _use_of_run(run, words)
    if use != "callsign":
        for length in range(1, len(run)):
            digits = _callsign_digits(run[:length], max_length)
            if digits is not None and _can_be(run[length:], use):
                yield digits, run[length - 1].end
    if use in ("callsign", "side") or (use == "thousand" and len(run) == 2):
        digits = _callsign_digits(run, max_length)
        if digits is not None:
            yield digits, run[-1].end


def _callsign_digits(run: Sequence[Numeral], max_length: int) -> str | None:
    """The digits of a run as flight number or registration; only a shortened registration may begin with zero."""
    text = join_digits(run)
    if text is None or len(text) > max_length:
        return None
    shortened = max_length == MAX_TAIL_LENGTH and len(text) == SHORT_TAIL_LENGTH
    return text if text[0] != "0" or shortened else None


def _use_of_run(run: Sequence[Numeral], words: Sequence[str]) -> str:
    """The number that a run ends with: `thousand`, `point`, a unit, `side` of a runway; `callsign` for none."""
    kinds = [numeral.kind for numeral in run]
    for kind in ("thousand", "point"):
        if kind in kinds:
            return kind
    position = run[-1].end
    word, following = word_at(words, position), word_at(words, position + 1)
    if tuple(words[position : position + 3]) == ("ON", "THE", "SPEED"):
        return "KNOTS"
    if word == "O" and following == "CLOCK":
        return "OCLOCK"
    if word in ("MILE", "MILES", "OCLOCK", "DEGREES", "KNOTS", "MINUTES", "FEET"):
        return word.replace("MILES", "MILE")
    if word in SIDES and following not in AFTER_TURN and not read_run(words, position + 1):
        return "side"
    return "callsign"


def _can_be(numerals: Sequence[Numeral], use: str) -> bool:
    """Whether numerals at the end of a run can be a number of the use that `_use_of_run` returned."""
    kinds = [numeral.kind for numeral in numerals]
    if use in ("thousand", "point"):
        # In THREE THOUSAND ONE the number of thousands is THREE alone.
        numerals = numerals[: kinds.index(use)] if use in kinds else ()
    if use == "FEET" and kinds[-1:] == ["hundred"]:
        numerals = numerals[:-1]
    if not numerals or any(numeral.kind != "digits" for numeral in numerals):
        return False
    text = "".join(numeral.digits for numeral in numerals)
    if use == "point":
        # Only group form leaves out the leading 1 of a frequency.
        complete = len(text) == 3 and text[0] == "1"
        return (complete or (len(text) == 2 and len(numerals) == 1)) and 18 <= int(text[-2:]) <= 36
    if text[0] == "0" and use != "side":
        return False
    if use == "KNOTS":
        return len(text) == 3
    # From 18,000 feet up altitudes are flight levels (14 CFR 91.121).
    highest = {"thousand": 18, "MILE": 60, "OCLOCK": 12, "DEGREES": 90, "MINUTES": 60, "FEET": 99, "side": 36}[use]
    said_twice = len(text) == 4 and text[:2] == text[2:]
    return (len(text) <= 2 and 1 <= int(text) <= highest) or (use == "thousand" and said_twice)


def _read_tail(words: Sequence[str], start: int) -> Callsign | None:
    """A registration after NOVEMBER or after the name of the aircraft."""
    named = 2 if tuple(words[start : start + 2]) in AIRCRAFT_PAIRS else int(words[start] in AIRCRAFT)  # words
    if named and word_at(words, start - 1) in DESCRIBING:
        return None
    november = word_at(words, start + named) == "NOVEMBER"
    position = start + named + november
    run = read_run(words, position)
    if not run or not (named or november):
        return None
    if not named and _names_place(words, start):
        return _read_at_place(words, run, "N")
    found = _read_tail_number(words, position)
    if november or found is None or found.icao is None:
        return found
    is_type = found.icao[1:] in LIGHT_TYPES or len(found.icao) <= SHORT_TAIL_LENGTH
    return Callsign(None, found.end, "N") if is_type else found


def _read_tail_number(words: Sequence[str], start: int) -> Callsign | None:
    run = read_run(words, start)
    if not run:
        return None
    letters, end = _letters_from(words, run[-1].end)
    if letters and _begins_flight(words, run[-1].end):
        # ONE SIX DELTA TWO THOUSAND: DELTA is a letter of the registration, or an operator.
        return Callsign(None, end, "N")
    if letters:
        digits = join_digits(run)
        text = f"{digits}{letters}"
        whole = re.fullmatch(r"[1-9]\d*[A-Z]{1,2}", text) and len(text) <= MAX_TAIL_LENGTH
        shortened = re.fullmatch(r"0\d?[A-Z]{1,2}", text) and len(text) == SHORT_TAIL_LENGTH
        complete = len(letters) == 2 or len(text) == MAX_TAIL_LENGTH or not _goes_on(words, end)
        clear = digits is not None and complete and (whole or shortened)
        return Callsign(f"N{text}" if clear else None, end, "N")
    number = _split_number(run, words, MAX_TAIL_LENGTH)
    if number is None or len(number[0]) == 1:
        return Callsign(None, run[-1].end, "N")
    return Callsign(f"N{number[0]}", number[1], "N")


def _goes_on(words: Sequence[str], position: int) -> bool:
    """Whether a number without a unit follows, which may belong to the call sign before it."""
    run = read_run(words, position)
    return bool(run) and _use_of_run(run, words) == "callsign"


def _read_letters(words: Sequence[str], start: int) -> Callsign | None:
    """A registration of five letters: GOLF ALPHA BRAVO CHARLIE DELTA."""
    letters, end = _letters_from(words, start)
    if len(letters) != MAX_TAIL_LENGTH or not letters.startswith(LETTER_MARKS):
        return None
    return None if _names_place(words, start) or read_run(words, end) else Callsign(letters, end, "")


def _read_military(words: Sequence[str], start: int) -> Callsign | None:
    for length in (2, 1):
        if tuple(words[start : start + length]) in MILITARY and word_at(words, start - 1) not in DESCRIBING:
            run = read_run(words, start + length)
            return Callsign(None, run[-1].end, "") if run else None
    return None


def _read_short_tail(words: Sequence[str], start: int) -> Callsign | None:
    """A registration without NOVEMBER or a name (THREE ALPHA BRAVO), where an utterance begins or ends with it."""
    run = read_run(words, start)
    if not run or any(numeral.kind != "digits" for numeral in run):
        return None
    letters, end = _letters_from(words, run[-1].end)
    text = f"{join_digits(run)}{letters}"
    shortened = len(text) == SHORT_TAIL_LENGTH and len(letters) in (1, 2)
    without_mark = SHORT_TAIL_LENGTH < len(text) <= MAX_TAIL_LENGTH and len(letters) == 2
    at_edge = start == 0 or end == len(words)
    if not (shortened or without_mark) or not at_edge or _names_place(words, start):
        return None
    # Two letters end a registration (14 CFR 47.15); after one letter a digit may belong to it.
    goes_on = len(letters) < 2 and bool(read_run(words, end))
    if TAXI_WORDS & set(words[max(0, start - 3) : start]) or _begins_flight(words, run[-1].end) or goes_on:
        return None
    return Callsign(f"*{text}", end, "N")
