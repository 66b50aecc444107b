"""Slots of a transmission: call sign, altitude, heading, frequency, clearance and the other kinds of `SLOT_KINDS`.

A small grammar of US and ICAO phraseology over normalised text. A number becomes a slot only where words say what it
is; a slot that is announced but cannot be read has the value None. A correction (HEADING TWO SEVEN ZERO CORRECTION TWO
EIGHT ZERO) replaces the slot that it corrects. `atc_asr.atc.grammar.slot_kinds` reads the values of the kinds,
`atc_asr.atc.grammar.acts` tells instructions, requests, reports and readbacks.
"""

from collections.abc import Sequence

from atc_asr.atc.grammar.acts import tell_acts
from atc_asr.atc.grammar.callsign import (
    LETTERS,
    SIDES,
    Words,
    read_callsign,
    read_unknown,
    reread_callsign,
)
from atc_asr.atc.grammar.slot_kinds import KEYWORD_READERS, SLOT_KINDS, Slot, read_bare_slot, read_number_slot
from atc_asr.atc.grammar.spoken_numbers import DIGITS, TEENS, TENS, read_run, word_at
from atc_asr.atc.vocabulary.operators import Operators, load_operators

KINDS = ("callsign", *SLOT_KINDS)

HESITATIONS = frozenset({"AH", "UH", "UM", "ER", "ERR", "EH", "HM", "MM", "HMM", "UHM", "AHH"})
CORRECTIONS = (
    ("CORRECTION", "I", "SAY", "AGAIN"), ("CORRECTION", "MAKE", "THAT"), ("CORRECTION", "THAT", "IS"), ("CORRECTION",),
    ("MAKE", "THAT"), ("MAKE", "IT"), ("I", "MEAN"), ("RATHER",), ("SORRY",), ("EXCUSE", "ME"), ("DISREGARD",),
)  # fmt: skip
FIRST_OF_CORRECTIONS = frozenset(phrase[0] for phrase in CORRECTIONS)
CORRECTION_DISTANCE = 6  # words between a correction and the corrected slot
NAMES = frozenset([*DIGITS, *TEENS, *TENS, *LETTERS])  # that may have a plural
# Keywords whose numbers are skipped.
NO_SLOT_KEYWORDS = frozenset(
    "VISIBILITY CEILING RVR RADIAL DME GATE SPOT TAXIWAY BOEING AIRBUS MD DASH GROUNDSPEED TRACK COURSE TOPS "
    "INFORMATION CHANNEL STAND ESTIMATE TIME".split()
)


def read_slots(words: Sequence[str], operators: Operators | None = None) -> list[Slot]:
    """The slots of an utterance in spoken order, corrections applied; its words are normalised and upper case.

    `operators` are those whose call signs can be read, by default those of this package.
    """
    positions = [position for position, word in enumerate(words) if word not in HESITATIONS]
    fluent = Words([_without_plural(words[position]) for position in positions], operators or load_operators())
    return [
        slot._replace(start=positions[slot.start], end=positions[slot.end - 1] + 1)
        for slot in tell_acts(fluent, _read_fluent(fluent))
    ]


def _without_plural(word: str) -> str:
    """ONE for ONES, the normalisation of TWENTY ONE'S WITH YOU; 19 for 19ER, one niner of other recognisers."""
    if word.endswith("9ER") and word[:-2].isdigit():
        return word[:-2]
    return word[:-1] if word.endswith("S") and word[:-1] in NAMES else word


def _read_fluent(words: Words) -> list[Slot]:
    slots: list[Slot] = []
    unknown: Slot | None = None
    position = 0
    while position < len(words):
        marker = _correction_length(words, position)
        if marker and slots:
            slots, position = _correct(words, position, position + marker, slots)
            continue
        found = _read_at(words, position)
        if found and found.kind in KINDS:
            repeated = found.value and any((slot.kind, slot.value) == (found.kind, found.value) for slot in slots)
            # After a call sign, letters spell a point: DIRECT BANEV BRAVO ALFA NOVEMBER ECHO VICTOR.
            is_doubtful = found.kind == "callsign" and not (found.operator and found.value)
            has_callsign = unknown is not None or any(slot.kind == "callsign" for slot in slots)
            if not repeated and not (is_doubtful and has_callsign):
                slots.append(found)
        elif found is None or found.value is None:
            unknown = unknown or _read_unknown(words, position)
        position = found.end if found else position + 1
    if unknown and not any(slot.kind == "callsign" for slot in slots):
        slots = sorted([unknown, *slots], key=lambda slot: slot.start)
    return slots


def _read_unknown(words: Words, position: int) -> Slot | None:
    """A call sign that cannot be read, unless its number is a slot of another kind."""
    found = read_unknown(words, position)
    if found is None:
        return None
    number = next((at for at in range(position, found.end) if read_run(words, at)), None)
    bare = read_bare_slot(words, number) if number is not None else None
    return Slot("callsign", None, position, found.end) if bare is None or bare.kind not in KINDS else None


def _read_at(words: Words, position: int) -> Slot | None:
    """The slot that begins at a position; of kind `other` for a number that is no slot."""
    callsign = read_callsign(words, position)
    if callsign is not None:
        return Slot("callsign", callsign.icao, position, callsign.end, callsign.operator)
    for read in KEYWORD_READERS.get(words[position], ()):
        found = read(words, position)
        if found is not None:
            return found
    if words[position] in NO_SLOT_KEYWORDS:
        run = read_run(words, position + 1)
        return Slot("other", "", position, run[-1].end) if run else None
    return read_bare_slot(words, position)


def _correction_length(words: Words, position: int) -> int:
    """Number of words of the correction phrase at a position, 0 for none."""
    if words[position] not in FIRST_OF_CORRECTIONS:
        return 0
    return next((len(phrase) for phrase in CORRECTIONS if tuple(words[position : position + len(phrase)]) == phrase), 0)


def _correct(words: Words, marker: int, position: int, slots: list[Slot]) -> tuple[list[Slot], int]:
    """The slots after a correction of the earlier `slots`, and the position to continue reading from.

    The correction phrase begins at `marker` and ends before `position`.
    """
    # A bare number corrects the last slot only directly after it (one word may stand between: ONE TWO FOUR POINT
    # CORRECTION): later it may correct words that could not be read.
    again = _read_again(words, position, slots[-1]) if marker - slots[-1].end <= 1 else None
    if again is not None:
        return [*slots[:-1], again], again.end
    for start in range(position, min(position + CORRECTION_DISTANCE, len(words))):
        new = _read_at(words, start)
        if new is not None and new.kind in KINDS:
            wrong = max((index for index, slot in enumerate(slots) if slot.kind == new.kind), default=None)
            return [*(slot for index, slot in enumerate(slots) if index != wrong), new], new.end
    return slots, position


def _read_again(words: Words, position: int, last: Slot) -> Slot | None:
    """A bare number or runway side after a correction, read as another value of the slot before it."""
    if last.kind == "runway" and last.value and word_at(words, position) in SIDES:
        side = SIDES[words[position]]
        return Slot("runway", last.value.rstrip("LRC") + side, position, position + 1)
    if not read_run(words, position):
        return None
    bare = read_bare_slot(words, position)
    if bare is not None and bare.kind in KINDS:
        return bare if bare.kind == last.kind else None
    if last.kind == "callsign":
        found = reread_callsign(words, position, last.operator)
        return Slot("callsign", found.icao, position, found.end, last.operator) if found else None
    return read_number_slot(last.kind, words, position, position)
