"""The ATC scorecard: are callsigns, altitudes, headings … right, whatever the word error rate says.

Reference and hypothesis are read by the same grammar (`atc_asr.atc.grammar.slots`). A slot of the reference is right when the
hypothesis says one of the same kind and value; another value of the same kind is a critical substitution. Slots of
the reference that cannot be read are left out of the population and counted; those of the hypothesis are wrong.
"""

import dataclasses
from collections.abc import Sequence

from atc_asr.atc.grammar.callsign import SHORT_TAIL_SIGNS
from atc_asr.atc.grammar.slots import KINDS, Slot, read_slots
from atc_asr.atc.grammar.spoken_numbers import is_number_word
from atc_asr.scoring.bootstrap import Rate, make_rate
from atc_asr.wer.wer import Counts, ScoredPair, Step, align


@dataclasses.dataclass(frozen=True)
class SlotCounts:
    """Slots of one kind in one utterance.

    Attributes:
        right: same kind and value in the hypothesis.
        substituted: same kind, another value.
        missed: nothing of the kind, or nothing readable.
        extra: said by the hypothesis only.
        unreadable: of the reference, outside of the population.
    """

    right: int = 0
    substituted: int = 0
    missed: int = 0
    extra: int = 0
    unreadable: int = 0

    @property
    def population(self) -> int:
        """Readable slots of the reference."""
        return self.right + self.substituted + self.missed


@dataclasses.dataclass(frozen=True)
class Card:
    """The scorecard of one utterance.

    Attributes:
        slots: counts by kind, of kinds that occur.
        callsign_right: whether its callsigns are exactly those of the reference; None where the reference has none or
            one that cannot be read.
        callsign_words: word errors in the callsigns of the reference.
        numeric_words: word errors in the number words of the reference, and number words inserted.
    """

    slots: dict[str, SlotCounts]
    callsign_right: bool | None
    callsign_words: Counts
    numeric_words: Counts


def make_card(item: ScoredPair, truth: str | None) -> Card:
    """Score what one utterance says.

    Args:
        item: the pair, aligned.
        truth: the callsign in ICAO form from the manifest, empty where it has none; None to read it from the reference.
    """
    ref_slots = read_slots(item.pair.ref.split())
    hyp_slots = read_slots(item.pair.hyp.split()) if item.words.errors else ref_slots
    kinds = {slot.kind for slot in [*ref_slots, *hyp_slots]}
    return Card(
        slots={kind: compare_slots(_values(ref_slots, kind), _values(hyp_slots, kind)) for kind in kinds},
        callsign_right=_callsign_right(_values(ref_slots, "callsign"), _values(hyp_slots, "callsign"), truth),
        callsign_words=count_span_errors(item.steps, [slot for slot in ref_slots if slot.kind == "callsign"]),
        numeric_words=count_numeric_errors(item.steps),
    )


def _values(slots: Sequence[Slot], kind: str) -> list[str | None]:
    return [slot.value for slot in slots if slot.kind == kind]


def compare_slots(ref: Sequence[str | None], hyp: Sequence[str | None]) -> SlotCounts:
    """Values of one kind against each other, in the order they are said."""
    readable = [value for value in ref if value is not None]
    totals = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
    for step in align(readable, [value or "?" for value in hyp]):
        # a value that cannot be read is no other value
        unreadable = step.operation == "substitute" and step.hyp == "?"
        totals["delete" if unreadable else step.operation] += 1
    return SlotCounts(
        right=totals["equal"],
        substituted=totals["substitute"],
        missed=totals["delete"],
        extra=totals["insert"],
        unreadable=len(ref) - len(readable),
    )


def _callsign_right(ref: Sequence[str | None], hyp: Sequence[str | None], truth: str | None) -> bool | None:
    if truth == "":
        return None
    if truth is not None:
        return any(matches(value, truth) for value in hyp)
    if not ref or None in ref:
        return None
    return set(ref) == set(hyp)


def matches(heard: str | None, truth: str) -> bool:
    """Whether a callsign is the true one; a registration may be cut to its last three signs."""
    if heard is None:
        return False
    signs = heard.lstrip("*") if heard.startswith("*") else heard[1:]
    is_cut_tail = len(signs) == SHORT_TAIL_SIGNS and heard[0] in "*N"
    return heard == truth or (is_cut_tail and truth.endswith(signs))


def count_span_errors(steps: Sequence[Step], spans: Sequence[Slot]) -> Counts:
    """Errors at the reference words of spans, and words inserted inside of one."""
    inside = {place for span in spans for place in range(span.start, span.end)}
    within = {place for span in spans for place in range(span.start + 1, span.end)}
    totals = dict.fromkeys(("equal", "substitute", "delete", "insert"), 0)
    place = 0
    for step in steps:
        if step.operation == "insert":
            totals["insert"] += place in within
            continue
        totals[step.operation] += place in inside
        place += 1
    return Counts(totals["equal"], totals["substitute"], totals["delete"], totals["insert"])


def count_numeric_errors(steps: Sequence[Step]) -> Counts:
    """Errors at the number words of the reference, and number words inserted."""
    totals = dict.fromkeys(("equal", "substitute", "delete", "insert"), 0)
    for step in steps:
        word = step.hyp if step.operation == "insert" else step.ref
        totals[step.operation] += is_number_word(word or "")
    return Counts(totals["equal"], totals["substitute"], totals["delete"], totals["insert"])


def rates(cards: Sequence[Card]) -> list[Rate]:
    """The scorecard's rates: callsign accuracy by utterance, the other accuracies by slot, error rates by word."""
    found = [
        make_rate(
            "callsign.accuracy", [(card.callsign_right is True, card.callsign_right is not None) for card in cards]
        ),
        make_rate("callsign.wer", [(one.callsign_words.errors, one.callsign_words.ref_length) for one in cards]),
        make_rate("numeric.wer", [(one.numeric_words.errors, one.numeric_words.ref_length) for one in cards]),
    ]
    for kind in KINDS:
        counts = [card.slots.get(kind, SlotCounts()) for card in cards]
        if kind != "callsign":
            found.append(make_rate(f"{kind}.accuracy", [(one.right, one.population) for one in counts]))
        found.append(
            make_rate(f"{kind}.critical_substitution_rate", [(one.substituted, one.population) for one in counts])
        )
    totals = [total_slots(card) for card in cards]
    found.append(make_rate("slot_accuracy", [(one.right, one.population) for one in totals]))
    found.append(make_rate("critical_substitution_rate", [(one.substituted, one.population) for one in totals]))
    return found


def total_slots(card: Card) -> SlotCounts:
    """The counts of all kinds together."""
    counts = list(card.slots.values())
    return SlotCounts(*(sum(getattr(one, field.name) for one in counts) for field in dataclasses.fields(SlotCounts)))


def count_slots(cards: Sequence[Card]) -> dict[str, dict[str, int]]:
    """Corpus counts by kind: slots missed, said by the hypothesis only, and unreadable in the reference."""
    found = {}
    for kind in KINDS:
        counts = [card.slots[kind] for card in cards if kind in card.slots]
        found[kind] = {name: sum(getattr(one, name) for one in counts) for name in ("missed", "extra", "unreadable")}
    return found
