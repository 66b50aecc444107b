"""The grammar on utterances written by hand and on the synthetic corpus."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.atc.grammar.slots import KINDS, read_slots
from atc_asr.atc.vocabulary.words import is_tail
from atc_asr.core.text import normalize
from atc_asr.corpus import phraseology

UTTERANCES = Path(__file__).with_name("atc_utterances.txt")


def read_utterances() -> list[tuple[str, Counter]]:
    """(normalised text, its slots as `kind=value`) of the table."""
    rows = []
    for line in UTTERANCES.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            text, _, slots = line.partition("|")
            rows.append((normalize(text), Counter(slots.split())))
    return rows


def read(text: str) -> Counter:
    return Counter(f"{slot.kind}={(slot.value or '?').replace(' ', '_')}" for slot in read_slots(text.split()))


def values(text: str, kind: str) -> list[str | None]:
    return [slot.value for slot in read_slots(text.split()) if slot.kind == kind]


def test_at_least_95_per_cent_of_the_slots_of_the_table_are_read():
    rows = read_utterances()
    assert len(rows) >= 200
    wanted = sum(slots.total() for _, slots in rows)
    exact = sum((slots & read(text)).total() for text, slots in rows)
    invented = sum((read(text) - slots).total() for text, slots in rows)
    assert exact / wanted >= 0.95, f"{exact} of {wanted}"
    assert invented / wanted <= 0.02


@pytest.mark.parametrize(("text", "slots"), read_utterances())
def test_no_callsign_of_the_table_is_wrong(text, slots):
    found = {slot for slot in read(text) if slot.startswith("callsign=")} - {"callsign=?"}
    assert found <= set(slots)


def is_same_aircraft(callsign: str, true_callsign: str) -> bool:
    shortened = is_tail(true_callsign) and len(callsign) == 4
    return callsign == true_callsign or (shortened and true_callsign.endswith(callsign[1:]))


def test_no_callsign_of_the_synthetic_corpus_is_wrong():
    """The generator of the corpus is independent of the grammar; ambiguous call signs must not be guessed."""
    style = phraseology.SpeakingStyle(pilot_fraction=0.5, group_fraction=0.6)
    rng = np.random.default_rng(11)
    made = [phraseology.make_transmission("train", rng, style) for _ in range(1500)]
    rows = [(one.callsign.icao, [*filter(None, values(one.text.upper(), "callsign"))]) for one in made]
    wrong = [(true, found) for true, found in rows if not all(is_same_aircraft(one, true) for one in found)]
    assert wrong == []
    assert sum(bool(found) for _, found in rows) / len(rows) > 0.98


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("UNITED SIX EIGHTY SIX", "callsign", ["UAL686"]),
        ("U S AIR TWENTY ONE OH FOUR", "callsign", ["USA2104"]),
        ("USAIR TWENTY ONE OH FOUR", "callsign", ["USA2104"]),
        ("FLIGHT LEVEL THREE FIVE OH", "altitude", ["FL350"]),
        ("ONE TWENTY FOUR POINT SIX FIVE", "frequency", ["124.650"]),
        ("CONTACT APPROACH ONE ONE EIGHT DECIMAL ONE TWO", "frequency", ["118.125"]),
        ("NOVEMBER NINER FIFE TREE", "callsign", ["N953"]),
        ("DESCEND TO TWO THOUSAND FIVE HUNDRED", "altitude", ["2500"]),
        ("SQUAWK EIGHT NINER ONE ONE", "squawk", [None]),
        ("HEADING THREE NINER ZERO", "heading", [None]),
        ("RUNWAY FOUR TEN", "runway", [None]),
        ("TURN TEN DEGREES LEFT", "heading", []),
        ("CEILING TWO THOUSAND OVERCAST", "altitude", []),
        ("TRAFFIC TWO O CLOCK FIVE MILES", "heading", []),
        ("HEADING TWO AH SEVEN UM ZERO", "heading", ["270"]),
        ("RUNWAY TWO SEVEN RIGHT TURN AT ALPHA", "runway", ["27"]),
    ],
)
def test_values(text, kind, expected):
    assert values(text, kind) == expected


@pytest.mark.parametrize(
    "text",
    [
        "UNITED ONE TWO ONE SIX THOUSAND",  # 12 and 16,000 feet, or 121 and 6,000 feet
        "UNITED SIX EIGHTY SIX TWO SEVEN ZERO",
        "AMERICAN TWELVE TWO SEVEN LEFT CLEARED TO LAND",
        "UNITED TWO ONE FIVE MILES",  # 21 and five miles, or 2 and fifteen miles
        "NOVEMBER ONE SIX DELTA TWO THOUSAND",
    ],
)
def test_a_callsign_with_two_readings_is_not_guessed(text):
    assert values(text, "callsign") == [None]


def test_a_correction_replaces_the_slot_it_corrects():
    assert values("HEADING TWO SEVEN ZERO CORRECTION TWO EIGHT ZERO", "heading") == ["280"]
    assert values("UNITED SIX CORRECTION AMERICAN SIX CLIMB", "callsign") == ["AAL6"]
    assert values("UNITED SIX MAINTAIN SEVEN CORRECTION SIX THOUSAND", "callsign") == ["UAL6"]


def test_spans_are_positions_in_the_utterance_with_its_hesitations():
    slots = read_slots("AH UNITED UH SIX EIGHTY SIX HEADING AH TWO SEVEN ZERO NOW".split())
    assert [(slot.start, slot.end) for slot in slots] == [(1, 6), (6, 11)]


words = st.sampled_from(
    "UNITED DELTA NOVEMBER CESSNA SIX EIGHTY OH HUNDRED THOUSAND POINT ALPHA X RAY HEADING LEFT RUNWAY LEVEL FLIGHT "
    "CORRECTION MAINTAIN SQUAWK WIND AT GUSTS GROUND CONTACT TO AND FL350 FL² 27L ²L ٣ N345AB 124.65 AH O CLOCK "
    ". /".split()
)


@settings(deadline=None, max_examples=300)
@given(st.lists(words, max_size=14))
def test_every_sequence_of_words_can_be_read(sequence):
    for slot in read_slots(sequence):
        assert slot.kind in KINDS and slot.value != ""
        assert 0 <= slot.start < slot.end <= len(sequence)


@pytest.mark.parametrize("words", [("ONE", "THOUSAND"), ("TURN", "LEFT"), ("UNITED", "SIX")])
def test_a_recogniser_that_repeats_itself_is_read(words):
    """A number of all its words would take minutes."""
    assert all(slot.kind in KINDS for slot in read_slots(words * 5000))
