"""Synthetic exchanges: a controller's clearance and the pilot's readback, some with a planted error.

An error of `ERRORS` is another drawing of the same instruction that differs in one number word or in left and right,
the call sign of another aircraft of the operator, or an instruction that is not read back.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from atc_asr.atc.vocabulary.words import DIGITS, RADIO_DIGITS, TEENS, TENS, is_tail
from atc_asr.corpus.phraseology import (
    Callsign,
    Instruction,
    Speaker,
    SpeakingStyle,
    Transmission,
    callsign_key,
    checkin_clauses,
    draw_instructions,
    report_clauses,
    request_clauses,
)

ERRORS = ("digit", "side", "callsign", "omission")
NUMBERS = frozenset([*DIGITS, *TEENS, *TENS, *RADIO_DIGITS.values()])
SIDES = frozenset({"left", "right"})
# Information, which is acknowledged and not read back (ICAO Doc 4444, 4.5.7.5).
NOT_READ_BACK = (Speaker.traffic, Speaker.give_information)
ACKNOWLEDGEMENTS = ("roger", "wilco")
CALLS = (checkin_clauses, request_clauses, report_clauses)
MAX_DRAWS = 2000  # drawings of an instruction until one differs in one word


@dataclass(frozen=True)
class Exchange:
    """A clearance and its readback; `error` is one of `ERRORS`, or empty for a correct readback."""

    clearance: Transmission
    readback: Transmission
    error: str


def make_exchange(split: str, rng: np.random.Generator, style: SpeakingStyle, error: str = "") -> Exchange:
    """An exchange with a call sign of the split, and with the error if one is given."""
    while True:
        speaker = Speaker(split, rng, style)
        callsign = speaker.callsign()
        chosen = draw_instructions(speaker, style.max_words - len(callsign.words.split()), NOT_READ_BACK)
        readbacks = _readbacks(speaker, chosen, error)
        if readbacks is None:
            continue
        answering = _another_callsign(speaker, callsign) if error == "callsign" else _shortened(speaker, callsign)
        orders = tuple(order for order, _ in chosen.values())
        clearance = Transmission((callsign.words, *orders), "controller", callsign)
        clauses = (answering.words, *readbacks) if speaker.chance(0.2) else (*readbacks, answering.words)
        return Exchange(clearance, Transmission(clauses, "pilot", answering), error)


def make_call(split: str, rng: np.random.Generator, style: SpeakingStyle) -> Transmission:
    """A transmission by a pilot that reads nothing back: a first call, a request or a report."""
    speaker = Speaker(split, rng, style)
    callsign = speaker.callsign()
    return Transmission(tuple(speaker.pick(CALLS)(speaker, callsign, style.max_words)), "pilot", callsign)


def _readbacks(speaker: Speaker, chosen: dict[Instruction, tuple[str, str]], error: str) -> list[str] | None:
    """The readbacks of instructions; None where the error cannot be made in them."""
    readbacks = [readback for _, readback in chosen.values()]
    at = speaker.number(0, len(readbacks) - 1)
    if error == "omission":
        left = readbacks[:at] + readbacks[at + 1 :]
        return left or [speaker.pick(ACKNOWLEDGEMENTS)]
    if error in ("digit", "side"):
        other = _misread(speaker, [*chosen][at], readbacks[at], NUMBERS if error == "digit" else SIDES)
        return None if other is None else [*readbacks[:at], other, *readbacks[at + 1 :]]
    return readbacks


def _misread(speaker: Speaker, instruction: Instruction, readback: str, words: Collection[str]) -> str | None:
    """Another readback of the instruction that differs from `readback` in one of `words`; None where none is drawn."""
    said = readback.split()
    if set(words).isdisjoint(said):
        return None
    for _ in range(MAX_DRAWS):
        other = instruction(speaker)[1].split()
        changed = [pair for pair in zip(said, other, strict=False) if pair[0] != pair[1]]
        if len(other) == len(said) and len(changed) == 1 and set(words).issuperset(*changed):
            return " ".join(other)
    return None


def _another_callsign(speaker: Speaker, callsign: Callsign) -> Callsign:
    """The call sign of another aircraft that begins with the same word."""
    while True:
        other = speaker.callsign()
        is_alike = other.words.split()[0] == callsign.words.split()[0]
        if is_alike and callsign_key(other.icao) != callsign_key(callsign.icao):
            return other


def _shortened(speaker: Speaker, callsign: Callsign) -> Callsign:
    """A registration shortened to its last three characters at every second time; other call signs as they are."""
    if not is_tail(callsign.icao) or speaker.chance(0.5):
        return callsign
    first = callsign.words.split()[0]
    return Callsign(callsign.icao, f"{first} {speaker.spell(callsign.icao[-3:])}")
