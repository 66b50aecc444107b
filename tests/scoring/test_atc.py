"""The scorecard on utterances whose answers are plain."""

import pytest

from atc_asr.scoring import atc
from atc_asr.scoring.bootstrap import intervals
from atc_asr.wer import wer
from atc_asr.wer.wer import Counts


def card(ref: str, hyp: str, truth: str | None = None) -> atc.Card:
    return atc.make_card(wer.score_pair(wer.Pair("u", ref, hyp)), truth)


def test_another_value_of_the_same_kind_is_a_critical_substitution():
    found = card("UNITED SIX EIGHTY SIX HEADING TWO SEVEN ZERO", "UNITED SIX EIGHTY SIX HEADING TWO EIGHT ZERO")
    assert found.callsign_right is True
    assert found.slots["heading"] == atc.SlotCounts(substituted=1)
    assert found.slots["callsign"] == atc.SlotCounts(right=1)


def test_another_way_to_say_it_is_right():
    found = card("UNITED SIX EIGHTY SIX DESCEND TO ONE ZERO THOUSAND", "UNITED SIX EIGHT SIX DESCEND TO TEN THOUSAND")
    assert found.callsign_right is True
    assert found.slots["altitude"] == atc.SlotCounts(right=1)


def test_a_slot_that_is_gone_is_missed_and_one_too_many_is_extra():
    found = card("SQUAWK FOUR SIX TWO ONE", "HEADING TWO SEVEN ZERO")
    assert found.slots["squawk"] == atc.SlotCounts(missed=1)
    assert found.slots["heading"] == atc.SlotCounts(extra=1)


def test_what_cannot_be_read_is_no_other_value():
    found = card("SQUAWK FOUR SIX TWO ONE", "SQUAWK FOUR SIX TWO")
    assert found.slots["squawk"] == atc.SlotCounts(missed=1)


def test_an_unreadable_reference_is_outside_of_the_population():
    found = card("UNITED ONE TWO ONE SIX THOUSAND", "UNITED ONE TWO ONE SIX THOUSAND")
    assert found.callsign_right is None
    assert found.slots["callsign"].unreadable == 1 and found.slots["callsign"].population == 0


def test_no_callsign_no_verdict():
    assert card("THANKS GOOD DAY", "THANKS GOOD DAY").callsign_right is None


def test_a_callsign_too_many_is_not_exactly_right():
    assert card("UNITED SIX ROGER", "UNITED SIX DELTA TWO ROGER").callsign_right is False


@pytest.mark.parametrize(
    ("truth", "hyp", "right"),
    [
        ("UAL686", "UNITED SIX EIGHT SIX", True),
        ("UAL686", "UNITED SIX EIGHT FOUR", False),
        ("N345AB", "NOVEMBER FIVE ALPHA BRAVO", True),
        ("N345AB", "FIVE ALPHA BRAVO", True),
        ("N345AB", "FOUR ALPHA BRAVO", False),
        ("N345AB", "", False),
    ],
)
def test_the_manifests_callsign_is_the_truth_when_asked(truth, hyp, right):
    assert card("AH", hyp, truth).callsign_right is right


def test_a_row_without_a_true_callsign_is_left_out():
    assert card("UNITED SIX", "UNITED SIX", "").callsign_right is None


def test_callsign_errors_are_those_within_its_words():
    found = card("TURN LEFT UNITED SIX EIGHTY SIX NOW", "TURN RIGHT UNITED AH SIX SIXTY SIX")
    assert found.callsign_words == Counts(hits=3, substitutions=1, insertions=1)


def test_numeric_errors_are_those_of_number_words():
    found = card("HEADING TWO SEVEN ZERO NOW", "LEADING TWO EIGHT ZERO FIVE")
    assert found.numeric_words == Counts(hits=2, substitutions=1)
    assert card("HEADING TWO", "HEADING TWO FIVE").numeric_words == Counts(hits=1, insertions=1)


def test_rates_of_a_corpus_with_their_populations():
    cards = [
        card("UNITED SIX HEADING TWO SEVEN ZERO", "UNITED SIX HEADING TWO SEVEN ZERO"),
        card("DELTA TWO HEADING TWO SEVEN ZERO", "DELTA THREE HEADING TWO EIGHT ZERO"),
        card("ROGER", "ROGER"),
    ]
    found = intervals(atc.rates(cards), groups=None, resamples=200, confidence=95.0, seed=1)
    assert (found["callsign.accuracy"].rate, found["callsign.accuracy"].population) == (50.0, 2)
    assert (found["heading.accuracy"].rate, found["heading.accuracy"].population) == (50.0, 2)
    assert (found["critical_substitution_rate"].rate, found["critical_substitution_rate"].population) == (50.0, 4)
    assert found["squawk.accuracy"].rate is None and found["squawk.accuracy"].population == 0
    assert atc.count_slots(cards)["heading"] == {"missed": 0, "extra": 0, "unreadable": 0}
