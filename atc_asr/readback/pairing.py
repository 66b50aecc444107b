"""Pairs clearances with their readbacks and compares them slot by slot.

What is read back: ICAO Doc 4444, 4.5.7.5. The next transmission with the call sign of a clearance is its readback. The
words alone do not tell a readback from another clearance, because pilots repeat the words of the controller; only a
transmission that is labelled as a controller's, or has nothing in common with the clearance, is another clearance.
"""

import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atc_asr.atc.grammar.acts import ORDERS, QUESTIONS
from atc_asr.atc.grammar.spoken_numbers import fold_groups
from atc_asr.atc.vocabulary.callsigns import is_short_form
from atc_asr.hypotheses.hypotheses import SlotRow
from atc_asr.readback.exchanges import Comparison, Exchange, Result, Said
from atc_asr.readback.transcript import Transmission
from atc_asr.wer.wer import count_edits

KINDS = frozenset("altitude vertical_rate heading speed frequency squawk runway altimeter clearance point".split())
NOT_READ_BACK = frozenset({("squawk", "IDENT"), ("squawk", "STANDBY")})
SIDES = frozenset({"LEFT", "RIGHT"})
WORDS_BEFORE_HEADING = 2  # among which the side of a turn stands: TURN LEFT HEADING, LEFT TURN TO
MIN_CALLSIGN = 2  # characters
MAX_POINT_DISTANCE = 2  # letters in which two spellings of a name that is not in the lexicon differ
MAX_FOLLOWING = 100  # transmissions in which a readback is searched, whatever their times are
INFORMATION = "TRAFFIC"  # its numbers are not cleared, up to the next word of an order


@dataclass(frozen=True)
class Item:
    """A value to compare; `last_word` is the index of its last word, `confidence` 1 for texts without confidences."""

    kind: str
    value: str | None
    last_word: int
    confidence: float


def find_exchanges(
    transmissions: Sequence[Transmission], max_seconds: float, threshold: float
) -> tuple[list[Exchange], Counter[str]]:
    """The exchanges of a recording, and counts of clearances that cannot be judged.

    Args:
        transmissions: in the order of their starts.
        max_seconds: longest time from the end of a clearance to the start of its readback.
        threshold: lowest confidence of an alert.
    """
    exchanges: list[Exchange] = []
    counts: Counter[str] = Counter()
    waiting = deque(transmissions)
    while waiting:
        clearance = waiting.popleft()
        items = cleared_items(clearance)
        if not items:
            continue
        readback = _find_readback(clearance, _until(clearance.end + max_seconds, waiting))
        if readback is None and _callsign(clearance).value is None:
            counts["clearances without a call sign that can be read"] += 1
        elif readback is not None and _is_clearance(readback, items):
            counts["clearances followed by another one before a readback"] += 1
        else:
            exchanges.append(_exchange(clearance, items, readback, threshold))
            if readback is not None:
                waiting.remove(readback)
    return exchanges, counts


def _until(end: float, transmissions: Iterable[Transmission]) -> list[Transmission]:
    return [*itertools.islice(itertools.takewhile(lambda one: one.start <= end, transmissions), MAX_FOLLOWING)]


def _find_readback(clearance: Transmission, following: Sequence[Transmission]) -> Transmission | None:
    """The first of the following transmissions with the call sign of the clearance.

    Else the next one, where it repeats a value, or a kind of slot without a call sign that can be read.
    """
    same = next((one for one in following if _has_callsign_of(clearance, one)), None)
    if same is not None or not following:
        return same
    answer, name = following[0], _callsign(clearance).value
    cleared, read = cleared_items(clearance), _items(answer)
    if _callsign(answer).value is None or name is None:
        return answer if {item.kind for item in cleared} & {item.kind for item in read} else None
    return answer if any(_is_equal(one, other) for one in cleared for other in read) else None


def _is_clearance(one: Transmission, items: Sequence[Item]) -> bool:
    """Whether a transmission after a clearance with these items is another clearance."""
    if one.hypothesis.role == "controller" and one.hypothesis.role_confidence is None:
        return True
    others = {item.kind for item in cleared_items(one)}
    return bool(others) and others.isdisjoint(item.kind for item in items)


def cleared_items(one: Transmission) -> list[Item]:
    """What a transmission clears, empty where it is no controller's or asks."""
    words, role = one.hypothesis.hyp.split(), one.hypothesis.role
    is_controller = role == "controller" or (role is None and any(slot.act == "instruction" for slot in one.slots))
    if not is_controller or not QUESTIONS.isdisjoint(words):
        return []
    items = []
    for item in _items(one):
        before = reversed(words[: item.last_word + 1])
        order = next((word for word in before if word in ORDERS or word == INFORMATION), None)
        if order != INFORMATION and (order is not None or item.kind == "altimeter"):
            items.append(item)
    return items


def _items(one: Transmission) -> list[Item]:
    """The values of a transmission that are compared, with the sides of turns."""
    words = one.hypothesis.hyp.split()
    listed = one.hypothesis.words if len(one.hypothesis.words) == len(words) else ()
    items = []
    for slot in one.slots:
        if slot.kind not in KINDS or (slot.kind, slot.value) in NOT_READ_BACK:
            continue
        if slot.kind in ("heading", "point"):
            others = {at for other in one.slots if other is not slot for at in _positions(other, len(words))}
            start = max(0, slot.first_word - WORDS_BEFORE_HEADING)
            for at in range(start, min(slot.last_word + 1, len(words))):
                if words[at] in SIDES and at not in others:
                    items.append(Item("turn", words[at], at, listed[at].confidence if listed else 1.0))
        items.append(Item(slot.kind, slot.value, slot.last_word, _or_one(slot.confidence)))
    return items


def _positions(slot: SlotRow, num_words: int) -> range:
    return range(slot.first_word, min(slot.last_word + 1, num_words))


def _or_one(confidence: float | None) -> float:
    return 1.0 if confidence is None else confidence


def _callsign(one: Transmission) -> Item:
    """The call sign; without a value where there is none or it cannot be read."""
    found = [slot for slot in one.slots if slot.kind == "callsign"]
    slot = next((slot for slot in found if slot.value is not None), None)
    if slot is None:
        return Item("callsign", None, -1, 1.0)
    return Item("callsign", slot.value, slot.last_word, _or_one(slot.confidence))


def _has_callsign_of(clearance: Transmission, one: Transmission) -> bool:
    """Whether a transmission has the call sign of the clearance, or its words where they are read in another way.

    UNITED SIX TWO HUNDRED KNOTS has the words of UNITED SIX, and could be UAL6200.
    """
    spoken = _callsign_words(clearance)
    return _is_same(_callsign(clearance).value, _callsign(one).value) or (
        _callsign(one).value is None and spoken != "" and f" {spoken} " in f" {one.hypothesis.hyp} "
    )


def _callsign_words(one: Transmission) -> str:
    words = one.hypothesis.hyp.split()
    found = (slot for slot in one.slots if slot.kind == "callsign" and slot.value is not None)
    return next((" ".join(words[slot.first_word : slot.last_word + 1]) for slot in found), "")


def _is_same(one: str | None, other: str | None) -> bool:
    """Whether two call signs are equal or one is a short form of the other; another program's may be of any length."""
    if one is None or other is None or min(len(one), len(other)) < MIN_CALLSIGN:
        return False
    return is_short_form(one, other) or is_short_form(other, one)


def _is_equal(one: Item, other: Item) -> bool:
    return one.kind == other.kind and one.value is not None and _plain(one) == _plain(other)


def _plain(item: Item) -> str | None:
    """A value as it is compared: levels in feet, vertical rates without OR MORE."""
    if item.value is None:
        return None
    if item.kind == "altitude" and item.value.startswith("FL"):
        return f"{item.value[2:].lstrip('0')}00"
    return item.value.rstrip("+-") if item.kind == "vertical_rate" else item.value


def _exchange(
    clearance: Transmission, items: Sequence[Item], readback: Transmission | None, threshold: float
) -> Exchange:
    slots = _compare_callsigns(clearance, readback) + _compare_items(clearance, items, readback)
    alert = any(slot.is_fault and slot.confidence >= threshold for slot in slots)
    said = (Said(one.hypothesis.id, one.start, one.end, one.hypothesis.hyp) for one in (clearance, readback) if one)
    name = _callsign(clearance).value or (_callsign(readback).value if readback else None)
    return Exchange(clearance.hypothesis.id, alert, clearance.file, name, next(said), next(said, None), tuple(slots))


def _compare_callsigns(clearance: Transmission, readback: Transmission | None) -> list[Comparison]:
    if readback is None:
        return []
    cleared, read = _callsign(clearance), _callsign(readback)
    result: Result
    if _has_callsign_of(clearance, readback):
        result = "correct"
    elif cleared.value is None or read.value is None:
        is_said = any(slot.kind == "callsign" for slot in readback.slots)
        result = "unreadable" if is_said else "missing"
    else:
        result = "unreadable" if _may_be_misheard(cleared, read) else "wrong"
    return [Comparison("callsign", cleared.value, read.value, result, cleared.confidence * read.confidence)]


def _compare_items(clearance: Transmission, items: Sequence[Item], readback: Transmission | None) -> list[Comparison]:
    """Each item with its equal in the readback, else with the next one of its kind that is left."""
    left = [] if readback is None else _items(readback)
    equals: list[Item | None] = []
    for item in items:
        equals.append(next((one for one in left if _is_equal(item, one)), None))
        left = [one for one in left if one is not equals[-1]]
    compared = []
    for item, equal in zip(items, equals, strict=True):
        read = equal or next((one for one in left if one.kind == item.kind), None)
        left = [one for one in left if one is not read]
        compared.append(_compare(clearance, item, read, readback))
    return compared


def _compare(clearance: Transmission, item: Item, read: Item | None, readback: Transmission | None) -> Comparison:
    if read is not None:
        result: Result = "correct" if _is_equal(item, read) else "wrong"
        if item.value is None or read.value is None or (result == "wrong" and _may_be_misheard(item, read)):
            result = "unreadable"
        return Comparison(item.kind, item.value, read.value, result, item.confidence * read.confidence)
    if item.value is None:
        return Comparison(item.kind, None, None, "unreadable", item.confidence)
    if readback is None:
        # The readback may be lost because the clearance is none, or has another call sign.
        doubt = _callsign(clearance).confidence * _or_one(clearance.hypothesis.role_confidence)
        return Comparison(item.kind, item.value, None, "missing", item.confidence * doubt)
    if _is_heard(item, _callsign_words(clearance), readback):
        return Comparison(item.kind, item.value, item.value, "correct", item.confidence)
    confidences = [word.confidence for word in readback.hypothesis.words] or [1.0]
    clarity = sum(confidences) / len(confidences)
    return Comparison(item.kind, item.value, None, "missing", item.confidence * clarity)


def _may_be_misheard(one: Item, other: Item) -> bool:
    """Whether the recogniser rather than the pilot makes two different values of these; never without confidences.

    Call signs that differ in a character or in the operator, or of which one lacks characters; names of points that
    sound alike; runways of which one lacks its side. All of them have many values, or words that are easily lost.
    """
    if one.confidence == other.confidence == 1 or not (one.value and other.value):
        return False
    short, long = sorted((one.value, other.value), key=len)
    distance = count_edits([*short], [*long]).errors
    if one.kind == "callsign":
        rest = iter(long)
        return distance <= 1 or all(character in rest for character in short) or short[3:] == long[3:]
    if one.kind == "runway":
        return short == long[:-1]
    return one.kind == "point" and distance <= MAX_POINT_DISTANCE


def _is_heard(item: Item, callsign: str, readback: Transmission) -> bool:
    """Whether the digits of a value are said as a whole number, without the words that tell its kind.

    `callsign` has the words of the call sign, which are no part of the number.
    """
    digits = _plain(item) or ""
    if not re.fullmatch(r"[\d.]+", digits):
        return False
    digits = digits.rstrip("0").replace(".", "") if item.kind == "frequency" else digits
    message = f" {readback.hypothesis.hyp} ".replace(f" {callsign} ", " / ")
    words = [word for word in fold_groups(message.split()) if word != "POINT"]
    spoken = "".join(word if word.isdigit() else " " for word in words)
    # TWENTY FOUR SIXTY FIVE is 124.65.
    return bool({digits, digits[item.kind == "frequency" :]} & set(spoken.split()))
