"""Bootstrap intervals: known answers, SciPy's answers, and coverage in simulation."""

import dataclasses

import numpy as np
import pytest
from scipy import sparse, stats

from atc_asr.scoring import bootstrap
from atc_asr.scoring.bootstrap import Interval, Rate, Resampling, intervals, make_rate

SETTINGS = Resampling(resamples=2000, confidence=95.0, seed=7)


def utterances(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of utterances whose error rates differ."""
    generator = np.random.default_rng(seed)
    words = generator.integers(3, 25, count)
    return generator.binomial(words, generator.beta(1.5, 8.5, count)), words


def test_equal_utterances_have_an_interval_of_width_zero():
    rate = make_rate("wer", [(1, 4)] * 20)
    assert intervals([rate], SETTINGS)["wer"] == Interval(25.0, 25.0, 25.0, 80)


def test_the_same_seed_gives_the_same_interval():
    rate = make_rate("wer", list(zip(*utterances(50, seed=1), strict=True)))
    first = intervals([rate], SETTINGS)
    assert first == intervals([rate], SETTINGS)
    assert first["wer"].low < first["wer"].rate < first["wer"].high


def test_scipy_finds_the_same_interval():
    errors, words = utterances(400, seed=2)
    ours = intervals([Rate("wer", errors, words)], Resampling(9000, 90.0))["wer"]
    theirs = stats.bootstrap(
        (errors, words),
        lambda e, w, axis: 100 * e.sum(axis) / w.sum(axis),
        paired=True,
        method="percentile",
        confidence_level=0.9,
        n_resamples=9000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.15)
    assert ours.high == pytest.approx(theirs.high, abs=0.15)


def test_a_resample_has_as_many_rows_as_the_sample():
    sums = bootstrap.resample_sums(sparse.csr_array(np.ones((37, 1))), resamples=100, seed=3)
    assert np.all(sums == 37)


def test_blocks_cover_all_resamples(monkeypatch):
    values = sparse.csr_array(np.arange(20.0)[:, None])
    sums = bootstrap.resample_sums(values, resamples=101, seed=3)
    assert sums.shape == (1, 101)
    assert sums.mean() == pytest.approx(190, rel=0.05) and len(np.unique(sums)) > 20
    monkeypatch.setattr(bootstrap, "MAX_DRAWS_PER_BLOCK", 100)
    monkeypatch.setattr(bootstrap, "ROWS_PER_PRODUCT", 7)
    assert np.array_equal(bootstrap.resample_sums(values, resamples=101, seed=3), sums)


@pytest.mark.parametrize("largest", [9, 10_000_000])
def test_the_sums_are_those_of_the_rows_drawn(largest):
    """NumPy draws all rows at once and adds them; whole numbers of any size are summed exactly."""
    values = np.random.default_rng(1).integers(-largest, largest, size=(5000, 3))
    drawn = np.random.default_rng(3).integers(0, 5000, size=(70, 5000), dtype=np.int32)
    sums = bootstrap.resample_sums(sparse.csr_array(values), resamples=70, seed=3)
    assert np.array_equal(sums, values[drawn].sum(axis=1).T)


def test_correlated_groups_widen_the_interval():
    errors, words = np.repeat([0, 10], 50), np.full(100, 10)
    speakers = [f"s{number // 10}" for number in range(100)]
    rate = Rate("wer", errors, words)
    by_utterance = intervals([rate], SETTINGS)["wer"]
    by_speaker = intervals([rate], dataclasses.replace(SETTINGS, groups=speakers))["wer"]
    assert by_speaker.rate == by_utterance.rate == 50.0
    assert by_speaker.high - by_speaker.low > 2 * (by_utterance.high - by_utterance.low)


def test_sum_by_group():
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    sums = bootstrap.sum_by_group(sparse.csr_array(values), ["b", "a", "b"])
    assert sums.toarray().tolist() == [[3.0, 4.0], [6.0, 8.0]]


def test_a_rate_without_a_population_has_no_interval():
    found = intervals([make_rate("none", [(0, 0)] * 5), make_rate("some", [(0, 1)] * 5)], SETTINGS)
    assert found == {"none": Interval(None, None, None, 0), "some": Interval(0.0, 0.0, 0.0, 5)}


def test_a_rate_of_some_utterances_is_that_with_zeros_for_the_others():
    errors, words = utterances(200, seed=6)
    rows = np.arange(3, 200, 7)
    inside = np.isin(np.arange(200), rows)
    corpus = Rate("wer", errors, words)
    whole = intervals([corpus, Rate("some", errors * inside, words * inside)], SETTINGS)
    assert intervals([corpus, Rate("some", errors[rows], words[rows], rows)], SETTINGS) == whole


def test_no_utterances_no_interval():
    assert intervals([make_rate("wer", [])], SETTINGS) == {"wer": Interval(None, None, None, 0)}


def test_resamples_without_a_rare_population_are_left_out():
    rate = make_rate("rare", [(1, 1)] + [(0, 0)] * 9)
    assert intervals([rate], SETTINGS)["rare"] == Interval(100.0, 100.0, 100.0, 1)


def test_a_system_compared_with_itself_has_no_difference():
    rate = Rate("wer", *utterances(100, seed=3))
    found = bootstrap.paired_difference(rate, rate, SETTINGS)
    assert found.a == found.b
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_system_that_is_better_on_every_utterance():
    words = np.full(200, 10)
    a, b = Rate("wer", np.full(200, 3), words), Rate("wer", np.full(200, 1), words)
    found = bootstrap.paired_difference(a, b, SETTINGS)
    assert (found.a, found.b, found.population) == (30.0, 10.0, 2000)
    assert (found.difference, found.low, found.high) == (-20.0, -20.0, -20.0)
    assert found.p_value == pytest.approx(2 / 2001)


def test_pairing_detects_a_difference_that_two_intervals_do_not():
    errors, words = utterances(500, seed=4)
    better = np.maximum(errors - (np.arange(500) % 4 == 0), 0)
    a, b = Rate("a", errors, words), Rate("b", better, words)
    found = bootstrap.paired_difference(a, b, SETTINGS)
    apart = intervals([a, b], SETTINGS)
    assert found.high < 0 and found.p_value < 0.01
    assert apart["a"].low < apart["b"].high


@pytest.mark.parametrize("num_sets", [200, pytest.param(2000, marks=pytest.mark.endurance)])
def test_intervals_have_the_nominal_coverage(num_sets):
    """Test sets of 500 utterances from one population: 93 to 97 % of the intervals contain its true rate."""
    truth = 100 * 0.15
    covered = 0
    for number in range(num_sets):
        errors, words = utterances(500, seed=1000 + number)
        found = intervals([Rate("wer", errors, words)], Resampling(1000, 95.0, seed=number))["wer"]
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / num_sets <= 0.97


def test_a_rate_of_0_or_100_per_cent_gets_the_exact_binomial_bound():
    none_wrong = make_rate("errors", [(0, 1)] * 8 + [(0, 0)] * 5)
    found = intervals([none_wrong], SETTINGS)["errors"]
    assert (found.low, found.high) == (0.0, 0.0)
    widened = bootstrap.widen_degenerate(found, none_wrong, SETTINGS)
    # Clopper and Pearson's table: 0 of 8
    assert widened.low == 0.0 and widened.high == pytest.approx(36.94, abs=0.01)
    all_right = make_rate("hits", [(1, 1)] * 8)
    found = intervals([all_right], SETTINGS)["hits"]
    assert bootstrap.widen_degenerate(found, all_right, SETTINGS).low == pytest.approx(63.06, abs=0.01)
    grouped = bootstrap.widen_degenerate(found, all_right, dataclasses.replace(SETTINGS, groups=["a", "b"] * 4))
    assert grouped.low == pytest.approx(100 * 0.025**0.5)


def test_other_rates_keep_their_interval():
    found = Interval(50.0, 0.0, 100.0, 2)
    assert bootstrap.widen_degenerate(found, make_rate("hits", [(0, 1), (1, 1)]), SETTINGS) == found
