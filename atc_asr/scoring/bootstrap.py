"""Error bars: percentile bootstrap of ratios such as errors / words, by utterance or by group.

A rate is 100 * sum(numerator) / sum(denominator) over units drawn with replacement (Bisani and Ney, "Bootstrap
estimates for confidence intervals in ASR performance evaluation", ICASSP 2004). A unit is an utterance or, where
utterances of one speaker or tape fall and rise together, the group: resampling utterances would then flatter.
All rates of a call come from the same resamples, so differences between them are paired.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

DRAWS_PER_BLOCK = 1 << 19  # a block's counts stay in the processor's cache, and memory does not grow with the corpus


@dataclasses.dataclass(frozen=True)
class Rate:
    """A rate of a corpus, 100 * sum(numerators) / sum(denominators), both (N,) by utterance."""

    name: str
    numerators: np.ndarray
    denominators: np.ndarray


def make_rate(name: str, fractions: Sequence[tuple[float, float]]) -> Rate:
    """A rate from (numerator, denominator) of each utterance."""
    pairs = np.asarray(fractions, dtype=np.float64).reshape(-1, 2)
    return Rate(name, pairs[:, 0], pairs[:, 1])


@dataclasses.dataclass(frozen=True)
class Interval:
    """A rate in per cent with its interval and its population; rate, low and high are None without a population."""

    rate: float | None
    low: float | None
    high: float | None
    population: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """Rate of B minus rate of A, in points of per cent, with its interval and two-sided p value."""

    difference: float
    low: float
    high: float
    p_value: float


def sum_by_group(values: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Rows of one group added up: (N, K) and N labels -> (G, K)."""
    labels, rows = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sums = np.zeros((len(labels), values.shape[1]))
    np.add.at(sums, rows, values)
    return sums


def resample_sums(values: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Column sums over units drawn with replacement: (N, K) -> (resamples, K).

    The sums of counts are exact up to 2**24 and right to seven digits beyond: float32 halves the time.
    """
    num_units = len(values)
    generator = np.random.default_rng(seed)
    values = np.ascontiguousarray(values, dtype=np.float32)
    sums = np.empty((resamples, values.shape[1]), dtype=np.float32)
    rows_per_block = max(1, DRAWS_PER_BLOCK // max(1, num_units))
    for start in range(0, resamples, rows_per_block):
        rows = min(rows_per_block, resamples - start)
        drawn = generator.integers(0, num_units, size=(rows, num_units), dtype=np.int32)
        drawn += (np.arange(rows, dtype=np.int32) * np.int32(num_units))[:, None]
        times_drawn = np.bincount(drawn.ravel(), minlength=rows * num_units).reshape(rows, num_units)
        np.matmul(times_drawn.astype(np.float32), values, out=sums[start : start + rows])
    return sums


def resample_rates(
    numerators: np.ndarray, denominators: np.ndarray, *, groups: Sequence[str] | None, resamples: int, seed: int
) -> np.ndarray:
    """Rates in per cent of every resample.

    Args:
        numerators: (N, K), for instance errors of N utterances under K rates.
        denominators: (N, K), for instance reference words.
        groups: N labels to resample whole groups, None to resample utterances.
        resamples: how many, R.
        seed: of the random draws.

    Returns:
        (R, K); NaN where a resample drew no denominator.
    """
    num_rates = numerators.shape[1]
    values = np.concatenate([numerators, denominators], axis=1)
    if groups is not None:
        values = sum_by_group(values, groups)
    sums = resample_sums(values, resamples=resamples, seed=seed).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[:, num_rates:] > 0, 100.0 * sums[:, :num_rates] / sums[:, num_rates:], np.nan)


def percentiles(rates: np.ndarray, confidence: float) -> tuple[float, float] | None:
    """The two-sided percentile interval of resampled rates, those that are NaN left out; None where all are."""
    known = rates[~np.isnan(rates)]
    if not len(known):
        return None
    tail = (100.0 - confidence) / 2
    low, high = np.percentile(known, [tail, 100.0 - tail])
    return float(low), float(high)


def intervals(
    rates: Sequence[Rate], *, groups: Sequence[str] | None, resamples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Rates of the same N utterances with their intervals at `confidence` per cent; the rest as in `resample_rates`."""
    numerators = np.stack([rate.numerators for rate in rates], axis=1)
    denominators = np.stack([rate.denominators for rate in rates], axis=1)
    empty = Interval(None, None, None, 0)
    if not len(numerators):
        return {rate.name: empty for rate in rates}
    resampled = resample_rates(numerators, denominators, groups=groups, resamples=resamples, seed=seed)
    found = {}
    for column, rate in enumerate(rates):
        population = rate.denominators.sum()
        bounds = percentiles(resampled[:, column], confidence) if population else None
        observed = float(100.0 * rate.numerators.sum() / population) if population else None
        found[rate.name] = Interval(observed, *bounds, int(population)) if bounds else empty
    return found


def widen_unanimous(interval: Interval, rate: Rate, *, groups: Sequence[str] | None, confidence: float) -> Interval:
    """An interval of a share of 0 or 100 %, whose resamples are all alike, with the exact bound of a binomial share.

    `0 of 8` is no proof of 0 %: the bound is 1 - tail^(1/n), about 3.7 / n at 95 %, n being the units resampled
    (Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934).
    """
    if interval.rate not in (0.0, 100.0):
        return interval
    counted = rate.denominators > 0
    units = int(counted.sum()) if groups is None else len(set(np.asarray(groups, dtype=str)[counted]))
    width = 100.0 * (1.0 - ((100.0 - confidence) / 200.0) ** (1.0 / units))
    if interval.rate == 0.0:
        return dataclasses.replace(interval, low=0.0, high=width)
    return dataclasses.replace(interval, low=100.0 - width, high=100.0)


def paired_difference(
    errors_a: np.ndarray,
    errors_b: np.ndarray,
    words: np.ndarray,
    *,
    groups: Sequence[str] | None,
    resamples: int,
    confidence: float,
    seed: int,
) -> Difference:
    """Rate of B minus rate of A on the same utterances, which both are resampled together.

    The p value is twice the smaller tail of the resampled difference at zero, counted with the observed sample
    among the resamples so that it is never 0 (Davison and Hinkley, "Bootstrap Methods", 1997, section 4.2).

    Args:
        errors_a: (N,) errors of A.
        errors_b: (N,) errors of B.
        words: (N,) reference words, at least one of them above 0.
        groups: as in `resample_rates`.
        resamples: as in `resample_rates`.
        confidence: of the interval, in per cent.
        seed: of the random draws.
    """
    change = (errors_b - errors_a)[:, None]
    differences = resample_rates(change, words[:, None], groups=groups, resamples=resamples, seed=seed)[:, 0]
    differences = differences[~np.isnan(differences)]
    low, high = percentiles(differences, confidence)
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    p_value = min(1.0, 2.0 * (tail + 1) / (len(differences) + 1))
    return Difference(float(100.0 * change.sum() / words.sum()), low, high, float(p_value))
