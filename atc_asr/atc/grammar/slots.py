"""What a transmission says: callsign, altitude, heading, speed, frequency, squawk, runway, altimeter, wind.

A small grammar of US and ICAO phraseology (FAA Order JO 7110.65, chapter 2, section 4 and chapters 4-5; ICAO Doc 4444,
chapter 12) over normalised text. A number becomes a slot only where a word says of what; a slot that is announced
but cannot be read has the value None. A self-correction takes the place of what it corrects.
"""

import dataclasses
from collections.abc import Callable, Sequence

from atc_asr.atc.grammar.callsign import LETTERS, SIDES, read_callsign, reread_callsign
from atc_asr.atc.grammar.spoken_numbers import (
    DIGITS,
    TEENS,
    TENS,
    Numeral,
    is_number_word,
    join_digits,
    join_value,
    read_run,
)

KINDS = ("callsign", "altitude", "heading", "speed", "frequency", "squawk", "runway", "altimeter", "wind")

HESITATIONS = frozenset({"AH", "UH", "UM", "ER", "ERR", "EH", "HM", "MM", "HMM", "UHM", "AHH"})
CORRECTIONS = (
    ("CORRECTION", "I", "SAY", "AGAIN"), ("CORRECTION", "MAKE", "THAT"), ("CORRECTION", "THAT", "IS"), ("CORRECTION",),
    ("MAKE", "THAT"), ("MAKE", "IT"), ("I", "MEAN"), ("RATHER",), ("SORRY",), ("EXCUSE", "ME"), ("DISREGARD",),
)  # fmt: skip
FILLERS = frozenset({"TO", "OF", "AT", "IS", "YOUR", "NOW", "THE", "ON", "FOR", "A", "ABOUT", "AND", "BACK", "DOWN"})

CLIMBS = frozenset({"CLIMB", "CLIMBING", "DESCEND", "DESCENDING"})
LEVEL_CONTEXT = CLIMBS | {
    "MAINTAIN", "MAINTAINING", "LEVEL", "LEAVING", "THROUGH", "PASSING", "FOR", "ABOVE", "BELOW", "ALTITUDE",
    "REACHING", "OUT", "VACATING", "UP", "DOWN", "TO", "AT", "CROSS", "EXPECT", "REQUEST",
}  # fmt: skip
WEATHER = frozenset({
    "VISIBILITY", "CEILING", "RVR", "SCATTERED", "BROKEN", "OVERCAST", "FEW", "RANGE", "TOUCHDOWN", "ROLLOUT",
    "MIDPOINT", "TOPS", "BASES",
})  # fmt: skip
REMAINING = frozenset({"REMAINING", "AVAILABLE", "SCATTERED", "BROKEN", "OVERCAST", "RVR"})
CONTACTS = frozenset({
    "CONTACT", "CONTACTING", "MONITOR", "MONITORING", "SWITCH", "SWITCHING", "TOWER", "DEPARTURE", "CENTER", "CENTRE",
    "GROUND", "APPROACH", "CLEARANCE", "RADAR", "CONTROL", "FREQUENCY", "UNICOM", "DIRECTOR",
})  # fmt: skip
SLOWS = frozenset({"REDUCE", "REDUCING", "SLOW", "SLOWING", "INCREASE", "INCREASING"})
UNTIL = frozenset({"KNOTS", "UNTIL", "TIL", "TILL", "OR", "TO", "THEN"})
RUNWAY_BEFORE = frozenset({
    "LAND", "LANDING", "ILS", "S", "VISUAL", "APPROACH", "DEPARTING", "TAKEOFF", "OFF", "LOCALIZER", "FINAL", "FOR",
    "RNAV", "NAV", "APPROACHES",
})  # fmt: skip
RUNWAY_AFTER = frozenset({"CLEARED", "FINAL", "APPROACH", "LINE", "POSITION", "LOCALIZER"})
# numbers of these are no slot: they are read over
READ_OVER = frozenset({
    "VISIBILITY", "CEILING", "RVR", "RADIAL", "DME", "GATE", "SPOT", "TAXIWAY", "BOEING", "AIRBUS", "MD", "DASH",
    "GROUNDSPEED", "TRACK", "COURSE", "TOPS", "INFORMATION", "CHANNEL",
})  # fmt: skip

MAX_FLIGHT_LEVEL = 600
MAX_ALTITUDE = 60_000
MIN_SPEED, MAX_SPEED = 60, 600
LOOK_BACK = 6
LOOK_AHEAD = 6


@dataclasses.dataclass(frozen=True)
class Slot:
    """One thing that a transmission says.

    Attributes:
        kind: one of `KINDS`.
        value: `UAL686`, feet or `FL350`, `270`, knots or `M.78`, MHz `124.650`, `4621`, `27L`, `2992` or `Q1013`,
            `270/12G20`; None where it cannot be read.
        start: position of its first word in the utterance.
        end: position after its last word.
        operator: of a callsign, as `atc_asr.atc.grammar.callsign.Callsign`.
    """

    kind: str
    value: str | None
    start: int
    end: int
    operator: str = ""


def read_slots(words: Sequence[str]) -> list[Slot]:
    """The slots of an utterance in the order they are said, the corrected ones in the place of the wrong ones.

    Args:
        words: normalised, upper case.
    """
    places = [place for place, word in enumerate(words) if word not in HESITATIONS]
    spoken = [_without_s(words[place]) for place in places]
    return [
        dataclasses.replace(slot, start=places[slot.start], end=places[slot.end - 1] + 1)
        for slot in _read_spoken(spoken)
    ]


def _without_s(word: str) -> str:
    """`TWENTY ONE'S WITH YOU`, of which the normalisation leaves ONES: the sign that carries the S."""
    sign = word[:-1]
    return sign if word.endswith("S") and (sign in DIGITS or sign in TEENS or sign in TENS or sign in LETTERS) else word


def _read_spoken(words: Sequence[str]) -> list[Slot]:
    slots: list[Slot] = []
    position = 0
    while position < len(words):
        marker = _correction_at(words, position)
        if marker and slots:
            # a word may stand between: `… ONE TWO FOUR POINT CORRECTION …`
            at_once = position - slots[-1].end <= 1
            slots, position = _correct(words, position + marker, slots, at_once=at_once)
            continue
        found = _read_at(words, position)
        if found is None:
            position += 1
            continue
        if found.kind in KINDS and not (found.value and _says(slots, found)):
            slots.append(found)
        position = found.end
    return slots


def _says(slots: Sequence[Slot], slot: Slot) -> bool:
    """Whether a slot only repeats what was said before."""
    return any((known.kind, known.value) == (slot.kind, slot.value) for known in slots)


def _correction_at(words: Sequence[str], position: int) -> int:
    """Number of words of the correction marker at a position, 0 for none."""
    return next((len(one) for one in CORRECTIONS if tuple(words[position : position + len(one)]) == one), 0)


def _correct(words: Sequence[str], position: int, slots: list[Slot], *, at_once: bool) -> tuple[list[Slot], int]:
    """The slots after a correction that begins at `position`, and where to read on.

    Only a correction that follows `at_once` can be a bare number: later it may be of what could not be read.
    """
    again = _read_again(words, position, slots[-1]) if at_once else None
    if again is not None:
        return [*slots[:-1], again], again.end
    for start in range(position, min(position + LOOK_AHEAD, len(words))):
        new = _read_at(words, start)
        if new is None or new.kind not in KINDS:
            continue
        wrong = next((index for index in range(len(slots) - 1, -1, -1) if slots[index].kind == new.kind), None)
        kept = slots if wrong is None else slots[:wrong] + slots[wrong + 1 :]
        return [*kept, new], new.end
    return slots, position


def _read_again(words: Sequence[str], position: int, last: Slot) -> Slot | None:
    """A bare number (or side of a runway) after a correction, read as another value of the slot before it."""
    if last.kind == "runway" and last.value and _word(words, position) in SIDES:
        side = SIDES[words[position]]
        return Slot("runway", last.value.rstrip("LRC") + side, position, position + 1)
    if not read_run(words, position):
        return None
    bare = _read_bare(words, position)
    if bare is not None and bare.kind in KINDS:
        return bare if bare.kind == last.kind else None
    if last.kind == "callsign":
        found = reread_callsign(words, position, last.operator)
        return Slot("callsign", found.icao, position, found.end, last.operator) if found else None
    read = NUMBER_READERS.get(last.kind)
    return read(words, position, position) if read else None


def _word(words: Sequence[str], position: int) -> str:
    return words[position] if 0 <= position < len(words) else ""


def _read_at(words: Sequence[str], position: int) -> Slot | None:
    """What begins at a position; a slot of kind `other` is a number that says nothing here."""
    callsign = read_callsign(words, position)
    if callsign is not None:
        return Slot("callsign", callsign.icao, position, callsign.end, callsign.operator)
    read = KEYWORD_READERS.get(words[position])
    found = read(words, position) if read else None
    if found is not None:
        return found
    if words[position] in READ_OVER:
        run = read_run(words, position + 1)
        return Slot("other", None, position, run[-1].end) if run else None
    return _read_bare(words, position)


def _skip(words: Sequence[str], position: int, fillers: frozenset[str] = FILLERS) -> int:
    """The position after at most three filler words that a number follows, else the position itself."""
    for end in range(position, min(position + 4, len(words))):
        if is_number_word(words[end]) and read_run(words, end):
            return end
        if words[end] not in fillers:
            break
    return position


def _prefix(run: Sequence[Numeral], width: int) -> tuple[str, int] | None:
    """The first `width` digits of a run and the position after them, where its numerals divide there."""
    for length in range(1, len(run) + 1):
        text = join_digits(run[:length])
        if text is None or len(text) > width:
            return None
        following = run[length] if length < len(run) else None
        # `TWO HUNDRED` goes on in `TWO HUNDRED TEN`
        adds_up = run[length - 1].kind == "hundred" and following is not None and len(following.digits) == 2
        if len(text) == width and not adds_up and (following is None or following.kind == "digits"):
            return text, run[length - 1].end
    return None


# --- numbers of a known kind: `start` is the slot's first word, `position` the number's ---------------------------


def _flight_level_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    run = read_run(words, position)
    if not run:
        return None
    taken = _prefix(run, 3) or (_prefix(run, 2) if len(run) <= 2 else None)
    if taken is None or not 10 <= int(taken[0]) <= MAX_FLIGHT_LEVEL:
        return Slot("altitude", None, start, run[-1].end)
    return Slot("altitude", f"FL{int(taken[0]):03d}", start, taken[1])


def _altitude_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    run = read_run(words, position)
    kinds = [numeral.kind for numeral in run]
    if "thousand" in kinds:
        length = kinds.index("thousand") + 1
        if kinds[length : length + 2] == ["digits", "hundred"] and len(run[length].digits) == 1:
            length += 2
        run = run[:length]
    elif "hundred" in kinds:
        run = run[: kinds.index("hundred") + 1]
    elif len(run) != 1 or len(run[0].digits) < 3:
        # `THREE FIVE ZERO` in a climb is a flight level, one written number is feet
        return _flight_level_number(words, start, position)
    return Slot("altitude", _feet(join_value(run)), start, run[-1].end) if run else None


def _feet(value: int | None) -> str | None:
    return str(value) if value is not None and 100 <= value <= MAX_ALTITUDE and value % 100 == 0 else None


def _heading_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    run = read_run(words, position)
    if not run:
        return None
    taken = _prefix(run, 3)
    if taken is None:
        # `HEADING NINETY`: two digits, and round ones only
        text = join_digits(run) or ""
        taken = (f"0{text}", run[-1].end) if len(text) == 2 and text[1] in "05" else None
    if taken is None or not 1 <= int(taken[0]) <= 360:
        return Slot("heading", None, start, run[-1].end)
    return Slot("heading", taken[0], start, taken[1])


def _speed_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    run = read_run(words, position)
    if not run:
        return None
    taken = _prefix(run, 3) or (_prefix(run, 2) if len(join_digits(run) or "") == 2 else None)
    if taken is None or not MIN_SPEED <= int(taken[0]) <= MAX_SPEED:
        return Slot("speed", None, start, run[-1].end)
    end = taken[1] + (_word(words, taken[1]) == "KNOTS")
    return Slot("speed", str(int(taken[0])), start, end)


def _squawk_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    run = read_run(words, position)
    if not run:
        return None
    taken = _prefix(run, 4)
    if taken is None or set(taken[0]) & set("89"):
        return Slot("squawk", None, start, run[-1].end)
    return Slot("squawk", taken[0], start, taken[1])


def _runway_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    run = read_run(words, position)
    if not run:
        return None
    text = join_digits(run) or ""
    end = run[-1].end
    if not (len(text) <= 2 and text and 1 <= int(text) <= 36):
        return Slot("runway", None, start, end)
    side, end = _read_side(words, end)
    return Slot("runway", f"{int(text):02d}{side}", start, end)


def _read_side(words: Sequence[str], position: int) -> tuple[str, int]:
    """`L`, `R`, `C` or nothing; a side that belongs to a turn is left where it is."""
    side = SIDES.get(_word(words, position), "")
    following = _word(words, position + 1)
    turn = following == "TURN" and _word(words, position + 2) not in ("LEFT", "RIGHT")
    if not side or turn or following == "HEADING":
        return "", position
    return side, position + 1


def _altimeter_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    run = read_run(words, position)
    if not run:
        return None
    if len(run) == 3 and run[1].kind == "point":
        run = [run[0], run[2]]
    taken = _prefix(run, 4)
    if taken is None or not 2700 <= int(taken[0]) <= 3199:
        return Slot("altimeter", None, start, run[-1].end)
    return Slot("altimeter", taken[0], start, taken[1])


def _frequency_number(words: Sequence[str], start: int, position: int) -> Slot | None:
    """MHz, with or without POINT and, as US controllers say it, with or without the leading 1."""
    run = read_run(words, position)
    if not run:
        return None
    kinds = [numeral.kind for numeral in run]
    if "point" in kinds:
        at = kinds.index("point")
        whole, decimals = join_digits(run[:at]), join_digits(run[at + 1 :])
    else:
        text = join_digits(run) or ""
        text = text if text[:2] in ("11", "12", "13") and len(text) >= 4 else f"1{text}"
        whole, decimals = text[:3], text[3:]
    return Slot("frequency", _megahertz(whole, decimals), start, run[-1].end)


def _megahertz(whole: str | None, decimals: str | None) -> str | None:
    """`124`, `65` -> `124.650`; a truncated 25 kHz channel gets its last digit (`118.12` is 118.125)."""
    if not whole or not decimals or len(decimals) > 3:
        return None
    whole = f"1{whole}" if len(whole) == 2 else whole
    if not (108 <= int(whole) <= 136 or 225 <= int(whole) <= 399):
        return None
    if len(decimals) == 2 and decimals[1] in "27":
        decimals += "5"
    return f"{whole}.{decimals.ljust(3, '0')}"


# --- words that announce a number ---------------------------------------------------------------------------------


def _after_flight(words: Sequence[str], start: int) -> Slot | None:
    if _word(words, start + 1) not in ("LEVEL", "LEVELS"):
        return None
    position = _skip(words, start + 2)
    return _flight_level_number(words, start, position) or Slot("altitude", None, start, start + 2)


def _after_level(words: Sequence[str], start: int) -> Slot | None:
    position = _skip(words, start + 1)
    run = read_run(words, position)
    if any(numeral.kind in ("thousand", "hundred") for numeral in run):
        return _altitude_number(words, start, position)
    digits = len(join_digits(run) or "")
    # a transition level is below ten thousand feet in most of Europe
    wanted = digits == 3 or (digits == 2 and _word(words, start - 1) == "TRANSITION")
    return _flight_level_number(words, start, position) if wanted else None


def _after_heading(words: Sequence[str], start: int) -> Slot | None:
    position = _skip(words, start + 1)
    unit = read_run(words, position)
    if unit and _word(words, unit[-1].end) == "DEGREES" and len(join_digits(unit) or "") < 3:
        return None
    return _heading_number(words, start, position)


def _after_turn(words: Sequence[str], start: int) -> Slot | None:
    """`LEFT TWO SEVEN ZERO`, `RIGHT TO TWO SEVENTY`: three digits, not so many degrees."""
    position = _skip(words, start + 1, frozenset({"TO", "TURN", "NOW"}))
    run = read_run(words, position)
    if not run or _word(words, run[-1].end) in ("DEGREES", "MILES", "MILE", "O", "OCLOCK", "KNOTS", "THOUSAND"):
        return None
    taken = _prefix(run, 3)
    whole = taken is not None and taken[1] == run[-1].end and 1 <= int(taken[0]) <= 360
    return Slot("heading", taken[0], start, taken[1]) if whole else None


def _after_speed(words: Sequence[str], start: int) -> Slot | None:
    return _speed_number(words, start, _skip(words, start + 1))


def _after_slow(words: Sequence[str], start: int) -> Slot | None:
    return _speed_number(words, start, _skip(words, start + 1, FILLERS | {"SPEED", "AIRSPEED"}))


def _after_maintain(words: Sequence[str], start: int) -> Slot | None:
    """`MAINTAIN TWO FIVE ZERO`: knots or a flight level, as the words around it say."""
    position = _skip(words, start + 1, FILLERS | {"SPEED", "AIRSPEED"})
    run = read_run(words, position)
    text = join_digits(run) or ""
    if any(numeral.kind != "digits" for numeral in run) and text[-2:] == "00" and int(text) >= 100:
        return _altitude_number(words, start, position) if len(text) > 3 or "hundred" in _kinds(run) else None
    if len(text) != 3:
        return None
    following = _word(words, run[-1].end)
    climbs = CLIMBS & set(words[max(0, start - 2) : start])
    if following in UNTIL or "SPEED" in words[start:position]:
        return _speed_number(words, start, position)
    if climbs or int(text) > 300:
        return _flight_level_number(words, start, position)
    return _speed_number(words, start, position) if int(text) <= 250 else Slot("speed", None, start, run[-1].end)


def _kinds(run: Sequence[Numeral]) -> set[str]:
    return {numeral.kind for numeral in run}


def _after_climb(words: Sequence[str], start: int) -> Slot | None:
    """`CLIMBING THREE FIVE ZERO`, `DESCEND TO TWO THOUSAND FIVE HUNDRED`."""
    position = _skip(words, start + 1, frozenset({"TO", "AND", "MAINTAIN", "NOW", "UP", "DOWN"}))
    run = read_run(words, position)
    if _kinds(run) & {"thousand", "hundred"}:
        return _altitude_number(words, start, position)
    text = join_digits(run) or ""
    if len(text) == 3 and text[2] in "05" and _word(words, run[-1].end) != "KNOTS":
        return _flight_level_number(words, start, position)
    return None


def _after_mach(words: Sequence[str], start: int) -> Slot | None:
    position = _skip(words, start + 1)
    run = read_run(words, position + (_word(words, position) in ("POINT", "DECIMAL")))
    if not run:
        return None
    digits = join_digits([numeral for numeral in run if numeral.kind == "digits"]) or ""
    return Slot("speed", f"M.{digits[-2:]}" if len(digits) == 2 else None, start, run[-1].end)


def _after_squawk(words: Sequence[str], start: int) -> Slot | None:
    if _word(words, start + 1) == "VFR" or words[start + 1 : start + 4] == ["V", "F", "R"]:
        return Slot("squawk", "1200", start, start + (2 if words[start + 1] == "VFR" else 4))
    return _squawk_number(words, start, _skip(words, start + 1, FILLERS | {"CODE"}))


def _after_runway(words: Sequence[str], start: int) -> Slot | None:
    return _runway_number(words, start, _skip(words, start + 1, frozenset({"IS", "NUMBER"})))


def _after_altimeter(words: Sequence[str], start: int) -> Slot | None:
    return _altimeter_number(words, start, _skip(words, start + 1))


def _after_qnh(words: Sequence[str], start: int) -> Slot | None:
    run = read_run(words, _skip(words, start + 1))
    if not run:
        return None
    taken = _prefix(run, 4) if run[0].digits.startswith("1") else _prefix(run, 3)
    good = taken is not None and 870 <= int(taken[0]) <= 1085
    return (
        Slot("altimeter", f"Q{int(taken[0])}", start, taken[1]) if good else Slot("altimeter", None, start, run[-1].end)
    )


def _after_wind(words: Sequence[str], start: int) -> Slot | None:
    """`WIND TWO SEVEN ZERO AT ONE TWO GUSTS TWO ZERO`, `WIND CALM`."""
    if _word(words, start + 1) == "CALM":
        return Slot("wind", "CALM", start, start + 2)
    position = _skip(words, start + 1)
    run = read_run(words, position)
    direction = _prefix(run, 3)
    if direction is None:
        return Slot("wind", None, start, run[-1].end) if run else None
    end = direction[1] + (_word(words, direction[1]) == "DEGREES")
    speed_run = read_run(words, _skip(words, end))
    knots = join_digits(speed_run) or ""
    if not 1 <= len(knots) <= 2:
        return Slot("wind", None, start, speed_run[-1].end if speed_run else end)
    end = speed_run[-1].end + (_word(words, speed_run[-1].end) == "KNOTS")
    value = f"{direction[0]}/{int(knots):02d}"
    if _word(words, end) in ("GUST", "GUSTS", "GUSTING"):
        gusts = read_run(words, _skip(words, end + 1))
        value, end = (f"{value}G{join_digits(gusts)}", gusts[-1].end) if gusts else (value, end + 1)
    return Slot("wind", value, start, end)


def _after_ground(words: Sequence[str], start: int) -> Slot | None:
    """`GROUND POINT NINER` is 121.9: the digits before the point are left out (FAA Order JO 7110.65, 3-7-1)."""
    position = start + 1 + (_word(words, start + 1) == "ON")
    run = read_run(words, position)
    if not run or run[0].kind != "point":
        return None
    return Slot("frequency", _megahertz("121", join_digits(run[1:])), start, run[-1].end)


def _after_written_level(words: Sequence[str], start: int) -> Slot | None:
    return _flight_level_number(words, start, start + 1)


KEYWORD_READERS: dict[str, Callable[[Sequence[str], int], Slot | None]] = {
    "FLIGHT": _after_flight, "FL": _after_written_level, "LEVEL": _after_level,
    "HEADING": _after_heading, "HEADINGS": _after_heading, "LEFT": _after_turn, "RIGHT": _after_turn,
    "SPEED": _after_speed, "AIRSPEED": _after_speed, "KNOTS": lambda words, start: None, "MACH": _after_mach,
    "MAINTAIN": _after_maintain, "MAINTAINING": _after_maintain,
    "SQUAWK": _after_squawk, "SQUAWKING": _after_squawk, "RUNWAY": _after_runway, "RUNWAYS": _after_runway,
    "ALTIMETER": _after_altimeter, "ALTIMETERS": _after_altimeter, "QNH": _after_qnh, "WIND": _after_wind,
    "WINDS": _after_wind, "GROUND": _after_ground,
} | dict.fromkeys(CLIMBS, _after_climb) | dict.fromkeys(SLOWS, _after_slow)  # fmt: skip

NUMBER_READERS: dict[str, Callable[[Sequence[str], int, int], Slot | None]] = {
    "altitude": _altitude_number,
    "heading": _heading_number,
    "speed": _speed_number,
    "frequency": _frequency_number,
    "squawk": _squawk_number,
    "runway": _runway_number,
    "altimeter": _altimeter_number,
}


# --- numbers that nothing announced --------------------------------------------------------------------------------


def _read_bare(words: Sequence[str], position: int) -> Slot | None:
    """A number without a word before it that says of what: what follows it or stands further back may say."""
    if words[position].startswith("FL") and words[position][2:].isdigit():
        return Slot("altitude", f"FL{int(words[position][2:]):03d}", position, position + 1)
    written = _read_written_runway(words, position)
    if written:
        return written
    run = read_run(words, position)
    if not run:
        return None
    for read in (_bare_frequency, _bare_altitude, _bare_speed, _bare_heading, _bare_runway):
        slot = read(words, position, run)
        if slot is not None:
            return slot
    return Slot("other", None, position, run[-1].end)


def _read_written_runway(words: Sequence[str], position: int) -> Slot | None:
    word = words[position]
    number = word[:-1]
    if word[-1:] not in ("L", "R", "C") or not number.isdigit() or not 1 <= int(number) <= 36:
        return None
    return Slot("runway", f"{int(number):02d}{word[-1]}", position, position + 1)


def _bare_frequency(words: Sequence[str], position: int, run: Sequence[Numeral]) -> Slot | None:
    before = words[max(0, position - LOOK_BACK) : position]
    if "point" in _kinds(run):
        if run[0].kind == "point" or _word(words, run[-1].end) in ("MILES", "MILE", "DME", "THOUSAND"):
            return None
        kinds = [numeral.kind for numeral in run]
        whole = join_digits(run[: kinds.index("point")]) or ""
        plausible = len(whole) >= 3 or (len(whole) == 2 and 18 <= int(whole) <= 36)
        return _frequency_number(words, position, position) if plausible else None
    text = join_digits(run) or ""
    if _is_grouped_frequency(words, run):
        return _frequency_number(words, position, position)
    if (
        not CONTACTS & set(before)
        or _kinds(run) != {"digits"}
        or _word(words, run[-1].end) in ("MILES", "MILE", "KNOTS")
    ):
        return None
    full = 4 <= len(text) <= 6 and text[:2] in ("11", "12", "13") and 118 <= int(text[:3]) <= 136
    short = 3 <= len(text) <= 4 and 18 <= int(text[:2]) <= 36
    return _frequency_number(words, position, position) if full or short else None


def _is_grouped_frequency(words: Sequence[str], run: Sequence[Numeral]) -> bool:
    """`ONE TWENTY SIX FIFTY FIVE` said back at the end of an utterance, or before the callsign that ends it."""
    head = [numeral.digits for numeral in run[:2]]
    if (
        _kinds(run) != {"digits"}
        or len(head) < 2
        or head[0] != "1"
        or not (len(head[1]) == 2 and 18 <= int(head[1]) <= 36)
    ):
        return False
    end = run[-1].end + (_word(words, run[-1].end) == "FOR")
    return 1 <= len(join_digits(run[2:]) or "") <= 3 and (end == len(words) or _names_aircraft(words, end))


def _names_aircraft(words: Sequence[str], position: int) -> bool:
    return position < len(words) and read_callsign(words, position) is not None


def _bare_altitude(words: Sequence[str], position: int, run: Sequence[Numeral]) -> Slot | None:
    kinds = _kinds(run)
    before = set(words[max(0, position - 3) : position])
    following = _word(words, run[-1].end)
    beyond = _word(words, run[-1].end + 1)
    if WEATHER & before or {following, beyond} & REMAINING or (following == "FEET" and beyond in ("ABOVE", "BELOW")):
        return None
    if "thousand" in kinds:
        return _altitude_number(words, position, position)
    if "hundred" in kinds and (following == "FEET" or _word(words, position - 1) in LEVEL_CONTEXT):
        return _altitude_number(words, position, position)
    written = len(run) == 1 and len(run[0].digits) in (4, 5) and run[0].digits.endswith("00")
    if written and words[position].isdigit() and (following == "FEET" or LEVEL_CONTEXT & before):
        return _altitude_number(words, position, position)
    return None


def _bare_speed(words: Sequence[str], position: int, run: Sequence[Numeral]) -> Slot | None:
    end = run[-1].end
    if words[end : end + 3] == ["ON", "THE", "SPEED"]:
        return _stretched(_speed_number(words, position, position), end, 3)
    said = _word(words, end) == "KNOTS"
    bound = _word(words, end) == "OR" and _word(words, end + 1) in ("GREATER", "BETTER", "LESS")
    return _speed_number(words, position, position) if said or bound else None


def _bare_heading(words: Sequence[str], position: int, run: Sequence[Numeral]) -> Slot | None:
    end = run[-1].end
    behind = _word(words, end) == "HEADING" and not read_run(words, _skip(words, end + 1))
    said = words[end : end + 3] == ["ON", "THE", "HEADING"]
    if not (behind or said) or _prefix(run, 3) is None:
        return None
    return _stretched(_heading_number(words, position, position), end, 3 if said else 1)


def _stretched(slot: Slot | None, end: int, announced: int) -> Slot | None:
    """A slot with the words behind its number that say what it is, so that they announce nothing else."""
    return dataclasses.replace(slot, end=end + announced) if slot is not None and slot.end == end else slot


def _bare_runway(words: Sequence[str], position: int, run: Sequence[Numeral]) -> Slot | None:
    text = join_digits(run) or ""
    if not text or len(text) > 2 or not 1 <= int(text) <= 36:
        return None
    before = _word(words, position - 1)
    side, end = _read_side(words, run[-1].end)
    named = before in RUNWAY_BEFORE and (before != "S" or _word(words, position - 2) == "L")
    follows = _word(words, end) in RUNWAY_AFTER
    unit = _word(words, end) in ("MILES", "MILE", "O", "OCLOCK", "DEGREES", "MINUTES", "KNOTS", "FEET")
    alone = len(text) == 2 and (position == 0 or before == "AND") and (end == len(words) or _names_aircraft(words, end))
    clear = (side and (named or follows or alone)) or (
        named and before in ("ILS", "S", "VISUAL", "LOCALIZER", "LAND", "LANDING")
    )
    if unit or not clear:
        return None
    return Slot("runway", f"{int(text):02d}{side}", position, end)
