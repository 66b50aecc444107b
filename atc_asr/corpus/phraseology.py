"""A seeded grammar of air-traffic-control transmissions.

Phraseology after FAA Order JO 7110.65 (chapter 2, section 4: radio communications; chapters 3-5: clearances) and the
Aeronautical Information Manual (chapter 4, section 2), with the group-form numbers that US crews and controllers speak.
Texts are lower-case letters and single spaces; letters that are spelled out are separate words (`i l s`).
"""

import functools
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from atc_asr.atc.vocabulary.operators import Operator, read_added, read_operators
from atc_asr.atc.vocabulary.words import (
    AIRCRAFT,
    ALPHABET,
    DIGITS,
    PHONETIC,
    RADIO_DIGITS,
    group_words,
    is_tail,
    two_digit_words,
)
from atc_asr.core.errors import InputError
from atc_asr.corpus.source import SPLITS

Choice = TypeVar("Choice")

# Registrations have no I and O (14 CFR 47.15).
TAIL_LETTERS = [letter for letter in PHONETIC if letter not in "IO"]

CITIES = (
    "boston", "washington", "dallas", "new york", "chicago", "atlanta", "denver", "miami", "potomac", "regional",
    "oakland", "seattle", "phoenix",
)  # fmt: skip
TRAFFIC = (
    "boeing seven thirty seven", "airbus", "seven sixty seven", "regional jet", "cessna", "dash eight", "twin engine",
    "king air", "helicopter",
)  # fmt: skip
HESITATIONS = ("ah", "uh")

SPLIT_PERCENTAGES = (70, 10, 20)  # of call signs and fixes: train, valid, test
NUM_FIXES = 300
FIX_CONSONANTS = "bdfgklmnprstv"
FIX_VOWELS = "aeio"


@dataclass(frozen=True)
class Callsign:
    """The call sign of an aircraft: ICAO form (`UAL686`, `N345AB`) and the words that are spoken."""

    icao: str
    words: str


@dataclass(frozen=True)
class Transmission:
    """One transmission: clauses, between which a speaker may pause, the speaker's role, and the aircraft."""

    clauses: tuple[str, ...]
    role: str
    callsign: Callsign

    @property
    def text(self) -> str:
        """The transcript."""
        return " ".join(self.clauses)


@dataclass(frozen=True, kw_only=True)
class SpeakingStyle:
    """Probabilities of the choices in a transmission, and its maximum length."""

    pilot_fraction: float  # transmissions by pilots
    group_fraction: float  # speakers who say numbers in groups (six eighty six), not digit by digit
    tail_fraction: float = 0.25  # call signs that are registrations (tail numbers), not flight numbers
    variant_fraction: float = 0.15  # speakers who say niner, tree, fife
    hesitation_fraction: float = 0.06  # transmissions with an "ah" or "uh"
    max_words: int = 24  # longest transmission
    operators: str | None = None  # file of operators added to those of the package


@functools.cache
def synthetic_operators(path: str | None = None) -> tuple[Operator, ...]:
    """The operators of the synthetic corpus, and those of a user's file."""
    return (*(operator for operator in read_operators() if operator.synthetic), *read_added(path))


def split_of(name: str) -> str:
    """The split of a call sign or fix; a hash of the name, so it is the same in every corpus."""
    bucket = zlib.crc32(name.encode()) % sum(SPLIT_PERCENTAGES)
    edges = np.cumsum(SPLIT_PERCENTAGES)
    return SPLITS[int(np.searchsorted(edges, bucket, side="right"))]


def callsign_key(icao: str) -> str:
    """The part of a call sign that determines its split: the short form (last three characters) of a registration."""
    return icao[-3:] if is_tail(icao) else icao


@functools.cache
def fixes(split: str) -> tuple[str, ...]:
    """The navigation fixes of a split: pronounceable words of five letters (FAA Order JO 7400.2)."""
    rng = np.random.default_rng(zlib.crc32(b"fixes"))
    names: dict[str, None] = {}
    while len(names) < NUM_FIXES:
        letters = [FIX_CONSONANTS, FIX_VOWELS, FIX_CONSONANTS, FIX_VOWELS, FIX_CONSONANTS]
        names["".join(row[rng.integers(len(row))] for row in letters)] = None
    return tuple(name for name in names if split_of(name) == split)


class Speaker:
    """The random choices of one speaker in one transmission, with the call signs and fixes of one split."""

    def __init__(self, split: str, rng: np.random.Generator, style: SpeakingStyle) -> None:
        self._split = split
        self._rng = rng
        self._style = style
        # constant within a transmission
        self._variants = self.chance(style.variant_fraction)
        self._groups = self.chance(style.group_fraction)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self._rng.random() < probability)

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of the choices, with equal probability."""
        return choices[int(self._rng.integers(len(choices)))]

    def number(self, low: int, high: int, step: int = 1) -> int:
        """A number from `low`, `low + step`, ... to `high`, both included."""
        return low + step * int(self._rng.integers((high - low) // step + 1))

    def spell(self, text: str) -> str:
        """Digits and letters one by one: `27L` is `two seven lima`."""
        words = [DIGITS[int(char)] if char.isdigit() else PHONETIC[char] for char in text]
        if self._variants:
            words = [RADIO_DIGITS.get(word, word) for word in words]
        return " ".join(words)

    def callsign(self) -> Callsign:
        """A call sign of this split, in full or short form."""
        draw = self._tail if self.chance(self._style.tail_fraction) else self._flight
        while True:
            callsign = draw()
            if split_of(callsign_key(callsign.icao)) == self._split:
                return callsign

    def _flight(self) -> Callsign:
        operator = self.pick(synthetic_operators(self._style.operators))
        number = self.number(2, 9999) if self.chance(0.35) else self.number(2, 999)
        words = group_words(number) if self._groups else self.spell(str(number))
        heavy = " heavy" if self.chance(0.06) else ""
        return Callsign(f"{operator.icao}{number}", f"{operator.telephony} {words}{heavy}")

    def _tail(self) -> Callsign:
        num_letters = self.pick((0, 1, 1, 2, 2, 2))
        first = str(self.number(1, 9))
        rest = "".join(str(self.number(0, 9)) for _ in range(self.number(3, 4) - num_letters))
        mark = first + rest + "".join(self.pick(TAIL_LETTERS) for _ in range(num_letters))
        spoken = mark[-3:] if self.chance(0.5) else mark
        prefix = self.pick(AIRCRAFT) if self.chance(0.25) else "november"
        return Callsign(f"N{mark}", f"{prefix} {self.spell(spoken)}")

    def fix(self) -> str:
        """A navigation fix of this split."""
        return self.pick(fixes(self._split))

    def facility(self, *services: str) -> str:
        """`boston approach`."""
        return f"{self.pick(CITIES)} {self.pick(services)}"

    def altitude(self) -> str:
        """Feet in thousands and hundreds; a flight level from 18,000 ft (14 CFR 91.121)."""
        if self.chance(0.25):
            return f"flight level {self.spell(str(self.number(180, 410, 10)))}"
        thousands = self.number(1, 17)
        grouped = thousands < 10 or self._groups
        head = group_words(thousands) if grouped else self.spell(str(thousands))
        hundreds = f" {self.spell(str(self.number(1, 9)))} hundred" if thousands < 10 and self.chance(0.25) else ""
        return f"{head} thousand{hundreds}"

    def heading(self) -> str:
        """Three digits, 010 to 360."""
        return self.spell(f"{self.number(10, 360, 10 if self.chance(0.8) else 5):03d}")

    def speed(self) -> str:
        """Knots."""
        knots = self.number(140, 280, 10)
        return group_words(knots) if self._groups and self.chance(0.3) else self.spell(str(knots))

    def frequency(self) -> str:
        """118.0 to 135.95 MHz: digit by digit, or in group form without the leading one."""
        megahertz, hundredths = self.number(118, 135), self.number(0, 95, 5)
        decimals = f"{hundredths:02d}".rstrip("0") or "0"
        if self._groups and self.chance(0.5) and len(decimals) == 2 and decimals[0] != "0":
            return f"{two_digit_words(megahertz - 100)} {two_digit_words(hundredths)}"
        point = self.pick(("point", "point", "point", "decimal", ""))
        return " ".join(f"{self.spell(str(megahertz))} {point} {self.spell(decimals)}".split())

    def squawk(self) -> str:
        """Four octal digits."""
        return self.spell("".join(str(self.number(0, 7)) for _ in range(4)))

    def runway(self) -> str:
        """`two seven left`."""
        side = self.pick(("", "", " left", " right", " center"))
        return f"{self.spell(str(self.number(1, 36)))}{side}"

    def wind(self) -> str:
        """Wind direction and speed, sometimes with gusts."""
        gusts = f" gusts {self.spell(str(self.number(15, 35)))}" if self.chance(0.15) else ""
        return f"wind {self.heading()} at {self.spell(str(self.number(3, 25)))}{gusts}"

    def altimeter(self) -> str:
        """Inches of mercury, four digits."""
        return self.spell(str(self.number(2950, 3060)))

    def route(self) -> str:
        """Taxiways."""
        return " ".join(PHONETIC[self.pick(TAIL_LETTERS)] for _ in range(self.number(1, 3)))

    # Instructions: each returns the controller's clearance and the pilot's readback.

    def change_altitude(self) -> tuple[str, str]:
        verb, doing, way = self.pick((("climb", "climbing", "up"), ("descend", "descending", "down")))
        level = self.altitude()
        return f"{verb} and maintain {level}", self.pick((f"{doing} to {level}", f"{way} to {level}", level))

    def turn(self) -> tuple[str, str]:
        side, heading = self.pick(("left", "right")), self.heading()
        order = f"turn {side} heading {heading}"
        return order, self.pick((f"{side} heading {heading}", f"{side} to {heading}", f"{side} turn {heading}"))

    def fly_heading(self) -> tuple[str, str]:
        heading = self.heading()
        return self.pick((f"fly heading {heading}", f"fly present heading {heading}")), f"heading {heading}"

    def change_speed(self) -> tuple[str, str]:
        speed = self.speed()
        orders = (f"reduce speed to {speed}", f"increase speed to {speed}", f"maintain {speed} knots")
        return self.pick(orders), self.pick((f"speed {speed}", f"{speed} on the speed", f"{speed} knots"))

    def contact(self) -> tuple[str, str]:
        facility, frequency = self.facility("tower", "departure", "center", "ground", "approach"), self.frequency()
        bye = self.pick(("", "", " good day", " so long"))
        return f"contact {facility} {frequency}{bye}", self.pick((f"{frequency}{bye}", f"over to {frequency}{bye}"))

    def set_squawk(self) -> tuple[str, str]:
        code = self.squawk()
        ident = " and ident" if self.chance(0.2) else ""
        return f"squawk {code}{ident}", self.pick((f"squawk {code}", f"squawking {code}"))

    def direct(self) -> tuple[str, str]:
        fix = self.fix()
        return self.pick((f"cleared direct {fix}", f"proceed direct {fix}")), f"direct {fix}"

    def cross(self) -> tuple[str, str]:
        fix, level = self.fix(), self.altitude()
        return f"cross {fix} at and maintain {level}", f"cross {fix} at {level}"

    def approach(self) -> tuple[str, str]:
        runway = self.runway()
        orders = (
            f"cleared i l s runway {runway} approach", f"cleared visual approach runway {runway}",
            f"cleared r nav runway {runway} approach", f"expect vectors i l s runway {runway}",
            f"expect visual approach runway {runway}",
        )  # fmt: skip
        order = self.pick(orders)
        return order, order

    def traffic(self) -> tuple[str, str]:
        hour = group_words(self.number(1, 12))
        miles = group_words(self.number(2, 12))
        tail = self.pick((f" at {self.altitude()}", f" {self.pick(('northbound', 'southbound', 'westbound'))}", ""))
        order = f"traffic {hour} o clock {miles} miles {self.pick(TRAFFIC)}{tail}"
        return order, self.pick(("looking for traffic", "traffic in sight", "negative contact"))

    def give_altimeter(self) -> tuple[str, str]:
        setting = self.altimeter()
        return f"{self.pick(CITIES)} altimeter {setting}", f"altimeter {setting}"

    def give_information(self) -> tuple[str, str]:
        letter = self.pick(ALPHABET)
        return f"information {letter} is current", self.pick((f"information {letter}", f"we have {letter}"))

    def land(self) -> tuple[str, str]:
        runway = self.runway()
        wind = f"{self.wind()} " if self.chance(0.6) else ""
        return f"{wind}runway {runway} cleared to land", f"cleared to land runway {runway}"

    def take_off(self) -> tuple[str, str]:
        runway = self.runway()
        wind = f"{self.wind()} " if self.chance(0.5) else ""
        return f"{wind}runway {runway} cleared for takeoff", f"cleared for takeoff runway {runway}"

    def line_up(self) -> tuple[str, str]:
        runway = self.runway()
        return f"runway {runway} line up and wait", f"line up and wait runway {runway}"

    def taxi(self) -> tuple[str, str]:
        runway, route = self.runway(), self.route()
        order = f"taxi to runway {runway} via {route}"
        return order, self.pick((order, f"runway {runway} via {route}"))

    def hold_short(self) -> tuple[str, str]:
        place = f"runway {self.runway()}" if self.chance(0.6) else f"taxiway {self.route()}"
        return f"hold short of {place}", self.pick((f"hold short of {place}", f"holding short of {place}"))

    def cross_runway(self) -> tuple[str, str]:
        runway = self.runway()
        return f"cross runway {runway}", f"crossing runway {runway}"

    # Clauses of pilots.

    def position(self) -> str:
        """The altitude report of a check-in."""
        level, other = self.altitude(), self.altitude()
        return self.pick(
            (f"level {level}", f"with you at {level}", f"with you level {level}", f"{level} climbing {other}",
             f"leaving {level} for {other}", f"{level} with information {self.pick(ALPHABET)}",
             f"descending to {level} with information {self.pick(ALPHABET)}")
        )  # fmt: skip

    def request(self) -> str:
        """A request."""
        return self.pick(
            (f"request {self.altitude()}", f"request direct {self.fix()}", f"request taxi with {self.pick(ALPHABET)}",
             f"request higher level {self.altitude()}", f"request i l s runway {self.runway()}",
             f"ready for departure runway {self.runway()}", f"request vectors runway {self.runway()}",
             f"ready to taxi with information {self.pick(ALPHABET)}")
        )  # fmt: skip

    def report(self) -> str:
        """A short answer or report."""
        return self.pick(
            (f"field in sight runway {self.runway()}", "airport in sight", "traffic in sight", "roger", "wilco",
             "unable", f"clear of runway {self.runway()}", f"say again heading {self.heading()}", "standing by")
        )  # fmt: skip


Instruction = Callable[[Speaker], tuple[str, str]]
# Instructions with their relative frequency.
AIRBORNE = (
    (Speaker.change_altitude, 5), (Speaker.turn, 5), (Speaker.fly_heading, 2), (Speaker.change_speed, 4),
    (Speaker.contact, 4), (Speaker.set_squawk, 2), (Speaker.direct, 1), (Speaker.cross, 1), (Speaker.approach, 3),
    (Speaker.traffic, 3), (Speaker.give_altimeter, 2), (Speaker.give_information, 2),
)  # fmt: skip
SURFACE = (
    (Speaker.land, 3), (Speaker.take_off, 3), (Speaker.line_up, 1), (Speaker.taxi, 3), (Speaker.hold_short, 2),
    (Speaker.cross_runway, 1), (Speaker.contact, 2), (Speaker.give_information, 2),
)  # fmt: skip


def draw_instructions(
    speaker: Speaker, max_words: int, left_out: Collection[Instruction] = ()
) -> dict[Instruction, tuple[str, str]]:
    """One or two different instructions, airborne or on the surface; a second one only within `max_words` words."""
    table = AIRBORNE if speaker.chance(0.7) else SURFACE
    makers = [maker for maker, weight in table for _ in range(weight) if maker not in left_out]
    wanted = speaker.pick((1, 1, 1, 1, 2))
    chosen: dict[Instruction, tuple[str, str]] = {}
    while len(chosen) < wanted:
        maker = speaker.pick(makers)
        if maker in chosen:
            continue
        made = maker(speaker)
        used = sum(len(order.split()) for order, _ in chosen.values())
        if used + len(made[0].split()) > max_words and chosen:
            break
        chosen[maker] = made
    return chosen


def controller_clauses(speaker: Speaker, callsign: Callsign, max_words: int) -> list[str]:
    """`united six eighty six turn left heading two seven zero`."""
    opening = [callsign.words]
    if speaker.chance(0.1):
        opening.append(speaker.pick((speaker.facility("approach", "tower", "departure"), "roger", "good morning")))
    used = sum(len(clause.split()) for clause in opening)
    return opening + [order for order, _ in draw_instructions(speaker, max_words - used).values()]


def readback_clauses(speaker: Speaker, callsign: Callsign, max_words: int) -> list[str]:
    """`left heading two seven zero united six eighty six`."""
    chosen = draw_instructions(speaker, max_words - len(callsign.words.split()))
    readbacks = [readback for _, readback in chosen.values()]
    return [callsign.words, *readbacks] if speaker.chance(0.2) else [*readbacks, callsign.words]


def checkin_clauses(speaker: Speaker, callsign: Callsign, max_words: int) -> list[str]:
    """`boston approach united six eighty six with you level one zero thousand`."""
    greeting = [speaker.pick(("good morning", "hello", "good evening"))] if speaker.chance(0.2) else []
    return [speaker.facility("approach", "center", "departure"), callsign.words, *greeting, speaker.position()]


def request_clauses(speaker: Speaker, callsign: Callsign, max_words: int) -> list[str]:
    """`boston ground united six eighty six ready to taxi with information kilo`."""
    facility = [speaker.facility("approach", "center", "ground", "tower")] if speaker.chance(0.6) else []
    return [*facility, callsign.words, speaker.request()]


def report_clauses(speaker: Speaker, callsign: Callsign, max_words: int) -> list[str]:
    """`airport in sight united six eighty six`."""
    return [speaker.report(), callsign.words] if speaker.chance(0.5) else [callsign.words, speaker.report()]


PILOT_CLAUSES = (readback_clauses,) * 6 + (checkin_clauses,) * 2 + (request_clauses,) * 2 + (report_clauses,)


def hesitate(speaker: Speaker, clauses: list[str]) -> list[str]:
    """The clauses with an `ah` or `uh` before one of them."""
    position = speaker.number(0, len(clauses) - 1)
    filler = speaker.pick(HESITATIONS)
    return [*clauses[:position], f"{filler} {clauses[position]}", *clauses[position + 1 :]]


def make_transmission(split: str, rng: np.random.Generator, style: SpeakingStyle) -> Transmission:
    """One transmission with a call sign of the split.

    Raises:
        InputError: `style.max_words` is too small.
    """
    speaker = Speaker(split, rng, style)
    role = "pilot" if speaker.chance(style.pilot_fraction) else "controller"
    callsign = speaker.callsign()
    make_clauses = speaker.pick(PILOT_CLAUSES) if role == "pilot" else controller_clauses
    hesitates = speaker.chance(style.hesitation_fraction)
    max_words = style.max_words - hesitates
    for _ in range(100):
        clauses = make_clauses(speaker, callsign, max_words)
        if sum(len(clause.split()) for clause in clauses) <= max_words:
            return Transmission(tuple(hesitate(speaker, clauses) if hesitates else clauses), role, callsign)
    raise InputError(f"max_words: got {style.max_words}, too few for {callsign.words!r} and a message")
