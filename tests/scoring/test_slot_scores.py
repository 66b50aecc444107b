"""Slot scores of utterances whose answers are plain."""

import pytest

from atc_asr.scoring import slot_scores
from atc_asr.scoring.bootstrap import Resampling, intervals
from atc_asr.wer.wer import Counts, Pair, score_pair


def score(ref: str, hyp: str, true_callsign: str | None = None) -> slot_scores.SlotScores:
    return slot_scores.score_slots(score_pair(Pair("u", ref, hyp)), true_callsign)


def test_another_value_of_the_same_kind_is_a_critical_substitution():
    found = score("UNITED SIX EIGHTY SIX HEADING TWO SEVEN ZERO", "UNITED SIX EIGHTY SIX HEADING TWO EIGHT ZERO")
    assert found.callsign_correct is True
    assert found.slots == {"heading": Counts(substitutions=1), "callsign": Counts(hits=1)}


def test_another_wording_of_the_same_value_is_correct():
    found = score("UNITED SIX EIGHTY SIX DESCEND TO ONE ZERO THOUSAND", "UNITED SIX EIGHT SIX DESCEND TO TEN THOUSAND")
    assert found.callsign_correct is True
    assert found.slots["altitude"] == Counts(hits=1)


def test_missed_and_extra_slots():
    found = score("SQUAWK FOUR SIX TWO ONE", "HEADING TWO SEVEN ZERO")
    assert found.slots == {"squawk": Counts(deletions=1), "heading": Counts(insertions=1)}


def test_an_unreadable_slot_of_the_hypothesis_is_missed_and_no_critical_substitution():
    assert score("SQUAWK FOUR SIX TWO ONE", "SQUAWK FOUR SIX TWO").slots["squawk"] == Counts(deletions=1)


def test_an_unreadable_slot_of_the_reference_is_excluded_from_the_population():
    found = score("UNITED ONE TWO ONE SIX THOUSAND", "UNITED ONE TWO ONE SIX THOUSAND")
    assert found.callsign_correct is None
    assert found.unreadable["callsign"] == 1 and found.slots["callsign"].ref_length == 0


def test_utterances_without_a_callsign_are_excluded():
    assert score("THANKS GOOD DAY", "THANKS GOOD DAY").callsign_correct is None


def test_an_extra_callsign_is_an_error():
    assert score("UNITED SIX ROGER", "UNITED SIX DELTA TWO ROGER").callsign_correct is False


@pytest.mark.parametrize(
    ("true_callsign", "hyp", "correct"),
    [
        ("UAL686", "UNITED SIX EIGHT SIX", True),
        ("UAL686", "UNITED SIX EIGHT FOUR", False),
        ("N345AB", "NOVEMBER FIVE ALPHA BRAVO", True),
        ("N345AB", "FIVE ALPHA BRAVO", True),
        ("N345AB", "FOUR ALPHA BRAVO", False),
        ("N345AB", "", False),
    ],
)
def test_the_true_callsign_of_the_manifest_is_the_reference(true_callsign, hyp, correct):
    assert score("AH", hyp, true_callsign).callsign_correct is correct


def test_rows_without_a_true_callsign_are_excluded():
    assert score("UNITED SIX", "UNITED SIX", "").callsign_correct is None


def test_callsign_word_errors_are_those_within_its_span():
    found = score("TURN LEFT UNITED SIX EIGHTY SIX NOW", "TURN RIGHT UNITED AH SIX SIXTY SIX")
    assert found.callsign_words == Counts(hits=3, substitutions=1, insertions=1)


def test_numeric_word_errors_are_those_of_number_words():
    found = score("HEADING TWO SEVEN ZERO NOW", "LEADING TWO EIGHT ZERO FIVE")
    assert found.numeric_words == Counts(hits=2, substitutions=1)
    assert score("HEADING TWO", "HEADING TWO FIVE").numeric_words == Counts(hits=1, insertions=1)


def test_rates_and_populations_of_a_corpus():
    scores = [
        score("UNITED SIX HEADING TWO SEVEN ZERO", "UNITED SIX HEADING TWO SEVEN ZERO"),
        score("DELTA TWO HEADING TWO SEVEN ZERO", "DELTA THREE HEADING TWO EIGHT ZERO"),
        score("ROGER", "ROGER"),
    ]
    found = intervals(slot_scores.slot_rates(scores), Resampling(200, 95.0))
    assert (found["callsign.accuracy"].rate, found["callsign.accuracy"].population) == (50.0, 2)
    assert (found["heading.accuracy"].rate, found["heading.accuracy"].population) == (50.0, 2)
    assert (found["critical_substitution_rate"].rate, found["critical_substitution_rate"].population) == (50.0, 4)
    assert found["squawk.accuracy"].rate is None and found["squawk.accuracy"].population == 0
    counts = slot_scores.count_slots(scores)
    assert [counts[f"callsign.utterances_{name}"] for name in ("read", "unreadable", "without")] == [2, 0, 1]
    assert [counts[f"heading.{name}"] for name in ("missed", "extra", "unreadable")] == [0, 0, 0]
