"""The normalisation ladder takes spelling out step by step."""

from atc_asr.scoring import levels
from atc_asr.wer.wer import Pair


def test_every_rung_takes_its_own_kind_of_spelling_out():
    pairs = [
        Pair("a", "We're at two", "WERE AT TWO"),
        Pair("b", "NINER THOUSAND", "NINE THOUSAND"),
        Pair("c", "UNITED SIX EIGHTY SIX", "UNITED SIX EIGHT SIX"),
    ]
    assert levels.wer_by_level(pairs) == {
        "raw": 100 * 5 / 9,
        "normalized": 100 * 2 / 9,
        "digits_folded": 100 * 1 / 9,
        "groups_folded": 0.0,
    }


def test_a_real_error_stays_on_every_rung():
    assert set(levels.wer_by_level([Pair("a", "HEADING", "LEADING")]).values()) == {100.0}


def test_no_reference_words_no_rate():
    assert set(levels.wer_by_level([Pair("a", "", "AH")]).values()) == {None}
