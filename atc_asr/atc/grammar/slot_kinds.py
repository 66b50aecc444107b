"""The kinds of slots other than call signs, and how their values are read.

To add a kind, write its functions in a section of its own and add it to `SLOT_KINDS`. To add a wording to a kind, add
its keyword there. tests/atc/grammar/atc_utterances.txt has an utterance for every wording.

Positions are indices into the words of an utterance, `end` is the position after the last word, and `run` is a number
as its numerals. Sources: FAA Order JO 7110.65, chapter 2, section 4 and chapters 4-5; ICAO Doc 4444, chapter 12.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

from atc_asr.atc.grammar.callsign import LETTERS, SIDES, STATIONS, Words, read_callsign
from atc_asr.atc.grammar.spoken_numbers import Numeral, is_number_word, join_digits, join_value, read_run, word_at
from atc_asr.atc.vocabulary.operators import phraseology


class Slot(NamedTuple):
    """One piece of information in an utterance.

    Attributes:
        kind: `callsign` or a kind of `SLOT_KINDS`.
        value: `UAL686`, feet or `FL350`, feet per minute `1500`, `1500+` (or more) or `1500-`, `270`, knots or `M.78`,
            MHz `124.650`, `4621` or `IDENT`, `27L`, `2992`, `Q1013` or `QFE1005`, `270/12G20`, `LAND` or another
            clearance of `CLEARANCES`, a point as spoken, `BREMEN RADAR`; None where it cannot be read.
        start: position of its first word in the utterance.
        end: position after its last word.
        operator: of a call sign, see `atc_asr.atc.grammar.callsign.Callsign`.
        act: instruction, request, report or readback; empty where the words do not tell, and for call signs.
    """

    kind: str
    value: str | None
    start: int
    end: int
    operator: str = ""
    act: str = ""


Reading = tuple[str | None, int] | None  # value and end; None, or a value of None, for a number the kind cannot have
KeywordReader = Callable[[Words, int], Slot | None]
NumberReader = Callable[[Words, list[Numeral]], Reading]


@dataclasses.dataclass(frozen=True)
class SlotKind:
    """How a kind of slot is read.

    Attributes:
        keywords: word that announces the slot -> function that reads the slot from that word's position, or None.
        read_number: (words, run) -> value and end; also reads the new value after a correction.
        is_bare: (words, position, run) -> whether a number without a keyword is of this kind, by the words around it.
        phrases: phrases after a number without a keyword that name the kind; they become part of the slot.
    """

    keywords: Mapping[str, KeywordReader]
    read_number: NumberReader | None = None
    is_bare: Callable[[Words, int, list[Numeral]], bool] | None = None
    phrases: tuple[tuple[str, ...], ...] = ()


FILLERS = frozenset({"TO", "OF", "AT", "IS", "YOUR", "NOW", "THE", "ON", "FOR", "A", "ABOUT", "AND", "BACK", "DOWN"})
DISTANCE_UNITS = frozenset({"MILES", "MILE"})


def read_number_slot(
    kind: str, words: Words, start: int, position: int, read_number: NumberReader | None = None
) -> Slot | None:
    """The slot at `start` with its number at `position`, None without one; `read_number` replaces the kind's reader."""
    read, run = read_number or SLOT_KINDS[kind].read_number, read_run(words, position)
    if read is None or not run:
        return None
    value, end = read(words, run) or (None, run[-1].end)
    return Slot(kind, value, start, end)


def number_after(
    kind: str, fillers: frozenset[str] = FILLERS, read_number: NumberReader | None = None
) -> KeywordReader:
    """Reader of a keyword that a number of the kind follows, after at most three fillers."""
    return lambda words, start: read_number_slot(
        kind, words, start, skip_fillers(words, start + 1, fillers), read_number
    )


def read_bare_slot(words: Words, position: int) -> Slot | None:
    """The slot of a number without a keyword, from the words around it; of kind `other` where they give no kind."""
    word = words[position]
    if word.startswith("FL") and word[2:].isdecimal():
        return Slot("altitude", f"FL{int(word[2:]):03d}", position, position + 1)
    if word[-1:] in ("L", "R", "C") and word[:-1].isdecimal() and 1 <= int(word[:-1]) <= MAX_RUNWAY:
        return Slot("runway", f"{int(word[:-1]):02d}{word[-1]}", position, position + 1)
    run = read_run(words, position)
    if not run:
        return None
    end = run[-1].end
    for name, kind in SLOT_KINDS.items():
        if kind.is_bare and kind.is_bare(words, position, run):
            slot = read_number_slot(name, words, position, position)
            phrase = next((one for one in kind.phrases if tuple(words[end : end + len(one)]) == one), ())
            return slot._replace(end=end + len(phrase)) if slot and slot.end == end else slot
    return Slot("other", None, position, end)


def skip_fillers(words: Words, position: int, fillers: frozenset[str] = FILLERS) -> int:
    """The position after at most three fillers in front of a number; `position` where no number follows."""
    for end in range(position, min(position + 4, len(words))):
        if is_number_word(words[end]) and read_run(words, end):
            return end
        if words[end] not in fillers:
            break
    return position


def _prefix(run: list[Numeral], width: int, low: int = 0, high: int = 9999) -> tuple[str, int] | None:
    """The first `width` digits of a run and the position after them.

    None where no numeral ends there, or where the number is outside of `low` to `high`.
    """
    for length in range(1, len(run) + 1):
        text = join_digits(run[:length])
        if text is None or len(text) > width:
            return None
        following = run[length] if length < len(run) else None
        # TWO HUNDRED goes on in TWO HUNDRED TEN.
        adds_up = run[length - 1].kind == "hundred" and following is not None and len(following.digits) == 2
        if len(text) == width and not adds_up and (following is None or following.kind == "digits"):
            return (text, run[length - 1].end) if low <= int(text) <= high else None
    return None


def _kinds(run: list[Numeral]) -> set[str]:
    return {numeral.kind for numeral in run}


def _is_aircraft(words: Words, position: int) -> bool:
    return position < len(words) and read_callsign(words, position) is not None


# --- frequency ------------------------------------------------------------------------------------------------------
CONTACTS = frozenset(
    "CONTACT CONTACTING MONITOR MONITORING SWITCH SWITCHING TOWER DEPARTURE CENTER CENTRE GROUND APPROACH CLEARANCE "
    "RADAR CONTROL FREQUENCY UNICOM DIRECTOR ARRIVAL APRON CALL DELIVERY INFORMATION".split()
)
CONTACT_DISTANCE = 6  # words between a station's name and its frequency


def _frequency_number(words: Words, run: list[Numeral]) -> Reading:
    """MHz, with or without POINT and, as US controllers say it, with or without the leading 1."""
    kinds = [numeral.kind for numeral in run]
    if "point" in kinds:
        at = kinds.index("point")
        # GROUND POINT NINER is 121.9: the digits before the point are left out (FAA Order JO 7110.65, 3-7-1).
        whole, decimals = join_digits(run[:at]) if at else "121", join_digits(run[at + 1 :])
    else:
        text = join_digits(run) or ""
        text = text if text[:2] in ("11", "12", "13") and len(text) >= 4 else f"1{text}"
        whole, decimals = text[:3], text[3:]
    return _megahertz(whole, decimals), run[-1].end


def _megahertz(whole: str | None, decimals: str | None) -> str | None:
    """`124`, `65` -> `124.650`; a shortened 25 kHz channel gets its last digit (118.12 is 118.125)."""
    if not whole or not decimals or len(decimals) > 3:
        return None
    whole = f"1{whole}" if len(whole) == 2 else whole
    if not (108 <= int(whole) <= 136 or 225 <= int(whole) <= 399):
        return None
    if len(decimals) == 2 and decimals[1] in "27":
        decimals += "5"
    return f"{whole}.{decimals.ljust(3, '0')}"


def _is_frequency(words: Words, position: int, run: list[Numeral]) -> bool:
    following = word_at(words, run[-1].end)
    kinds = [numeral.kind for numeral in run]
    if kinds[0] == "point":
        return word_at(words, position - 1 - (word_at(words, position - 1) == "ON")) == "GROUND"
    if "point" in kinds:
        whole = join_digits(run[: kinds.index("point")]) or ""
        plausible = len(whole) >= 3 or (len(whole) == 2 and 18 <= int(whole) <= 36)
        return plausible and following not in DISTANCE_UNITS | {"DME", "THOUSAND"}
    if _kinds(run) == {"digits"}:
        text = join_digits(run) or ""
        full = 4 <= len(text) <= 6 and text[:2] in ("11", "12", "13") and 118 <= int(text[:3]) <= 136
        short = 3 <= len(text) <= 4 and 18 <= int(text[:2]) <= 36
        contact = not CONTACTS.isdisjoint(words[max(0, position - CONTACT_DISTANCE) : position])
        contact = contact and following not in DISTANCE_UNITS | {"KNOTS"}
        return (contact and (full or short)) or _is_grouped_frequency(words, run)
    return False


def _is_grouped_frequency(words: Words, run: list[Numeral]) -> bool:
    """ONE TWENTY SIX FIFTY FIVE as a read-back: at the end of an utterance, or before the call sign that ends it.

    Before a farewell also without the leading 1: TWENTY SIX FIFTY FIVE GOOD DAY.
    """
    parts = [numeral.digits for numeral in run]
    end = run[-1].end
    if words[end : end + 2] == ["GOOD", "DAY"] and len(parts) == 2 and len(parts[1]) == 2:
        parts = ["1", *parts]
    first, second = [*parts, ""][:2]
    if first != "1" or len(second) != 2 or not 18 <= int(second) <= 36:
        return False
    end += word_at(words, end) == "FOR"
    at_end = end == len(words) or _is_aircraft(words, end) or words[end : end + 2] == ["GOOD", "DAY"]
    return 1 <= len("".join(parts[2:])) <= 3 and at_end


# --- vertical rate --------------------------------------------------------------------------------------------------
RATE_UNITS = (
    ("FEET", "PER", "MINUTE"),
    ("FEET", "A", "MINUTE"),
    ("FEET", "MINUTE"),
    ("PER", "MINUTE"),
    ("A", "MINUTE"),
)
RATE_LIMITS = {"MORE": "+", "GREATER": "+", "BETTER": "+", "LESS": "-"}
RATE_FILLERS = FILLERS | {"CLIMB", "DESCENT", "DESCEND", "SPEED", "WITH", "IN"}
MIN_RATE, MAX_RATE = 100, 9900


def _rate_number(words: Words, run: list[Numeral]) -> Reading:
    """Feet per minute, with `+` for OR MORE and `-` for OR LESS."""
    end = _skip_rate_unit(words, run[-1].end)
    limit = RATE_LIMITS.get(word_at(words, end + 1), "") if word_at(words, end) == "OR" else ""
    rate = join_value(run)
    valid = rate is not None and MIN_RATE <= rate <= MAX_RATE
    return f"{rate}{limit}" if valid else None, end + 2 * bool(limit)


def _skip_rate_unit(words: Words, position: int) -> int:
    return next(
        (position + len(unit) for unit in RATE_UNITS if tuple(words[position : position + len(unit)]) == unit), position
    )


def _is_rate(words: Words, position: int, run: list[Numeral]) -> bool:
    return _skip_rate_unit(words, run[-1].end) > run[-1].end


def _after_rate(words: Words, start: int) -> Slot | None:
    """RATE OF DESCENT TWO THOUSAND OR MORE, VERTICAL SPEED ONE THOUSAND FIVE HUNDRED."""
    if words[start] == "VERTICAL" and word_at(words, start + 1) != "SPEED":
        return None
    return number_after("vertical_rate", RATE_FILLERS)(words, start)


# --- altitude -------------------------------------------------------------------------------------------------------
CLIMBS = frozenset({"CLIMB", "CLIMBING", "DESCEND", "DESCENDING"})
LEVEL_CONTEXT = CLIMBS | frozenset(
    "MAINTAIN MAINTAINING LEVEL LEAVING THROUGH PASSING FOR ABOVE BELOW ALTITUDE REACHING OUT VACATING UP DOWN TO AT "
    "CROSS EXPECT REQUEST".split()
)
WEATHER = frozenset(
    "VISIBILITY CEILING RVR SCATTERED BROKEN OVERCAST FEW RANGE TOUCHDOWN ROLLOUT MIDPOINT TOPS BASES".split()
)
AFTER_NO_ALTITUDE = frozenset({"REMAINING", "AVAILABLE", "SCATTERED", "BROKEN", "OVERCAST", "RVR"})
MIN_FLIGHT_LEVEL, MAX_FLIGHT_LEVEL = 10, 600
MAX_ALTITUDE = 60_000


def _altitude_number(words: Words, run: list[Numeral]) -> Reading:
    kinds = [numeral.kind for numeral in run]
    if "thousand" in kinds:
        length = kinds.index("thousand") + 1
        if kinds[length : length + 2] == ["digits", "hundred"] and len(run[length].digits) == 1:
            length += 2
        run = run[:length]
    elif "hundred" in kinds:
        run = run[: kinds.index("hundred") + 1]
    elif len(run) != 1 or len(run[0].digits) < 3:
        # THREE FIVE ZERO in a climb is a flight level, a number of one written word is feet.
        return _flight_level_number(words, run)
    feet = join_value(run)
    valid = feet is not None and 100 <= feet <= MAX_ALTITUDE and feet % 100 == 0
    return str(feet) if valid else None, run[-1].end


def _flight_level_number(words: Words, run: list[Numeral]) -> Reading:
    taken = _prefix(run, 3) or (_prefix(run, 2) if len(run) <= 2 else None)
    if taken is None or not MIN_FLIGHT_LEVEL <= int(taken[0]) <= MAX_FLIGHT_LEVEL:
        return None
    return f"FL{int(taken[0]):03d}", taken[1]


def _flight_level(words: Words, start: int, position: int) -> Slot | None:
    return read_number_slot("altitude", words, start, position, _flight_level_number)


def _after_flight(words: Words, start: int) -> Slot | None:
    if word_at(words, start + 1) not in ("LEVEL", "LEVELS"):
        return None
    found = _flight_level(words, start, skip_fillers(words, start + 2))
    return found or Slot("altitude", None, start, start + 2)


def _after_level(words: Words, start: int) -> Slot | None:
    position = skip_fillers(words, start + 1)
    run = read_run(words, position)
    digits = join_digits(run) or ""
    if _kinds(run) & {"thousand", "hundred"} and (len(digits) > 3 or word_at(words, run[-1].end) == "FEET"):
        return read_number_slot("altitude", words, start, position)
    if "hundred" in _kinds(run):
        return Slot("altitude", f"FL{digits}", start, run[-1].end)
    # A transition level is below ten thousand feet in most of Europe.
    before = word_at(words, start - 1)
    is_low = len(digits) == 2 and (before == "TRANSITION" or (before in CLIMBS | {"TO"} and digits[1] in "05"))
    is_level = len(digits) == 3 or is_low
    return _flight_level(words, start, position) if is_level else None


def _after_climb(words: Words, start: int) -> Slot | None:
    """CLIMBING THREE FIVE ZERO, DESCEND TO TWO THOUSAND FIVE HUNDRED."""
    position = skip_fillers(words, start + 1, frozenset({"TO", "AND", "MAINTAIN", "NOW", "UP", "DOWN"}))
    run = read_run(words, position)
    if run and _is_rate(words, position, run):
        return read_number_slot("vertical_rate", words, start, position)
    if _kinds(run) & {"thousand", "hundred"}:
        return read_number_slot("altitude", words, start, position)
    text = join_digits(run) or ""
    is_level = len(text) == 3 and text[2] in "05" and word_at(words, run[-1].end) != "KNOTS"
    return _flight_level(words, start, position) if is_level else None


def _after_maintain(words: Words, start: int) -> Slot | None:
    """MAINTAIN TWO FIVE ZERO: knots or a flight level, by the words around it."""
    position = skip_fillers(words, start + 1, SPEED_FILLERS)
    run = read_run(words, position)
    text = join_digits(run) or ""
    if any(numeral.kind != "digits" for numeral in run) and text[-2:] == "00" and int(text) >= 100:
        is_altitude = len(text) > 3 or "hundred" in _kinds(run)
        return read_number_slot("altitude", words, start, position) if is_altitude else None
    if len(text) != 3:
        return None
    if word_at(words, run[-1].end) in AFTER_SPEED or "SPEED" in words[start:position]:
        return read_number_slot("speed", words, start, position)
    if not CLIMBS.isdisjoint(words[max(0, start - 2) : start]) or int(text) > 300:
        return _flight_level(words, start, position)
    if int(text) > 250:
        return Slot("speed", None, start, run[-1].end)
    return read_number_slot("speed", words, start, position)


def _is_altitude(words: Words, position: int, run: list[Numeral]) -> bool:
    before = words[max(0, position - 3) : position]
    following, second = word_at(words, run[-1].end), word_at(words, run[-1].end + 1)
    relative = following == "FEET" and second in ("ABOVE", "BELOW")
    if relative or not WEATHER.isdisjoint(before) or {following, second} & AFTER_NO_ALTITUDE:
        return False
    kinds, digits = _kinds(run), run[0].digits
    hundreds = "hundred" in kinds and (following == "FEET" or word_at(words, position - 1) in LEVEL_CONTEXT)
    written = len(run) == 1 and words[position].isdecimal() and len(digits) in (4, 5) and digits.endswith("00")
    written = written and (following == "FEET" or not LEVEL_CONTEXT.isdisjoint(before))
    return "thousand" in kinds or hundreds or written


# --- speed ----------------------------------------------------------------------------------------------------------
SLOWS = frozenset({"REDUCE", "REDUCING", "SLOW", "SLOWING", "INCREASE", "INCREASING"})
AFTER_SPEED = frozenset({"KNOTS", "UNTIL", "TIL", "TILL", "OR", "TO", "THEN"})
SPEED_FILLERS = FILLERS | {"SPEED", "AIRSPEED"}
SPEED_PHRASES = (("ON", "THE", "SPEED"),)
MIN_SPEED, MAX_SPEED = 60, 600


def _speed_number(words: Words, run: list[Numeral]) -> Reading:
    taken = _prefix(run, 3) or (_prefix(run, 2) if len(join_digits(run) or "") == 2 else None)
    if taken is None or not MIN_SPEED <= int(taken[0]) <= MAX_SPEED:
        return None
    return str(int(taken[0])), taken[1] + (word_at(words, taken[1]) == "KNOTS")


def _after_mach(words: Words, start: int) -> Slot | None:
    position = skip_fillers(words, start + 1)
    run = read_run(words, position + (word_at(words, position) in ("POINT", "DECIMAL")))
    if not run:
        return None
    digits = join_digits([numeral for numeral in run if numeral.kind == "digits"]) or ""
    return Slot("speed", f"M.{digits}" if len(digits) == 2 else None, start, run[-1].end)


def _is_speed(words: Words, position: int, run: list[Numeral]) -> bool:
    end = run[-1].end
    following, second = word_at(words, end), word_at(words, end + 1)
    limit = following == "OR" and second in ("GREATER", "BETTER", "LESS")
    return limit or following == "KNOTS" or tuple(words[end : end + 3]) in SPEED_PHRASES


# --- heading --------------------------------------------------------------------------------------------------------
HEADING_PHRASES = (("ON", "THE", "HEADING"), ("HEADING",))
TURN_FILLERS = frozenset({"TO", "TURN", "NOW"})
AFTER_NO_HEADING = DISTANCE_UNITS | {"DEGREES", "O", "OCLOCK", "KNOTS", "THOUSAND"}


def _heading_number(words: Words, run: list[Numeral]) -> Reading:
    taken = _prefix(run, 3)
    if taken is None:
        # HEADING NINETY: of two digits only round numbers are headings.
        text = join_digits(run) or ""
        taken = (f"0{text}", run[-1].end) if len(text) == 2 and text[1] in "05" else None
    return taken if taken is not None and 1 <= int(taken[0]) <= 360 else None


def _after_heading(words: Words, start: int) -> Slot | None:
    position = skip_fillers(words, start + 1)
    run = read_run(words, position)
    if run and word_at(words, run[-1].end) == "DEGREES" and len(join_digits(run) or "") < 3:
        return None
    return read_number_slot("heading", words, start, position)


def _after_turn(words: Words, start: int) -> Slot | None:
    """LEFT TWO SEVEN ZERO, RIGHT TO TWO SEVENTY: three digits, not a turn by a number of degrees."""
    run = read_run(words, skip_fillers(words, start + 1, TURN_FILLERS))
    if not run or word_at(words, run[-1].end) in AFTER_NO_HEADING:
        return None
    taken = _prefix(run, 3, 1, 360)
    return Slot("heading", taken[0], start, taken[1]) if taken and taken[1] == run[-1].end else None


def _is_heading(words: Words, position: int, run: list[Numeral]) -> bool:
    end = run[-1].end
    behind = word_at(words, end) == "HEADING" and not read_run(words, skip_fillers(words, end + 1))
    return (behind or tuple(words[end : end + 3]) in HEADING_PHRASES) and _prefix(run, 3) is not None


# --- runway ---------------------------------------------------------------------------------------------------------
APPROACHES = frozenset({"ILS", "S", "VISUAL", "LOCALIZER", "LAND", "LANDING"})  # S ends I L S
BEFORE_RUNWAY = APPROACHES | frozenset("APPROACH DEPARTING TAKEOFF OFF FINAL FOR RNAV NAV APPROACHES".split())
SURE_BEFORE_RUNWAY = frozenset({"TAKEOFF"})
PHRASES_BEFORE_RUNWAY = frozenset({("TAKE", "OFF"), ("HOLDING", "POINT")})
AFTER_RUNWAY = frozenset({"CLEARED", "FINAL", "APPROACH", "LINE", "POSITION", "LOCALIZER"})
AFTER_NO_RUNWAY = DISTANCE_UNITS | {"O", "OCLOCK", "DEGREES", "MINUTES", "KNOTS", "FEET"}
RUNWAY_FILLERS = frozenset({"IS", "NUMBER"})
MAX_RUNWAY = 36


def _is_runway_number(digits: str) -> bool:
    return 1 <= len(digits) <= 2 and 1 <= int(digits) <= MAX_RUNWAY


def _runway_number(words: Words, run: list[Numeral]) -> Reading:
    text = join_digits(run) or ""
    if not _is_runway_number(text):
        return None
    side, end = _runway_side(words, run[-1].end)
    return f"{int(text):02d}{side}", end


def _runway_side(words: Words, position: int) -> tuple[str, int]:
    """`L`, `R`, `C` or an empty string, and the position after it; LEFT and RIGHT of a turn are no side."""
    side = SIDES.get(word_at(words, position), "")
    following = word_at(words, position + 1)
    turn = following == "TURN" and word_at(words, position + 2) not in ("LEFT", "RIGHT")
    if not side or turn or following == "HEADING":
        return "", position
    return side, position + 1


def _is_runway(words: Words, position: int, run: list[Numeral]) -> bool:
    text = join_digits(run) or ""
    if not _is_runway_number(text):
        return False
    before = word_at(words, position - 1)
    side, end = _runway_side(words, run[-1].end)
    following = word_at(words, end)
    named = before in BEFORE_RUNWAY and (before != "S" or word_at(words, position - 2) == "L")
    sure = before in SURE_BEFORE_RUNWAY or tuple(words[max(0, position - 2) : position]) in PHRASES_BEFORE_RUNWAY
    alone = len(text) == 2 and (position == 0 or before == "AND") and (end == len(words) or _is_aircraft(words, end))
    clear = (side != "" and (named or alone or following in AFTER_RUNWAY)) or (named and before in APPROACHES) or sure
    return clear and following not in AFTER_NO_RUNWAY


# --- squawk ---------------------------------------------------------------------------------------------------------


def _squawk_number(words: Words, run: list[Numeral]) -> Reading:
    taken = _prefix(run, 4)
    return taken if taken is not None and not set(taken[0]) & set("89") else None


IDENTS = frozenset({"IDENT", "IDENTING"})


def _ident(words: Words, start: int) -> Slot:
    return Slot("squawk", "IDENT", start, start + 1)


def _after_squawk(words: Words, start: int) -> Slot | None:
    if word_at(words, start + 1) in IDENTS:
        return Slot("squawk", "IDENT", start, start + 2)
    if word_at(words, start + 1) == "STANDBY" or words[start + 1 : start + 3] == ["STAND", "BY"]:
        return Slot("squawk", "STANDBY", start, start + 2 + (words[start + 1] == "STAND"))
    if word_at(words, start + 1) == "VFR":
        return Slot("squawk", "1200", start, start + 2)
    if words[start + 1 : start + 4] == ["V", "F", "R"]:
        return Slot("squawk", "1200", start, start + 4)
    return number_after("squawk", FILLERS | {"CODE"})(words, start)


# --- altimeter ------------------------------------------------------------------------------------------------------


def _altimeter_number(words: Words, run: list[Numeral]) -> Reading:
    """Inches of mercury, hundredths: 2992."""
    if len(run) == 3 and run[1].kind == "point":
        run = [run[0], run[2]]
    return _prefix(run, 4, 2700, 3199)


def _qnh_number(words: Words, run: list[Numeral]) -> Reading:
    """Hectopascals: Q1013."""
    taken = _prefix(run, 4 if run[0].digits.startswith("1") else 3, 870, 1085)
    return (f"Q{int(taken[0])}", taken[1]) if taken else None


def _after_q(words: Words, start: int) -> Slot | None:
    """QNH or QFE, spelled: Q N H."""
    if word_at(words, start + 2) not in ("H", "E") or word_at(words, start + 1) not in ("N", "F"):
        return None
    reader = _qfe_number if words[start + 1] == "F" else _qnh_number
    return read_number_slot("altimeter", words, start, skip_fillers(words, start + 3), reader)


def _qfe_number(words: Words, run: list[Numeral]) -> Reading:
    found = _qnh_number(words, run)
    return (f"QFE{found[0][1:]}", found[1]) if found and found[0] else None


# --- wind -----------------------------------------------------------------------------------------------------------


WIND_FILLERS = FILLERS | {"CHECK", "FIELD", "SURFACE", "CURRENTLY"}
GUSTS = frozenset({"GUST", "GUSTS", "GUSTING", "MAXIMUM", "MAX"})


def _after_wind(words: Words, start: int) -> Slot | None:
    """WIND TWO SEVEN ZERO AT ONE TWO GUSTS TWO ZERO, WIND CALM, WIND VARIABLE TWO KNOTS."""
    position = start + 1 + (word_at(words, start + 1) == "IS")
    if word_at(words, position) == "CALM":
        return Slot("wind", "CALM", start, position + 1)
    if word_at(words, position) == "VARIABLE":
        return _wind_speed(words, start, position + 1, "VRB")
    while word_at(words, position) in WIND_FILLERS and position < start + 4:
        position += 1
    run = read_run(words, position)
    direction = _prefix(run, 3)
    if direction is not None:
        return _wind_speed(words, start, direction[1], direction[0])
    if not run:
        return None
    # WIND TWO SIX DEGREES NINE KNOTS: a direction that is misheard, never a speed.
    wind = _wind_speed(words, start, run[-1].end, "")
    return Slot("wind", None, start, wind.end)


def _wind_speed(words: Words, start: int, position: int, direction: str) -> Slot:
    """The wind from `start` whose direction ends before `position`."""
    end = position + (word_at(words, position) == "DEGREES")
    speed_run = read_run(words, skip_fillers(words, end))
    knots = join_digits(speed_run) or ""
    if not 1 <= len(knots) <= 2:
        return Slot("wind", None, start, speed_run[-1].end if speed_run else end)
    end = speed_run[-1].end + (word_at(words, speed_run[-1].end) == "KNOTS")
    value = f"{direction}/{int(knots):02d}"
    if word_at(words, end) in GUSTS:
        gusts = read_run(words, skip_fillers(words, end + 1))
        value, end = (f"{value}G{join_digits(gusts)}", gusts[-1].end) if gusts else (value, end + 1)
        end += word_at(words, end) == "KNOTS"
    return Slot("wind", value, start, end)


def _wind_number(words: Words, run: list[Numeral]) -> Reading:
    direction = _prefix(run, 3, 0, 360)
    if direction is None:
        return None
    wind = _wind_speed(words, 0, direction[1], direction[0])
    return wind.value, wind.end


def _is_wind(words: Words, position: int, run: list[Numeral]) -> bool:
    """TWO ONE ZERO DEGREES FOUR KNOTS, and ONE EIGHT ZERO SIX KNOTS: wind without its word."""
    direction, end = _prefix(run, 3, 0, 360), run[-1].end
    if direction is None or direction[0][2] not in "05" or word_at(words, position - 1) == "HEADING":
        return False
    following = read_run(words, end + 1) if word_at(words, end) == "DEGREES" and direction[1] == end else []
    speed = join_digits(following or run) or ""
    num_digits = len(speed) if following else len(speed) - 3
    return 1 <= num_digits <= 2 and (bool(following) or word_at(words, end) == "KNOTS")


# --- clearance ------------------------------------------------------------------------------------------------------
# Phrase -> clearance. CLEARED is CLEARED or CLEAR; words of `CLEARANCE_FILLERS` may stand after it.
CLEARANCES = {
    "CLEARED LAND": "LAND", "CLEARED TAKEOFF": "TAKEOFF", "CLEARED TAKE OFF": "TAKEOFF",
    "CLEARED TOUCH AND GO": "TOUCH_AND_GO", "CLEARED OPTION": "OPTION", "CLEARED LOW APPROACH": "LOW_APPROACH",
    "CLEARED LOW PASS": "LOW_APPROACH", "LINE UP": "LINE_UP", "LINING UP": "LINE_UP", "POSITION AND HOLD": "LINE_UP",
    "GO AROUND": "GO_AROUND", "GOING AROUND": "GO_AROUND", "HOLD POSITION": "HOLD_POSITION",
    "HOLDING POSITION": "HOLD_POSITION", "HOLD SHORT": "HOLD_SHORT", "HOLDING SHORT": "HOLD_SHORT", "HOLD AT": "HOLD",
    "HOLD OVER": "HOLD", "HOLD OVERHEAD": "HOLD", "HOLDING AT": "HOLD", "HOLDING OVER": "HOLD",
    "CANCEL TAKEOFF": "CANCEL_TAKEOFF", "CANCEL TAKE OFF": "CANCEL_TAKEOFF",
}  # fmt: skip
CLEARANCE_PHRASES = {tuple(phrase.split()): value for phrase, value in CLEARANCES.items()}
CLEARANCE_FILLERS = frozenset({"TO", "FOR", "THE", "IMMEDIATE", "A"})
HOLDS_AT = ("AT", "OVER", "OVERHEAD")
MAX_POINT_WORDS = 3  # SAINT PREX
BEFORE_TO_POINT = ("LEFT", "RIGHT", "PROCEED", "PROCEEDING")


def _clearance(words: Words, start: int) -> Slot | None:
    end = start + 1
    if words[start] in ("CLEARED", "CLEAR"):
        while word_at(words, end) in CLEARANCE_FILLERS:
            end += 1
        said = ("CLEARED", *words[end : end + 3])
    else:
        said = tuple(words[start : start + 3])
    for length in (4, 3, 2):
        value = CLEARANCE_PHRASES.get(said[:length])
        if value is not None and len(said) >= length:
            # The place of HOLD AT is a slot of its own.
            return Slot("clearance", value, start, end + length - 1 - (value == "HOLD"))
    return None


# --- point ----------------------------------------------------------------------------------------------------------


def _after_direct(words: Words, start: int) -> Slot | None:
    """DIRECT TO KINES, TURN LEFT TO KINES, PROCEED TO TANGO BRAVO FOUR ZERO TWO, HOLD OVER IMPED."""
    position = start + 1
    if words[start] in BEFORE_TO_POINT:
        if word_at(words, position) != "TO":
            return None
    elif words[start] in HOLDS_AT and word_at(words, start - 1) not in ("HOLD", "HOLDING"):
        return None
    while word_at(words, position) in ("TO", "INBOUND"):
        position += 1
    word = word_at(words, position)
    if word in LETTERS:
        name, end = "", position
        while word_at(words, end) in LETTERS:
            name, end = name + LETTERS[words[end]], end + 1
        run = read_run(words, end)
        return Slot("point", name + (join_digits(run) or ""), start, run[-1].end if run else end)
    end = position
    while end < min(len(words), position + MAX_POINT_WORDS) and _names_point(words, end):
        end += 1
    if end == position:
        return None
    # In KINES KISTLER FOUR FIVE SIX, KISTLER is an operator.
    end = position + 1 if word_at(words, end) in LETTERS or read_run(words, end) else end
    return Slot("point", " ".join(words[position:end]), start, end)


def _names_point(words: Words, position: int) -> bool:
    word = words[position]
    is_known = word in phraseology() or word in LETTERS or is_number_word(word)
    return not is_known and not _is_aircraft(words, position)


# --- station --------------------------------------------------------------------------------------------------------
MAX_STATION_WORDS = 3
SERVICES = STATIONS | frozenset("UNICOM GUARD OPERATIONS CONTROLLER".split())
BEFORE_FREQUENCY = frozenset({"ON", "FREQUENCY", "AT", "NOW", "AGAIN"})


def _after_contact(words: Words, start: int) -> Slot | None:
    """CONTACT BREMEN RADAR ON, before a frequency; a service such as TOWER also without one."""
    if word_at(words, start - 1) in ("NEGATIVE", "NO", "RADAR", "VISUAL"):
        return None
    position = start + 1
    if words[start] in ("OVER", "SWITCH", "BACK"):
        if word_at(words, position) != "TO":
            return None
        position += 1
    while word_at(words, position) in ("NOW", "THE", "TO"):
        position += 1
    end = position
    while end < min(len(words), position + MAX_STATION_WORDS) and not (
        words[end] in BEFORE_FREQUENCY or is_number_word(words[end]) or words[end] in LETTERS
    ):
        end += 1
    name = words[position:end]
    number = end + (word_at(words, end) in BEFORE_FREQUENCY)
    number += word_at(words, number) == "FREQUENCY"
    is_called = bool(read_run(words, number)) or (bool(name) and name[-1] in SERVICES)
    is_name = bool(name) and all(word in SERVICES or word not in phraseology() for word in name)
    return Slot("station", " ".join(name), start, end) if is_called and is_name else None


# The first kind whose `is_bare` accepts a number without a keyword gets it.
SLOT_KINDS = {
    "frequency": SlotKind({}, _frequency_number, _is_frequency),
    "wind": SlotKind(dict.fromkeys(("WIND", "WINDS"), _after_wind), _wind_number, _is_wind),
    "vertical_rate": SlotKind(dict.fromkeys(("RATE", "VERTICAL"), _after_rate), _rate_number, _is_rate),
    "altitude": SlotKind(
        {
            "FLIGHT": _after_flight,
            "FL": number_after("altitude", frozenset(), _flight_level_number),
            "LEVEL": _after_level,
            **dict.fromkeys(("MAINTAIN", "MAINTAINING"), _after_maintain),
            **dict.fromkeys(CLIMBS, _after_climb),
        },
        _altitude_number,
        _is_altitude,
    ),
    "speed": SlotKind(
        {
            **dict.fromkeys(("SPEED", "AIRSPEED"), number_after("speed")),
            **dict.fromkeys(SLOWS, number_after("speed", SPEED_FILLERS)),
            "MACH": _after_mach,
        },
        _speed_number,
        _is_speed,
        SPEED_PHRASES,
    ),
    "heading": SlotKind(
        dict.fromkeys(("HEADING", "HEADINGS"), _after_heading) | dict.fromkeys(("LEFT", "RIGHT"), _after_turn),
        _heading_number,
        _is_heading,
        HEADING_PHRASES,
    ),
    "runway": SlotKind(
        dict.fromkeys(("RUNWAY", "RUNWAYS"), number_after("runway", RUNWAY_FILLERS)), _runway_number, _is_runway
    ),
    "squawk": SlotKind(
        dict.fromkeys(("SQUAWK", "SQUAWKING"), _after_squawk) | dict.fromkeys(IDENTS, _ident), _squawk_number
    ),
    "altimeter": SlotKind(
        {
            **dict.fromkeys(("ALTIMETER", "ALTIMETERS"), number_after("altimeter")),
            "QNH": number_after("altimeter", read_number=_qnh_number),
            "QFE": number_after("altimeter", read_number=_qfe_number),
            "Q": _after_q,
        },
        _altimeter_number,
    ),
    "clearance": SlotKind(dict.fromkeys({phrase[0] for phrase in CLEARANCE_PHRASES} | {"CLEAR"}, _clearance)),
    "point": SlotKind(
        dict.fromkeys(("DIRECT", "PROCEED", "PROCEEDING", "LEFT", "RIGHT", *sorted(HOLDS_AT)), _after_direct)
    ),
    "station": SlotKind(dict.fromkeys(("CONTACT", "CONTACTING", "MONITOR", "CALL", "SWITCH", "OVER"), _after_contact)),
}
KEYWORD_READERS: dict[str, list[KeywordReader]] = {}
for _kind in SLOT_KINDS.values():
    for _word, _read in _kind.keywords.items():
        KEYWORD_READERS.setdefault(_word, []).append(_read)
