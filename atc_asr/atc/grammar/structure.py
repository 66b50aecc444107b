"""Structured output: call sign, role of the speaker and slots of a hypothesis."""

from dataclasses import replace

from atc_asr.atc.grammar.roles import tell_role
from atc_asr.atc.grammar.slots import Slot, read_slots
from atc_asr.atc.vocabulary.operators import Operators
from atc_asr.hypotheses.hypotheses import Hypothesis, SlotRow, rate_slot

UNITS = {
    "altitude": "ft", "vertical_rate": "ft/min", "heading": "deg", "speed": "kt", "frequency": "MHz",
    "altimeter": "inHg/100", "wind": "deg/kt",
}  # fmt: skip
# Beginnings of values with another unit, and that unit.
OTHER_UNITS = {"altitude": ("FL", "FL"), "speed": ("M.", "Mach"), "altimeter": ("Q", "hPa"), "wind": ("CALM", None)}


def unit_of(kind: str, value: str | None) -> str | None:
    """The unit of a slot's value; None for an unreadable one and for kinds without units."""
    if value is None:
        return None
    beginning, unit = OTHER_UNITS.get(kind, (" ", None))
    return unit if value.startswith(beginning) else UNITS.get(kind)


def add_slots(hypothesis: Hypothesis, operators: Operators | None = None) -> Hypothesis:
    """A copy of a hypothesis with its call sign, role and slots; `operators` are those of `read_slots`."""
    text = hypothesis.hyp.split()
    words = hypothesis.words if len(hypothesis.words) == len(text) else ()
    slots = read_slots(text, operators)
    role, confidence = tell_role(text, slots)
    return replace(
        hypothesis,
        callsign=next((slot.value for slot in slots if slot.kind == "callsign" and slot.value), None),
        role=role,
        role_confidence=confidence,
        slots=tuple(rate_slot(_row(slot), words) for slot in slots),
    )


def _row(slot: Slot) -> SlotRow:
    unit = unit_of(slot.kind, slot.value)
    return SlotRow(slot.kind, slot.value, unit, slot.act or None, slot.start, slot.end - 1)
