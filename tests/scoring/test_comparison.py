"""Comparison of two recognisers: which one is better, by how much, and whether the difference is significant."""

import random
from pathlib import Path

import pytest

from atc_asr.core.manifest import Utterance
from atc_asr.scoring import comparison
from atc_asr.scoring.pairs import PairedCorpus
from atc_asr.scoring.params import ScoreParams
from atc_asr.wer.wer import Pair

PARAMS = ScoreParams(
    resamples=1000,
    confidence=95.0,
    group_column=None,
    callsign_column=None,
    operators=None,
    normalize_hypotheses=False,
    estimate_snr=False,
    slice_columns=[],
)
REF = "UNITED SIX EIGHTY SIX HEADING TWO SEVEN ZERO"


def corpus(hyps: list[str]) -> PairedCorpus:
    made = tuple(Pair(f"u{number}", REF, hyp) for number, hyp in enumerate(hyps))
    return PairedCorpus((), made, made)


def noisy(count: int, fraction: float, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [" ".join("AH" if generator.random() < fraction else word for word in REF.split()) for _ in range(count)]


def test_a_better_recogniser_is_better_and_the_other_one_worse():
    a, b = corpus(noisy(300, 0.3, seed=1)), corpus(noisy(300, 0.1, seed=2))
    found = comparison.compare(a, b, PARAMS)
    assert comparison.verdict(found).startswith("B is better than A: WER")
    assert found.wins > found.losses and found.differences[0].high < 0
    back = comparison.compare(b, a, PARAMS)
    assert comparison.verdict(back).startswith("B is worse than A: WER")
    assert (back.wins, back.losses) == (found.losses, found.wins)
    assert back.differences[0].difference == pytest.approx(-found.differences[0].difference)


def test_a_difference_too_small_for_the_sample_is_not_significant():
    found = comparison.compare(corpus(noisy(40, 0.2, seed=1)), corpus(noisy(40, 0.21, seed=3)), PARAMS)
    assert "is not significant" in comparison.verdict(found)
    assert comparison.utterances_needed(found) > 40


def test_a_recogniser_compared_with_itself():
    hyps = noisy(20, 0.2, seed=1)
    found = comparison.compare(corpus(hyps), corpus(hyps), PARAMS)
    assert "the same number of word errors" in comparison.verdict(found)
    assert comparison.utterances_needed(found) is None
    assert (found.wins, found.losses) == (0, 0)


def test_populations_of_the_measures():
    found = comparison.compare(corpus([REF] * 5), corpus(["UNITED SIX"] * 5), PARAMS)
    assert {one.name: one.population for one in found.differences} == {
        "wer": 40,
        "cer": 5 * len(REF),
        "sentence_error_rate": 5,
        "callsign.accuracy": 5,
        "numeric.wer": 30,
        "critical_substitution_rate": 10,
    }


def test_a_measure_without_a_population_is_left_out():
    made = (Pair("u", "GOOD DAY", "GOOD"),)
    found = comparison.compare(PairedCorpus((), made, made), PairedCorpus((), made, made), PARAMS)
    assert "callsign.accuracy" not in {one.name for one in found.differences}


def test_the_table_has_rates_intervals_and_counts():
    found = comparison.compare(
        corpus(noisy(50, 0.3, seed=1)), corpus(noisy(50, 0.1, seed=2)), PARAMS.model_copy(update={"confidence": 90.0})
    )
    text = comparison.format_comparison(found)
    assert "90 % interval" in text and "call sign accuracy" in text
    assert f"B has fewer word errors in {found.wins}, more in {found.losses}" in text
    assert "by corpus" not in text


def of_corpora(hyps: dict[str, list[str]]) -> PairedCorpus:
    """The utterances of several corpora, one of each in turn, with two speakers each."""
    order = [(name, number) for number in range(len(next(iter(hyps.values())))) for name in hyps]
    made = tuple(Pair(f"{name}{number}", REF, hyps[name][number]) for name, number in order)
    rows = (
        Utterance(pair.id, Path("a.wav"), 1.0, REF, {"corpus": name, "speaker": f"{name}{number % 9}"})
        for pair, (name, number) in zip(made, order, strict=True)
    )
    return PairedCorpus(tuple(rows), made, made)


@pytest.mark.parametrize("group_column", [None, "speaker"])
def test_every_corpus_is_compared_as_if_it_were_alone(group_column):
    """B is better on one corpus and worse on the other; together the difference is not significant."""
    params = PARAMS.model_copy(update={"group_column": group_column})
    better, worse = noisy(90, 0.1, seed=1), noisy(90, 0.2, seed=2)
    a, b = {"us": worse, "europe": better}, {"us": better, "europe": worse}
    found = comparison.compare(of_corpora(a), of_corpora(b), params)
    assert list(found.corpora) == ["europe", "us"]
    for name, one in found.corpora.items():
        alone = comparison.compare(of_corpora({name: a[name]}), of_corpora({name: b[name]}), params)
        assert one.differences == alone.differences[:1] and not alone.corpora
        assert (one.wins, one.losses, one.num_utterances) == (alone.wins, alone.losses, 90)
    lines = comparison.format_comparison(found).splitlines()
    assert lines[-5].startswith("The difference between A and B is not significant")
    assert lines[-3].startswith("by corpus, WER: 2 comparisons, each with a 95 % interval of its own")
    assert lines[-2:] == [f"{name}: {comparison.verdict(one)}" for name, one in found.corpora.items()]
    assert "B is worse than A" in lines[-2] and "B is better than A" in lines[-1]
