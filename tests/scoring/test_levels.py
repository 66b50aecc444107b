"""WER by level of normalisation."""

from atc_asr.scoring.levels import count_levels
from atc_asr.wer.wer import Pair


def wer_by_level(pairs: list[Pair]) -> dict[str, float | None]:
    return {level: counts.rate for level, counts in count_levels(pairs).items()}


def test_each_level_removes_one_kind_of_spelling_difference():
    pairs = [
        Pair("a", "We're at two", "WERE AT TWO"),
        Pair("b", "NINER THOUSAND", "NINE THOUSAND"),
        Pair("c", "UNITED SIX EIGHTY SIX", "UNITED SIX EIGHT SIX"),
    ]
    assert wer_by_level(pairs) == {
        "raw": 100 * 5 / 9,
        "normalized": 100 * 2 / 9,
        "digits_folded": 100 * 1 / 9,
        "groups_folded": 0.0,
    }


def test_recognition_errors_remain_at_every_level():
    assert set(wer_by_level([Pair("a", "HEADING", "LEADING")]).values()) == {100.0}


def test_no_rate_without_reference_words():
    assert set(wer_by_level([Pair("a", "", "AH")]).values()) == {None}
