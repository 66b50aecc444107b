"""WER by slice and scores by word."""

import numpy as np
import pytest

from atc_asr.scoring import slices
from atc_asr.scoring.score import error_rates
from atc_asr.wer import wer


def scored(*texts: tuple[str, str]) -> list[wer.ScoredPair]:
    return [wer.score_pair(wer.Pair(f"u{number}", ref, hyp)) for number, (ref, hyp) in enumerate(texts)]


def test_a_value_at_an_edge_is_in_the_group_above_it():
    found = slices.slice_by_number("duration", [1.9, 2.0, 3.9, 4.0, None], [2.0, 4.0], "s")
    assert found.order == ("< 2 s", "2-4 s", ">= 4 s")
    assert found.groups == ("< 2 s", "2-4 s", "2-4 s", ">= 4 s", None)


def test_utterances_with_an_empty_value_have_no_group():
    found = slices.slice_by_column("speaker", ["b", "", None, "a"])
    assert found.groups == ("b", None, None, "a") and found.order == ("a", "b")


def test_the_counts_of_the_groups_sum_to_the_corpus():
    pairs = scored(("A B", "A"), ("A B C", "A B C"), ("A", "B"))
    by_speaker = slices.slice_by_column("speaker", ["x", "y", "x"])
    [wer_of_corpus, *_] = error_rates(pairs)
    found = slices.slice_rates(wer_of_corpus, [by_speaker])
    sums = {key: (rate.numerators.sum(), rate.denominators.sum(), size) for key, (rate, size) in found.items()}
    assert sums == {("speaker", "x"): (2, 3, 2), ("speaker", "y"): (0, 3, 1)}
    assert [rate.rows.tolist() for rate, _ in found.values()] == [[0, 2], [1]]


def test_a_group_of_no_utterance_and_utterances_of_no_group():
    [wer_of_corpus, *_] = error_rates(scored(("A B", "A"), ("A", "A"), ("A", "B")))
    by_snr = slices.Slice("SNR", (None, "high", None), ("low", "high"))
    assert list(slices.slice_rates(wer_of_corpus, [by_snr])) == [("SNR", "high")]


@pytest.mark.parametrize("ratio", [5.0, 15.0, 30.0])
def test_the_estimated_ratio_is_close_to_the_true_one(ratio):
    generator = np.random.default_rng(1)
    speech = np.where(np.arange(32000) % 8000 < 5000, 1.0, 0.0) * generator.normal(0, 0.1, 32000)
    noise = generator.normal(0, 0.1 * 10 ** (-ratio / 20), 32000)
    assert slices.estimate_snr(speech + noise, 16000) == pytest.approx(ratio, abs=2.5)


def test_ratio_of_silence_and_of_short_clips():
    assert slices.estimate_snr(np.zeros(100), 16000) is None
    assert np.isfinite(slices.estimate_snr(np.zeros(16000), 16000))


def test_scores_by_word():
    words = slices.most_errors_first(slices.count_words(scored(("A B A", "A C"), ("B", "B"), ("B D", "C D"))))
    assert list(words.items()) == [("B", {"B": 1, "C": 2}), ("A", {"A": 1, None: 1}), ("D", {"D": 1})]
    assert slices.confusions_of("B", words["B"]) == {"C": 2} and slices.confusions_of("A", words["A"]) == {}


def test_the_confusion_table_has_the_most_confused_words_only():
    words = slices.most_errors_first(slices.count_words(scored(("A", "C"), ("A", "C"), ("B", "A"), ("X", "Y"))))
    assert slices.list_confusions(words, max_words=2) == [("A", "C"), ("A", "C")]
    assert slices.list_confusions(words, max_words=3) == [("A", "C"), ("A", "C"), ("B", "A")]
    assert slices.list_confusions(words, max_words=10) == [("A", "C"), ("A", "C"), ("B", "A"), ("X", "Y")]
