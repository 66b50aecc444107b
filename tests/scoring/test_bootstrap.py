"""Bootstrap intervals: known answers, an independent witness, and coverage in simulation (slow)."""

import numpy as np
import pytest
from scipy import stats

from atc_asr.scoring import bootstrap

SETTINGS = {"resamples": 2000, "confidence": 95.0, "seed": 7}


def utterances(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of utterances whose error rates differ, as those of speakers do."""
    generator = np.random.default_rng(seed)
    words = generator.integers(3, 25, count)
    return generator.binomial(words, generator.beta(1.5, 8.5, count)), words


def test_no_spread_no_interval():
    rate = bootstrap.make_rate("wer", [(1, 4)] * 20)
    assert bootstrap.intervals([rate], groups=None, **SETTINGS)["wer"] == bootstrap.Interval(25.0, 25.0, 25.0, 80)


def test_the_same_seed_gives_the_same_interval():
    rate = bootstrap.make_rate("wer", list(zip(*utterances(50, seed=1), strict=True)))
    first = bootstrap.intervals([rate], groups=None, **SETTINGS)
    assert first == bootstrap.intervals([rate], groups=None, **SETTINGS)
    assert first["wer"].low < first["wer"].rate < first["wer"].high


def test_scipy_finds_the_same_interval():
    errors, words = utterances(400, seed=2)
    ours = bootstrap.intervals(
        [bootstrap.Rate("wer", errors, words)], groups=None, resamples=9000, confidence=90.0, seed=1
    )["wer"]
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


def test_resampling_draws_as_many_units_as_there_are():
    sums = bootstrap.resample_sums(np.ones((37, 1)), resamples=100, seed=3)
    assert np.all(sums == 37)


def test_blocks_cover_every_resample(monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS_PER_BLOCK", 64)
    sums = bootstrap.resample_sums(np.arange(20.0)[:, None], resamples=101, seed=3)
    assert sums.shape == (101, 1)
    assert sums.mean() == pytest.approx(190, rel=0.05) and len(np.unique(sums)) > 20


def test_groups_that_err_together_widen_the_interval():
    errors, words = np.repeat([0, 10], 50), np.full(100, 10)
    speakers = [f"s{number // 10}" for number in range(100)]
    rate = bootstrap.Rate("wer", errors, words)
    alone = bootstrap.intervals([rate], groups=None, **SETTINGS)["wer"]
    together = bootstrap.intervals([rate], groups=speakers, **SETTINGS)["wer"]
    assert together.rate == alone.rate == 50.0
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_groups_are_added_up():
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert bootstrap.sum_by_group(values, ["b", "a", "b"]).tolist() == [[3.0, 4.0], [6.0, 8.0]]


def test_a_rate_without_a_population_has_no_interval():
    rates = [bootstrap.make_rate("none", [(0, 0)] * 5), bootstrap.make_rate("some", [(0, 1)] * 5)]
    found = bootstrap.intervals(rates, groups=None, **SETTINGS)
    assert found["none"] == bootstrap.Interval(None, None, None, 0)
    assert found["some"] == bootstrap.Interval(0.0, 0.0, 0.0, 5)


def test_no_utterances_have_no_intervals():
    found = bootstrap.intervals([bootstrap.make_rate("wer", [])], groups=None, **SETTINGS)
    assert found == {"wer": bootstrap.Interval(None, None, None, 0)}


def test_a_rare_population_leaves_out_the_resamples_without_it():
    rate = bootstrap.make_rate("rare", [(1, 1)] + [(0, 0)] * 9)
    assert bootstrap.intervals([rate], groups=None, **SETTINGS)["rare"] == bootstrap.Interval(100.0, 100.0, 100.0, 1)


def test_the_same_system_twice_makes_no_difference():
    errors, words = utterances(100, seed=3)
    found = bootstrap.paired_difference(errors, errors, words, groups=None, **SETTINGS)
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_system_that_is_better_everywhere_is_told_apart():
    words = np.full(200, 10)
    found = bootstrap.paired_difference(np.full(200, 3), np.full(200, 1), words, groups=None, **SETTINGS)
    assert (found.difference, found.low, found.high) == (-20.0, -20.0, -20.0)
    assert found.p_value == pytest.approx(2 / 2001)


def test_pairing_sees_what_two_intervals_would_not():
    errors, words = utterances(500, seed=4)
    better = np.maximum(errors - (np.arange(500) % 4 == 0), 0)
    found = bootstrap.paired_difference(errors, better, words, groups=None, **SETTINGS)
    apart = bootstrap.intervals(
        [bootstrap.Rate("a", errors, words), bootstrap.Rate("b", better, words)], groups=None, **SETTINGS
    )
    assert found.high < 0 and found.p_value < 0.01
    assert apart["a"].low < apart["b"].high


@pytest.mark.slow
def test_intervals_cover_what_they_promise():
    """2,000 test sets of 500 utterances from one population: 93 to 97 of 100 intervals hold its true rate."""
    truth = 100 * 0.15
    held = 0
    for number in range(2000):
        errors, words = utterances(500, seed=1000 + number)
        found = bootstrap.intervals(
            [bootstrap.Rate("wer", errors, words)], groups=None, resamples=1000, confidence=95.0, seed=number
        )["wer"]
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 2000 <= 0.97


def test_no_error_among_few_is_no_proof_of_none():
    rate = bootstrap.make_rate("share", [(0, 1)] * 8 + [(0, 0)] * 5)
    settings = {"groups": None, "confidence": 95.0}
    found = bootstrap.intervals([rate], resamples=100, seed=1, **settings)["share"]
    assert (found.low, found.high) == (0.0, 0.0)
    widened = bootstrap.widen_unanimous(found, rate, **settings)
    # Clopper and Pearson's table: 0 of 8
    assert widened.low == 0.0 and widened.high == pytest.approx(36.94, abs=0.01)
    all_right = bootstrap.make_rate("share", [(1, 1)] * 8)
    found = bootstrap.intervals([all_right], resamples=100, seed=1, **settings)["share"]
    assert bootstrap.widen_unanimous(found, all_right, **settings).low == pytest.approx(63.06, abs=0.01)
    grouped = bootstrap.widen_unanimous(found, all_right, groups=["a", "b"] * 4, confidence=95.0)
    assert grouped.low == pytest.approx(100 * 0.025**0.5)


def test_a_share_between_stays_as_it_is():
    rate = bootstrap.make_rate("share", [(0, 1), (1, 1)])
    found = bootstrap.Interval(50.0, 0.0, 100.0, 2)
    assert bootstrap.widen_unanimous(found, rate, groups=None, confidence=95.0) == found
