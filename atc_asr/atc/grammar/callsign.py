"""Callsigns: from spoken words to ICAO form (`UAL686`, `N345AB`), or to "there is one, but which?".

A flight is an operator's telephony and up to four signs (ICAO Annex 10, volume II, 5.2.1.7.2.1, type c); an aircraft
a registration, whole or cut to its last three signs (Aeronautical Information Manual, 4-2-4). Where the words allow
two readings none is taken: a guessed callsign is worse than one that is counted as unreadable.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

from atc_asr.atc.grammar.spoken_numbers import Numeral, join_digits, read_run
from atc_asr.atc.vocabulary import words

LETTERS = {word.upper(): letter for letter, word in words.PHONETIC.items()} | {
    "ALFA": "A", "JULIETT": "J", "JULIETTE": "J", "WHISKY": "W", "QUEBECK": "Q",
}  # fmt: skip
# what a US registration is called by instead of November: make, model or kind of flight
AIRCRAFT = frozenset(word.upper() for word in words.AIRCRAFT) | {
    "APACHE", "ARCHER", "ARROW", "AZTEC", "BARON", "BEECH", "BEECHCRAFT", "CARAVAN", "CARDINAL", "CENTURION",
    "CHALLENGER", "CHEYENNE", "CITATION", "COMANCHE", "COMMANDER", "CONQUEST", "DIAMOND", "DUKE", "EXPERIMENTAL",
    "FALCON", "GRUMMAN", "GULFSTREAM", "HAWKER", "HELICOPTER", "LANCE", "LEAR", "LEARJET", "LIFEGUARD", "MALIBU",
    "MEDEVAC", "MERLIN", "MITSUBISHI", "MOONEY", "NAVAJO", "PILATUS", "PIPER", "SABRELINER", "SARATOGA", "SEMINOLE",
    "SENECA", "SKYLANE", "SKYMASTER", "TOMAHAWK", "WARRIOR", "WESTWIND",
}  # fmt: skip
AIRCRAFT_PAIRS = frozenset({("KING", "AIR"), ("TWIN", "CESSNA"), ("TWIN", "COMMANDER"), ("TWIN", "BEECH")})
# what operators are called beside the telephony of the table
ALSO_CALLED = {"FRONTIER": "FFT", "AMERICAWEST": "AWE"}
# flights without a three-letter operator in the table: heard as a callsign, not readable as one
MILITARY = frozenset({("ARMY",), ("NAVY",), ("MARINE",), ("AIR", "FORCE"), ("COAST", "GUARD"), ("GUARD", "COPTER")})
WAKE = frozenset({"HEAVY", "SUPER"})
# registrations made of letters only, by nationality mark (ICAO Annex 7)
LETTER_MARKS = ("G", "F", "I", "DE", "HB", "OE", "OK", "OM", "OO", "PH", "SP", "LN", "SE", "OY", "EC", "CS", "EI", "HA")

# before an operator's name: it is spoken about, not to
ABOUT = frozenset({"A", "AN", "THE", "THAT", "ANOTHER", "BEHIND", "FOLLOW", "FOLLOWING", "COMPANY", "IS"})
AIRLINERS = frozenset("707 717 727 737 747 757 767 777 787 319 320 321 330 340 350 380 145 190".split())
LIGHT_TYPES = frozenset("150 152 172 182 206 208 210 310 340 402 414 421".split())
# before a letter of the alphabet: it names a taxiway, a gate, a recording
LETTER_PLACES = frozenset(
    {"VIA", "TAXIWAY", "INFORMATION", "GATE", "SPOT", "INTERSECTION", "ON", "AT", "CATEGORY", "SHORT", "OF", "WITH",
     "CROSS", "CROSSING", "AND", "RAMP"}
)  # fmt: skip
# before a letter that is complete by itself: `INFORMATION KILO`, `WITH KILO`
LETTER_OWNERS = frozenset({"INFORMATION", "WITH", "HAVE"})
TAXI_WORDS = frozenset({"TAXI", "VIA", "TAXIWAY", "RAMP", "GATE", "SPOT", "TAXIING"})
SIDES = {"LEFT": "L", "RIGHT": "R", "CENTER": "C", "CENTRE": "C"}
AFTER_TURN = frozenset({"TURN", "HEADING", "TO", "DOWNWIND", "BASE", "TRAFFIC", "CLOSED", "ON", "ONTO", "AT"})

MAX_FLIGHT_SIGNS = 4
MAX_TAIL_SIGNS = 5
SHORT_TAIL_SIGNS = 3

WRITTEN_FLIGHT = re.compile(r"([A-Z]{3})([1-9]\d{0,3}[A-Z]{0,2})")
WRITTEN_TAIL = re.compile(r"N[1-9](?:\d{0,4}|\d{0,3}[A-HJ-NP-Z]|\d{0,2}[A-HJ-NP-Z]{2})")


@dataclasses.dataclass(frozen=True)
class Callsign:
    """A callsign that was heard.

    Attributes:
        icao: `UAL686`, `N345AB`; `*5AB` where the words say but the end of it; None where they cannot be read.
        end: position after its last word.
        operator: `UAL`; `N` for a tail number, "" for what has none.
    """

    icao: str | None
    end: int
    operator: str


@functools.cache
def telephony() -> dict[str, str]:
    """Telephony in upper case without spaces -> ICAO designator: `USAIR`, `US AIR` and `U S AIR` are one."""
    return {row.telephony.upper().replace(" ", ""): row.icao for row in words.read_airlines()} | ALSO_CALLED


@functools.cache
def operators() -> frozenset[str]:
    """The ICAO designators of the table."""
    return frozenset(telephony().values())


@functools.cache
def longest_telephony() -> int:
    """Most words that a telephony name can take."""
    return max(len(row.telephony.split()) for row in words.read_airlines())


def read_callsign(words: Sequence[str], start: int) -> Callsign | None:
    """The callsign that begins at position `start`, None when none does."""
    for read in (_read_written, _read_flight, _read_tail, _read_letters, _read_military, _read_short_tail):
        found = read(words, start)
        if found is not None:
            return found
    return None


def reread_callsign(words: Sequence[str], start: int, operator: str) -> Callsign | None:
    """A corrected callsign said without its first part: `UNITED SIX EIGHTY SIX CORRECTION SIX EIGHTY EIGHT`."""
    if operator == "N":
        return _read_tail_signs(words, start)
    return _read_flight_number(words, start, operator) if operator and read_run(words, start) else None


def _word(words: Sequence[str], position: int) -> str:
    return words[position] if 0 <= position < len(words) else ""


def _read_written(words: Sequence[str], start: int) -> Callsign | None:
    flight = WRITTEN_FLIGHT.fullmatch(words[start])
    if flight and flight[1] in operators() and len(flight[2]) <= MAX_FLIGHT_SIGNS:
        return Callsign(words[start], start + 1, flight[1])
    if WRITTEN_TAIL.fullmatch(words[start]) and len(words[start]) > 2:
        return Callsign(words[start], start + 1, "N")
    return None


def _find_operator(words: Sequence[str], start: int) -> tuple[str, int] | None:
    """(ICAO designator, position after the name) of the longest telephony name at `start`."""
    for end in range(min(len(words), start + longest_telephony()), start, -1):
        icao = telephony().get("".join(words[start:end]))
        if icao is not None:
            return icao, end
    return None


def _read_flight(words: Sequence[str], start: int) -> Callsign | None:
    found = _find_operator(words, start)
    if found is None:
        return None
    operator, position = found
    before = _word(words, start - 1)
    run = read_run(words, position)
    if not run or run[0].kind != "digits":
        return None
    if words[start] in LETTERS and _names_place(words, start):
        return _doubtful(run, words, operator)
    if before in ABOUT and any(join_digits(run[:length]) in AIRLINERS for length in range(1, len(run) + 1)):
        return None
    return _read_flight_number(words, position, operator)


def _names_place(words: Sequence[str], start: int) -> bool:
    """Whether the letter at `start` may name a taxiway, a gate or a recording by the words before it."""
    before = _word(words, start - 1)
    if before in LETTERS:
        return _word(words, start - 2) not in LETTER_OWNERS
    return before in LETTER_PLACES


def _doubtful(run: Sequence[Numeral], words: Sequence[str], operator: str) -> Callsign | None:
    """A taxiway's number or a callsign: from three signs on there is one, but it cannot be told from what is before."""
    letters, end = _letters_from(words, run[-1].end)
    digits = join_digits(run)
    return Callsign(None, end, operator) if digits is None or len(digits + letters) >= SHORT_TAIL_SIGNS else None


def _read_flight_number(words: Sequence[str], start: int, operator: str) -> Callsign:
    run = read_run(words, start)
    taken = _split_signs(run, words, MAX_FLIGHT_SIGNS)
    if taken is None:
        return Callsign(None, _skip_wake(words, run[-1].end), operator)
    digits, end = taken
    letters, letters_end = _suffix_letters(words, end, MAX_FLIGHT_SIGNS - len(digits))
    if letters is None:
        return Callsign(None, letters_end, operator)
    return Callsign(f"{operator}{digits}{letters}", _skip_wake(words, letters_end), operator)


def _skip_wake(words: Sequence[str], position: int) -> int:
    return position + (_word(words, position) in WAKE)


def _suffix_letters(words: Sequence[str], position: int, room: int) -> tuple[str | None, int]:
    """The letters that end a flight number; None when they may as well be a taxiway or begin the next callsign."""
    letters, end = _letters_from(words, position)
    if not letters or (_begins_flight(words, position) and _goes_on(words, end)):
        return "", position
    next_is_number = bool(read_run(words, end))
    if len(letters) > min(room, 2) or next_is_number or TAXI_WORDS & set(words):
        return None, end
    return letters, end


def _begins_flight(words: Sequence[str], position: int) -> bool:
    found = _find_operator(words, position)
    return found is not None and bool(read_run(words, found[1]))


def _letters_from(words: Sequence[str], position: int) -> tuple[str, int]:
    """Letters of the alphabet in a row, X-ray in one word or two."""
    letters = ""
    while True:
        if _word(words, position) == "X" and _word(words, position + 1) == "RAY":
            letters, position = letters + "X", position + 2
        elif _word(words, position) in LETTERS:
            letters, position = letters + LETTERS[words[position]], position + 1
        else:
            return letters, position


def _split_signs(run: Sequence[Numeral], words: Sequence[str], most: int) -> tuple[str, int] | None:
    """The digits of a callsign at the head of a run, with the position after them.

    Speakers put the next number right behind it (`UNITED SIX EIGHTY SIX FIVE MILES FROM …`), so what follows the run
    says what its tail must be. None when no split or more than one makes sense.
    """
    candidates = set(_splits(run, words, most))
    return candidates.pop() if len(candidates) == 1 else None


def _splits(run: Sequence[Numeral], words: Sequence[str], most: int) -> Iterator[tuple[str, int]]:
    wanted = _tail_wanted(run, words)
    if wanted != "number":
        for length in range(1, len(run)):
            head = _signs(run[:length], most)
            if head is not None and _is_tail_of(run[length:], wanted):
                yield head, run[length - 1].end
    if wanted in ("number", "side") or (wanted == "thousand" and len(run) == 2):
        head = _signs(run, most)
        if head is not None:
            yield head, run[-1].end


def _signs(run: Sequence[Numeral], most: int) -> str | None:
    """The digits of a run as a flight number or a registration; a registration cut to three may begin with zero."""
    text = join_digits(run)
    if text is None or len(text) > most:
        return None
    cut_tail = most == MAX_TAIL_SIGNS and len(text) == SHORT_TAIL_SIGNS
    return text if text[0] != "0" or cut_tail else None


def _tail_wanted(run: Sequence[Numeral], words: Sequence[str]) -> str:
    """What the end of a run must be: `thousand`, `point`, a unit, a runway's `side`; `number` when it is one number."""
    kinds = [numeral.kind for numeral in run]
    for kind in ("thousand", "point"):
        if kind in kinds:
            return kind
    position = run[-1].end
    word, following = _word(words, position), _word(words, position + 1)
    if tuple(words[position : position + 3]) == ("ON", "THE", "SPEED"):
        return "KNOTS"
    if word == "O" and following == "CLOCK":
        return "OCLOCK"
    if word in ("MILE", "MILES", "OCLOCK", "DEGREES", "KNOTS", "MINUTES", "FEET"):
        return word.replace("MILES", "MILE")
    if word in SIDES and following not in AFTER_TURN and not read_run(words, position + 1):
        return "side"
    return "number"


def _is_tail_of(tail: Sequence[Numeral], wanted: str) -> bool:
    """Whether the end of a run can be a number of the wanted kind."""
    kinds = [numeral.kind for numeral in tail]
    if wanted in ("thousand", "point"):
        # `THREE THOUSAND ONE`: the ONE behind it is no thousands
        tail = tail[: kinds.index(wanted)] if wanted in kinds else ()
    if wanted == "FEET" and kinds[-1:] == ["hundred"]:
        tail = tail[:-1]
    if not tail or any(numeral.kind != "digits" for numeral in tail):
        return False
    text = "".join(numeral.digits for numeral in tail)
    if wanted == "point":
        # the leading 1 is left out in group form only
        whole = len(text) == 3 and text[0] == "1"
        return (whole or (len(text) == 2 and len(tail) == 1)) and 18 <= int(text[-2:]) <= 36
    if text[0] == "0" and wanted != "side":
        return False
    if wanted == "KNOTS":
        return len(text) == 3
    # from 18,000 feet up altitudes are flight levels (14 CFR 91.121)
    highest = {"thousand": 18, "MILE": 60, "OCLOCK": 12, "DEGREES": 90, "MINUTES": 60, "FEET": 99, "side": 36}[wanted]
    repeated = len(text) == 4 and text[:2] == text[2:]
    return (len(text) <= 2 and 1 <= int(text) <= highest) or (wanted == "thousand" and repeated)


def _read_tail(words: Sequence[str], start: int) -> Callsign | None:
    """A registration after NOVEMBER or after the aircraft's name."""
    before = _word(words, start - 1)
    position = start
    if tuple(words[start : start + 2]) in AIRCRAFT_PAIRS:
        position += 2
    elif words[start] in AIRCRAFT:
        position += 1
    named = position > start
    if named and before in ABOUT:
        return None
    if _word(words, position) == "NOVEMBER":
        if not named and _names_place(words, start):
            run = read_run(words, position + 1)
            return _doubtful(run, words, "N") if run else None
        position += 1
    elif not named:
        return None
    if not read_run(words, position):
        return None
    found = _read_tail_signs(words, position)
    if words[position - 1] == "NOVEMBER" or found is None or found.icao is None:
        return found
    if found.icao[1:] in LIGHT_TYPES or len(found.icao) <= SHORT_TAIL_SIGNS:
        return Callsign(None, found.end, "N")
    return found


def _read_tail_signs(words: Sequence[str], start: int) -> Callsign | None:
    run = read_run(words, start)
    if not run:
        return None
    letters, end = _letters_from(words, run[-1].end)
    if letters and _begins_flight(words, run[-1].end):
        # `ONE SIX DELTA TWO THOUSAND`: a letter of the registration, or Delta's flight?
        return Callsign(None, end, "N")
    if letters:
        digits = join_digits(run)
        signs = f"{digits}{letters}"
        whole = re.fullmatch(r"[1-9]\d*[A-Z]{1,2}", signs) and len(signs) <= MAX_TAIL_SIGNS
        cut = re.fullmatch(r"0\d?[A-Z]{1,2}", signs) and len(signs) == SHORT_TAIL_SIGNS
        complete = len(letters) == 2 or len(signs) == MAX_TAIL_SIGNS or not _goes_on(words, end)
        clear = digits is not None and complete and (whole or cut)
        return Callsign(f"N{signs}" if clear else None, end, "N")
    taken = _split_signs(run, words, MAX_TAIL_SIGNS)
    if taken is None or len(taken[0]) == 1:
        return Callsign(None, run[-1].end, "N")
    return Callsign(f"N{taken[0]}", taken[1], "N")


def _goes_on(words: Sequence[str], position: int) -> bool:
    """Whether a number follows that no unit claims, so that it may belong to the signs before it."""
    run = read_run(words, position)
    return bool(run) and _tail_wanted(run, words) == "number"


def _read_letters(words: Sequence[str], start: int) -> Callsign | None:
    """A registration of five letters: `GOLF ALPHA BRAVO CHARLIE DELTA`."""
    letters, end = _letters_from(words, start)
    if len(letters) != MAX_TAIL_SIGNS or not letters.startswith(LETTER_MARKS):
        return None
    if _names_place(words, start) or read_run(words, end):
        return None
    return Callsign(letters, end, "")


def _read_military(words: Sequence[str], start: int) -> Callsign | None:
    for length in (2, 1):
        if tuple(words[start : start + length]) in MILITARY and _word(words, start - 1) not in ABOUT:
            run = read_run(words, start + length)
            return Callsign(None, run[-1].end, "") if run else None
    return None


def _read_short_tail(words: Sequence[str], start: int) -> Callsign | None:
    """A registration without what names it (`THREE ALPHA BRAVO`), where an utterance begins or ends with it."""
    run = read_run(words, start)
    digits = join_digits(run)
    if not run or digits is None or any(numeral.kind != "digits" for numeral in run):
        return None
    letters, end = _letters_from(words, run[-1].end)
    signs = f"{digits}{letters}"
    at_edge = start == 0 or end == len(words)
    cut = len(signs) == SHORT_TAIL_SIGNS and len(letters) in (1, 2)
    without_mark = SHORT_TAIL_SIGNS < len(signs) <= MAX_TAIL_SIGNS and len(letters) == 2
    if not (cut or without_mark) or not at_edge or _names_place(words, start):
        return None
    # two letters end a registration (14 CFR 47.15), after one a digit may belong to it
    goes_on = len(letters) < 2 and bool(read_run(words, end))
    if TAXI_WORDS & set(words[max(0, start - 3) : start]) or _begins_flight(words, run[-1].end) or goes_on:
        return None
    return Callsign(f"*{signs}", end, "N")
