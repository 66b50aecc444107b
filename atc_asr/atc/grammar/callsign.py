"""Call signs: from spoken words to ICAO form (`UAL686`, `N345AB`).

A flight is called by the telephony name of its operator and up to four characters (ICAO Annex 10, volume II,
5.2.1.7.2.1, type c), another aircraft by its registration: whole, shortened to its last three characters (Aeronautical
Information Manual, 4-2-4), or to its first and its last two characters or the type and these two (ICAO Annex 10,
5.2.1.7.2.2). Words with two readings make a call sign that cannot be read, and so do words that have the shape of a
call sign where one stands: a wrong call sign is worse than one that is counted as unreadable.

Operators are rows of atc_asr/atc/vocabulary/operators.csv and of the file `score.operators`.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from atc_asr.atc.grammar.spoken_numbers import (
    DIGITS,
    NUMBER_WORDS,
    REPEATS,
    Numeral,
    is_number_word,
    join_digits,
    read_run,
    word_at,
)
from atc_asr.atc.vocabulary import words as vocabulary
from atc_asr.atc.vocabulary.callsigns import is_registration
from atc_asr.atc.vocabulary.operators import Operators, phraseology
from atc_asr.atc.vocabulary.words import is_tail

LETTERS = {word.upper(): letter for letter, word in vocabulary.PHONETIC.items()} | {
    "ALFA": "A", "JULIETT": "J", "JULIETTE": "J", "WHISKY": "W", "QUEBECK": "Q",
}  # fmt: skip
# Makes, models and kinds of flight, said instead of NOVEMBER before a US registration.
AIRCRAFT = frozenset(word.upper() for word in vocabulary.AIRCRAFT) | frozenset(
    "APACHE ARCHER ARROW AZTEC BARON BEECH BEECHCRAFT CARAVAN CARDINAL CENTURION CHALLENGER CHEYENNE CITATION "
    "COMANCHE COMMANDER CONQUEST DIAMOND DUKE EXPERIMENTAL FALCON GRUMMAN GULFSTREAM HAWKER HELICOPTER LANCE LEAR "
    "LEARJET LIFEGUARD MALIBU MEDEVAC MERLIN MITSUBISHI MOONEY NAVAJO PILATUS PIPER SABRELINER SARATOGA SEMINOLE "
    "SENECA SKYLANE SKYMASTER TOMAHAWK WARRIOR WESTWIND HELI ROBIN GLIDER BALLOON KATANA TECNAM SOCATA".split()
)
AIRCRAFT_PAIRS = frozenset({("KING", "AIR"), ("TWIN", "CESSNA"), ("TWIN", "COMMANDER"), ("TWIN", "BEECH")})
# Flights without an ICAO designator in the table: recognised as a call sign that cannot be read.
MILITARY = frozenset({("ARMY",), ("NAVY",), ("MARINE",), ("AIR", "FORCE"), ("COAST", "GUARD"), ("GUARD", "COPTER")})
# Words that begin a call sign, other than names of operators.
FIRST_WORDS = frozenset(
    [*LETTERS, "X", *NUMBER_WORDS, *REPEATS, *AIRCRAFT, *(pair[0] for pair in [*AIRCRAFT_PAIRS, *MILITARY])]
)
WAKE_CATEGORIES = frozenset({"HEAVY", "SUPER"})
# Words before a call sign: stations, greetings and acknowledgements.
STATIONS = frozenset(
    "RADAR CONTROL TOWER GROUND APPROACH DEPARTURE DEPARTURES CENTER CENTRE DIRECTOR ARRIVAL ARRIVALS DELIVERY "
    "INFORMATION RADIO APRON RAMP CLEARANCE SOCAL NORCAL POTOMAC".split()
)
TALK = frozenset(
    "HELLO HI MORNING AFTERNOON EVENING DAY NIGHT BYE GOODBYE CIAO ROGER OKAY OK WILCO AFFIRM AFFIRMATIVE NEGATIVE "
    "THANKS YOU CORRECT CORRECTION BREAK COPIED SORRY YES NO SIR CONFIRM".split()
)
# An operator's name after one of these describes other traffic and is no call sign.
DESCRIBING = frozenset({"A", "AN", "THE", "THAT", "ANOTHER", "BEHIND", "FOLLOW", "FOLLOWING", "COMPANY", "IS"})
OTHER_TRAFFIC = frozenset({"THE", "THAT", "ANOTHER", "BEHIND", "FOLLOW", "FOLLOWING"})
AIRLINER_TYPES = frozenset("707 717 727 737 747 757 767 777 787 319 320 321 330 340 350 380 145 190".split())
LIGHT_TYPES = frozenset("150 152 172 182 206 208 210 310 340 402 414 421".split())
# A letter after one of these names a taxiway, a gate or a recorded weather information.
BEFORE_PLACES = frozenset(
    "VIA TAXIWAY INFORMATION GATE SPOT INTERSECTION ON AT CATEGORY SHORT OF WITH CROSS CROSSING AND RAMP STAND BAY "
    "POSITION POINT PARKING TAXI VACATE CONTINUE DIRECT".split()
)
# One letter after one of these is a complete name: INFORMATION KILO, WITH KILO.
BEFORE_SINGLE_LETTERS = frozenset({"INFORMATION", "WITH", "HAVE"})
PROCEDURES = frozenset({"DEPARTURE", "ARRIVAL", "TRANSITION", "APPROACH"})
TAXI_WORDS = frozenset({"TAXI", "VIA", "TAXIWAY", "RAMP", "GATE", "SPOT", "TAXIING"})
SIDES = {"LEFT": "L", "RIGHT": "R", "CENTER": "C", "CENTRE": "C"}
AFTER_TURN = frozenset({"TURN", "HEADING", "TO", "DOWNWIND", "BASE", "TRAFFIC", "CLOSED", "ON", "ONTO", "AT"})

MAX_UNKNOWN_WORDS = 3
MAX_FLIGHT_LENGTH = 4
MAX_TAIL_LENGTH = 5
SHORT_TAIL_LENGTH = 3

WRITTEN_FLIGHT = re.compile(r"([A-Z]{3})([1-9]\d{0,3}[A-Z]{0,2})")
WRITTEN_NAME = re.compile(r"([A-Z]{4,})([1-9]\d{0,3}[A-Z]{0,2})")  # HAINAN7931
QNH = re.compile(r"N(?:9[5-9]\d|10[0-4]\d)")  # a registration that may be a pressure
WRITTEN_NUMBER = re.compile(r"\d{1,3}[A-Z]{1,2}")


class Words(list[str]):
    """The words of an utterance, with the operators that it is read with."""

    def __init__(self, words: Sequence[str], operators: Operators) -> None:
        super().__init__(words)
        self.operators = operators
        self.runs: dict[int, list[Numeral]] = {}  # by their first position, see `read_run`


class Callsign(NamedTuple):
    """A spoken call sign.

    Attributes:
        icao: `UAL686`, `N345AB`; `*5AB` for the last characters of a registration; None where it cannot be read.
        end: position after its last word.
        operator: `UAL`; `N` for a US registration, empty for call signs without an operator.
    """

    icao: str | None
    end: int
    operator: str


def read_callsign(words: Words, start: int) -> Callsign | None:
    """The call sign that begins at position `start`; None where none does."""
    word = words[start]
    if word.isalpha() and word not in FIRST_WORDS and not words.operators.begins(word):
        return None
    readers = (
        _read_written, _read_flight, _read_tail, _read_registration, _read_military, _read_short_tail,
        _read_short_letters, _read_spelled_flight,
    )  # fmt: skip
    return next((found for read in readers if (found := read(words, start)) is not None), None)


def reread_callsign(words: Words, start: int, operator: str) -> Callsign | None:
    """A corrected call sign without its operator: UNITED SIX EIGHTY SIX CORRECTION SIX EIGHTY EIGHT."""
    if operator == "N":
        return _read_tail_number(words, start)
    return _read_flight_number(words, start, operator) if operator and read_run(words, start) else None


def _read_written(words: Words, start: int) -> Callsign | None:
    if words[start].isalpha():
        return None
    glued = WRITTEN_NAME.fullmatch(words[start])
    name = words.operators.find([glued[1]], 0) if glued else None
    if glued and name and name[0] is not None:
        return Callsign(f"{name[0]}{glued[2]}", start + 1, name[0])
    flight = WRITTEN_FLIGHT.fullmatch(words[start])
    if flight and flight[1] in words.operators.names and len(flight[2]) <= MAX_FLIGHT_LENGTH:
        return Callsign(words[start], start + 1, flight[1])
    if is_registration(words[start]) and len(words[start]) > 2:
        return Callsign(words[start], start + 1, "N" if is_tail(words[start]) else "")
    return None


def _read_flight(words: Words, start: int) -> Callsign | None:
    name = words.operators.find(words, start)
    if name is None:
        return None
    operator, position = name
    run = read_run(words, position)
    if run and run[0].kind != "digits":
        return None
    found = _read_named_flight(words, start, position, operator or "", run)
    if found is None:
        return None
    # A name of common words is one only where a call sign stands.
    is_common = phraseology().issuperset(words[start:position])
    is_last = _precedes_end(words, found.end) and all(numeral.kind == "digits" for numeral in run)
    is_last = is_last and word_at(words, start - 1) not in BEFORE_PLACES | {"TO"}
    if is_common and not (follows_start(words, start) or is_last):
        return None
    return found if operator is not None else Callsign(None, found.end, "")


def _read_named_flight(
    words: Words, start: int, position: int, operator: str, run: Sequence[Numeral]
) -> Callsign | None:
    """The flight of an operator whose name stands from `start` to `position`, and whose number is `run`, if any."""
    written = WRITTEN_NUMBER.fullmatch(word_at(words, position))
    if written:
        return Callsign(f"{operator}{written[0]}", position + 1, operator)
    if not run:
        letters, end = _letters_from(words, position)
        is_short = 2 <= len(letters) <= 3 and words[start] not in LETTERS and follows_start(words, start)
        return Callsign(f"{operator}{letters}", end, operator) if is_short and not TAXI_WORDS & set(words) else None
    if words[start] in LETTERS and _names_place(words, start):
        return _read_at_place(words, run, operator)
    if _is_frequency(run):
        return None
    types = {join_digits(run[:length]) for length in range(1, len(run) + 1)}
    before = word_at(words, start - 1)
    if before in DESCRIBING and (types & AIRLINER_TYPES or before in OTHER_TRAFFIC):
        return None
    found = _read_flight_number(words, position, operator)
    # ANDERSON ONE ALPHA DEPARTURE is a procedure.
    return None if word_at(words, found.end) in PROCEDURES and not follows_start(words, start) else found


def _is_frequency(run: Sequence[Numeral]) -> bool:
    """Whether a run is a whole frequency with its point, 118 to 136 MHz, and no number before it."""
    whole = "".join(numeral.digits for numeral in itertools.takewhile(lambda one: one.kind == "digits", run))
    return len(whole) < len("".join(one.digits for one in run)) and len(whole) == 3 and 118 <= int(whole) <= 136


def follows_start(words: Sequence[str], start: int) -> bool:
    """Whether a call sign may stand at `start`: first, or after a station, a greeting or an acknowledgement."""
    if start > 0 and words[start - 1] in ("A", "AND", "FOR"):
        start -= 1
    return start == 0 or words[start - 1] in STATIONS or words[start - 1] in TALK


def _precedes_end(words: Sequence[str], end: int) -> bool:
    return end == len(words) or words[end] in TALK or words[end] == "GOOD"


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


def _read_flight_number(words: Words, start: int, operator: str) -> Callsign:
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


def _suffix_letters(words: Words, position: int, max_letters: int) -> tuple[str | None, int]:
    """The letters that end a flight number; None where they may name a taxiway or begin the next call sign."""
    letters, end = _letters_from(words, position)
    if not letters or (_begins_flight(words, position) and _goes_on(words, end)):
        return "", position
    is_place = TAXI_WORDS & set(words if end == len(words) else words[:position])
    if len(letters) > min(max_letters, 2) or read_run(words, end) or is_place:
        return None, end
    return letters, end


def _begins_flight(words: Words, position: int) -> bool:
    found = words.operators.find(words, position) if position < len(words) else None
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
    """The digits of a run as flight number or registration.

    Zeros before a flight number are dropped; only a shortened registration may begin with zero.
    """
    text = join_digits(run)
    if text is None or len(text) > max_length:
        return None
    if max_length == MAX_FLIGHT_LENGTH:
        return text.lstrip("0") or None
    return text if text[0] != "0" or len(text) == SHORT_TAIL_LENGTH else None


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


def _read_tail(words: Words, start: int) -> Callsign | None:
    """A registration after NOVEMBER or after the type of the aircraft."""
    named = 2 if tuple(words[start : start + 2]) in AIRCRAFT_PAIRS else int(words[start] in AIRCRAFT)  # words
    if named and word_at(words, start - 1) in DESCRIBING:
        return None
    november = word_at(words, start + named) == "NOVEMBER"
    position = start + named + november
    run = read_run(words, position)
    if named and not run:
        letters, end = _letters_from(words, start + named)
        is_short = 2 <= len(letters) <= SHORT_TAIL_LENGTH and not TAXI_WORDS & set(words[:start])
        return Callsign(letters, end, "") if is_short or is_registration(letters) else None
    if not run or not (named or november):
        return None
    if not named and _names_place(words, start):
        return _read_at_place(words, run, "N")
    found = _read_tail_number(words, position)
    if not named and found and QNH.fullmatch(found.icao or "") and not follows_start(words, start):
        # NOVEMBER ONE ZERO ONE NINE: a registration, or information November and the pressure.
        return Callsign(None, found.end, "N")
    if november or found is None or found.icao is None:
        return found
    is_type = found.icao[1:] in LIGHT_TYPES or len(found.icao) <= SHORT_TAIL_LENGTH
    return Callsign(None, found.end, "N") if is_type else found


def _read_tail_number(words: Words, start: int) -> Callsign | None:
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


def _spelled_from(words: Sequence[str], position: int) -> tuple[str, int]:
    """Consecutive letters and single digits, and the position after them."""
    text = ""
    while True:
        letters, end = _letters_from(words, position)
        if not letters and word_at(words, position) in DIGITS:
            letters, end = DIGITS[words[position]], position + 1
        if not letters:
            return text, position
        text, position = text + letters, end


def _read_registration(words: Words, start: int) -> Callsign | None:
    """A whole registration: GOLF ALPHA BRAVO CHARLIE DELTA, JULIETT ALPHA EIGHT ONE ONE NINER."""
    if words[start] not in LETTERS and words[start] not in DIGITS:
        return None
    if word_at(words, start - 1) in LETTERS or word_at(words, start - 1) in DIGITS or _names_place(words, start):
        return None
    text, end = _spelled_from(words, start)
    if not is_registration(text) or text.isdigit() or text[:2].isdigit() or read_run(words, end):
        return None
    is_sure = follows_start(words, start) or _precedes_end(words, end)
    return Callsign(text, end, "") if is_sure else None


def _read_short_letters(words: Words, start: int) -> Callsign | None:
    """A registration shortened to three letters (HOTEL BRAVO JULIETT) where a call sign stands; more are unreadable."""
    if words[start] not in LETTERS or word_at(words, start - 1) in LETTERS or _names_place(words, start):
        return None
    letters, end = _letters_from(words, start)
    if len(letters) < SHORT_TAIL_LENGTH or read_run(words, end) or TAXI_WORDS & set(words[max(0, start - 3) : start]):
        return None
    if not (follows_start(words, start) or _precedes_end(words, end)):
        return None
    return Callsign(letters if len(letters) == SHORT_TAIL_LENGTH else None, end, "")


def _read_spelled_flight(words: Words, start: int) -> Callsign | None:
    """A flight whose designator is spelled where a call sign stands: CHARLIE ECHO SIERRA FIVE SIX FOUR."""
    if words[start] not in LETTERS or not follows_start(words, start):
        return None
    letters, position = _letters_from(words, start)
    run = read_run(words, position)
    if not run or run[0].kind != "digits" or len(letters) > SHORT_TAIL_LENGTH or _is_frequency(run):
        return None
    if letters in words.operators.names:
        return _read_flight_number(words, position, letters)
    suffix, end = _letters_from(words, run[-1].end)
    return Callsign(None, end, "") if len(letters + (join_digits(run) or "") + suffix) > SHORT_TAIL_LENGTH else None


def read_unknown(words: Words, start: int) -> Callsign | None:
    """Words that have the shape of a call sign where one stands, and cannot be read.

    Up to three words that name nothing else, and a number or letters: KISTLER FOUR FIVE SIX. Or a number alone where an
    utterance begins or ends: SIX EIGHTY SIX.
    """
    if not follows_start(words, start):
        return _read_last_number(words, start)
    known = phraseology()
    position = start
    while position < min(len(words), start + MAX_UNKNOWN_WORDS) and not _is_known(words[position], known):
        if position > start and (words[position] in AIRCRAFT or words.operators.find(words, position)):
            return None
        position += 1
    run = read_run(words, position)
    if any(numeral.kind != "digits" for numeral in run):
        return None
    digits = join_digits(run) or ""
    letters, end = _letters_from(words, run[-1].end if run else position)
    if not run and (position == start or len(letters) < 2):
        return None
    is_number = position > start or 2 <= len(digits) <= MAX_TAIL_LENGTH
    if run and (not is_number or len(digits) > MAX_TAIL_LENGTH or _use_of_run(run, words) != "callsign"):
        return None
    return Callsign(None, end, "")


def _read_last_number(words: Words, start: int) -> Callsign | None:
    """A flight number alone that ends a readback: CLEARED TO LAND EIGHTEEN SIXTY EIGHT."""
    run, before = read_run(words, start), word_at(words, start - 1)
    digits = join_digits(run) if all(numeral.kind == "digits" for numeral in run) else None
    if digits is None or len(digits) not in (3, 4) or before in BEFORE_PLACES | {"TO"} or is_number_word(before):
        return None
    letters, end = _letters_from(words, run[-1].end)
    return Callsign(None, end, "") if len(letters) <= 2 and _precedes_end(words, end) else None


def _is_known(word: str, known: frozenset[str]) -> bool:
    return word in known or word in LETTERS or is_number_word(word)


def _read_military(words: Words, start: int) -> Callsign | None:
    for length in (2, 1):
        if tuple(words[start : start + length]) in MILITARY and word_at(words, start - 1) not in DESCRIBING:
            run = read_run(words, start + length)
            return Callsign(None, run[-1].end, "") if run else None
    return None


def _read_short_tail(words: Words, start: int) -> Callsign | None:
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
