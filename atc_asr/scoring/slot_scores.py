"""Slot accuracy: call signs, altitudes, headings and the other slots, independent of the word error rate.

One grammar (`atc_asr.atc.grammar.slots`) reads references and hypotheses. A slot of the reference is correct when the
hypothesis has a slot of the same kind and value; another value of the same kind is a critical substitution. Slots of
the reference that cannot be read are not scored but counted; a slot of the hypothesis that cannot be read is wrong.
Every utterance counts as one whose call sign is read, is unreadable, or as one without a call sign.
"""

import dataclasses
import re
import typing
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from atc_asr.atc.grammar.slots import KINDS, Slot, read_slots
from atc_asr.atc.grammar.spoken_numbers import is_number_word
from atc_asr.atc.vocabulary.callsigns import icao_form, is_short_form
from atc_asr.atc.vocabulary.operators import Operators
from atc_asr.core.errors import InputError
from atc_asr.scoring.bootstrap import Rate, make_rate
from atc_asr.scoring.pairs import PairedCorpus, read_column
from atc_asr.wer.wer import Counts, ScoredPair, Step, align, count_steps

UNREADABLE = "?"

# Labels of speakers and receivers that are no aircraft: ATCO radar (ATCO2), position D1-1 (LDC), an unknown speaker.
NO_AIRCRAFT = re.compile(r"ATCO\b.*|PILOT|UNK\b.*|UNKNOWN|NONE|[A-Z]{1,3}\d{0,2}-\d|[-?]", re.IGNORECASE)
CallsignStatus = Literal["read", "unreadable", "without"]


@dataclasses.dataclass(frozen=True)
class SlotScores:
    """Scores of the slots of one utterance.

    Attributes:
        slots: slots compared, by kind, for the kinds that occur. Substitutions are critical; a deletion is a slot that
            the hypothesis lacks or that cannot be read there; an insertion is a slot of the hypothesis only.
        unreadable: number of slots of the reference that cannot be read, by kind; they are not in `slots`.
        callsign_status: whether the reference has a call sign, and it is read; one of the manifest is read.
        callsign_correct: whether the call signs are exactly those of the reference; None unless these are read.
        callsign_words: word errors within the call signs of the reference.
        numeric_words: errors of number words, inserted ones included.
    """

    slots: dict[str, Counts]
    unreadable: dict[str, int]
    callsign_status: CallsignStatus
    callsign_correct: bool | None
    callsign_words: Counts
    numeric_words: Counts


def read_callsigns(corpus: PairedCorpus, column: str | None) -> list[str] | None:
    """The true call signs of a manifest column in ICAO form, empty for rows without an aircraft; None without a column.

    Raises:
        InputError: the column is missing, or a value is no call sign; the message names its line.
    """
    values = read_column(corpus.utterances, column, "score.callsign_column")
    if values is None:
        return None
    callsigns = []
    for place, value in zip(corpus.places, values, strict=True):
        is_blank = not value.strip() or NO_AIRCRAFT.fullmatch(value.strip())
        callsign = "" if is_blank else icao_form(value)
        if callsign is None:
            raise InputError(
                f"{place}: {column}: got {value!r}, wanted a call sign in ICAO form (DAL1234, N123AB) or blank"
            )
        callsigns.append(callsign)
    return callsigns


def score_slots(item: ScoredPair, true_callsign: str | None = None, operators: Operators | None = None) -> SlotScores:
    """Score the slots of one utterance.

    `true_callsign` is the call sign of the manifest in ICAO form, empty where the row has none; None to read the call
    signs of the reference instead. `operators` are those of `read_slots`.
    """
    ref_slots = read_slots(item.pair.ref.split(), operators)
    hyp_slots = read_slots(item.pair.hyp.split(), operators) if item.words.errors else ref_slots
    kinds = {slot.kind for slot in [*ref_slots, *hyp_slots]}
    refs = {kind: [slot.value for slot in ref_slots if slot.kind == kind] for kind in kinds}
    hyps = {kind: [slot.value for slot in hyp_slots if slot.kind == kind] for kind in kinds}
    return SlotScores(
        slots={kind: compare_values(refs[kind], hyps[kind]) for kind in kinds},
        unreadable={kind: refs[kind].count(None) for kind in kinds},
        callsign_status=_callsign_status(refs.get("callsign", []), true_callsign),
        callsign_correct=_callsign_correct(refs.get("callsign", []), hyps.get("callsign", []), true_callsign),
        callsign_words=count_span_errors(item.steps, [slot for slot in ref_slots if slot.kind == "callsign"]),
        numeric_words=count_steps(step for step in item.steps if is_number_word(step.ref or step.hyp or "")),
    )


def compare_values(ref: Sequence[str | None], hyp: Sequence[str | None]) -> Counts:
    """Compare the values of one kind, in spoken order. None is a value that cannot be read."""
    steps = align([value for value in ref if value is not None], [value or UNREADABLE for value in hyp])
    # A value that cannot be read is no critical substitution.
    return count_steps(
        Step("delete", step.ref, None) if step.operation == "substitute" and step.hyp == UNREADABLE else step
        for step in steps
    )


def _callsign_correct(ref: Sequence[str | None], hyp: Sequence[str | None], true_callsign: str | None) -> bool | None:
    if true_callsign is not None:
        return any(is_short_form(value, true_callsign) for value in hyp if value) if true_callsign else None
    return set(ref) == set(hyp) if ref and None not in ref else None


def _callsign_status(ref: Sequence[str | None], true_callsign: str | None) -> CallsignStatus:
    if true_callsign is not None:
        return "read" if true_callsign else "without"
    return ("unreadable" if None in ref else "read") if ref else "without"


def count_span_errors(steps: Sequence[Step], spans: Sequence[Slot]) -> Counts:
    """Errors at the reference words of spans, and words inserted inside a span."""
    words = {position for span in spans for position in range(span.start, span.end)}
    inner_gaps = {position for span in spans for position in range(span.start + 1, span.end)}
    counted = []
    position = 0
    for step in steps:
        if position in (inner_gaps if step.operation == "insert" else words):
            counted.append(step)
        position += step.operation != "insert"
    return count_steps(counted)


def slot_rates(scores: Sequence[SlotScores]) -> list[Rate]:
    """Call sign accuracy (by utterance), other accuracies and critical substitutions (by slot), WERs (by word)."""
    callsigns = [one.callsign_correct for one in scores]
    counts = np.zeros((len(scores), len(KINDS), 3))  # hits, substitutions, deletions
    for row, one in enumerate(scores):
        for kind, found in one.slots.items():
            counts[row, KINDS.index(kind)] = found.hits, found.substitutions, found.deletions
    statuses = [one.callsign_status for one in scores]
    rates = [
        make_rate("callsign.accuracy", [(correct is True, correct is not None) for correct in callsigns]),
        make_rate("callsign.read", [(status == "read", status != "without") for status in statuses]),
        make_rate("callsign.wer", [(one.callsign_words.errors, one.callsign_words.ref_length) for one in scores]),
        make_rate("numeric.wer", [(one.numeric_words.errors, one.numeric_words.ref_length) for one in scores]),
        *_rates("slot_accuracy", "critical_substitution_rate", counts.sum(axis=1)),
    ]
    for number, kind in enumerate(KINDS):
        by_slot = _rates(f"{kind}.accuracy", f"{kind}.critical_substitution_rate", counts[:, number])
        rates += by_slot[1:] if kind == "callsign" else by_slot
    return rates


def _rates(accuracy: str, substitution_rate: str, counts: np.ndarray) -> list[Rate]:
    """Both rates of utterances with hits, substitutions and deletions (N, 3)."""
    hits, substitutions = counts[:, 0].copy(), counts[:, 1].copy()
    return [Rate(accuracy, hits, counts.sum(axis=1)), Rate(substitution_rate, substitutions, counts.sum(axis=1))]


def count_slots(scores: Sequence[SlotScores]) -> dict[str, int]:
    """Corpus counts by kind: `heading.missed`, `heading.extra` (hypothesis only), `heading.unreadable` (reference).

    `callsign.utterances_read`, `_unreadable` and `_without` are numbers of utterances.
    """
    statuses = Counter(one.callsign_status for one in scores)
    found = {f"callsign.utterances_{status}": statuses[status] for status in typing.get_args(CallsignStatus)}
    found |= {f"{kind}.{event}": 0 for kind in KINDS for event in ("missed", "extra", "unreadable")}
    for one in scores:
        for kind, counts in one.slots.items():
            found[f"{kind}.missed"] += counts.deletions
            found[f"{kind}.extra"] += counts.insertions
        for kind, times in one.unreadable.items():
            found[f"{kind}.unreadable"] += times
    return found
