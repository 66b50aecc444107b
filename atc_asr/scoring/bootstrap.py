"""Confidence intervals of rates: percentile bootstrap by utterance or by group.

A rate is 100 * sum(numerators) / sum(denominators), for instance errors over reference words. Utterances are drawn with
replacement (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP
2004). Where the errors of one speaker or tape are correlated, resampling utterances gives intervals that are too
narrow: draw whole groups instead. All rates of a call use the same resamples, so differences between them are paired.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

SEED = 1234
DRAWS_PER_BLOCK = 1 << 19  # counts of a block fit the processor's cache; memory does not grow with the corpus


@dataclasses.dataclass(frozen=True)
class Rate:
    """A rate of a corpus of N utterances, 100 * sum(numerators) / sum(denominators); both are (N,)."""

    name: str
    numerators: np.ndarray
    denominators: np.ndarray


def make_rate(name: str, fractions: Sequence[tuple[float, float]]) -> Rate:
    """A rate from the (numerator, denominator) of each utterance."""
    pairs = np.asarray(fractions, dtype=np.float64).reshape(-1, 2)
    return Rate(name, pairs[:, 0], pairs[:, 1])


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Settings of a bootstrap.

    Attributes:
        resamples: number of resamples, R.
        confidence: level of the intervals, per cent.
        groups: N labels to resample whole groups; None to resample utterances.
        seed: seed of the random draws.
    """

    resamples: int
    confidence: float
    groups: Sequence[str] | None = None
    seed: int = SEED


@dataclasses.dataclass(frozen=True)
class Interval:
    """A rate in per cent with its interval and population; all but the population are None if that is 0."""

    rate: float | None
    low: float | None
    high: float | None
    population: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """A rate of recognisers A and B in per cent, and B minus A in percentage points with interval and p value."""

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    population: int


def sum_by_group(values: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Sums over the rows of each group: (N, K) and N labels -> (G, K)."""
    labels, rows = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sums = np.zeros((len(labels), values.shape[1]))
    np.add.at(sums, rows, values)
    return sums


def resample_sums(values: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Column sums over rows drawn with replacement: (N, K) -> (resamples, K).

    float32 halves the time: sums of counts are exact up to 2**24 and correct to seven digits beyond.
    """
    num_rows = len(values)
    generator = np.random.default_rng(seed)
    values = np.ascontiguousarray(values, dtype=np.float32)
    sums = np.empty((resamples, values.shape[1]), dtype=np.float32)
    resamples_per_block = max(1, DRAWS_PER_BLOCK // max(1, num_rows))
    for start in range(0, resamples, resamples_per_block):
        count = min(resamples_per_block, resamples - start)
        drawn = generator.integers(0, num_rows, size=(count, num_rows), dtype=np.int32)
        drawn += (np.arange(count, dtype=np.int32) * np.int32(num_rows))[:, None]
        times_drawn = np.bincount(drawn.ravel(), minlength=count * num_rows).reshape(count, num_rows)
        np.matmul(times_drawn.astype(np.float32), values, out=sums[start : start + count])
    return sums


def resample_rates(numerators: np.ndarray, denominators: np.ndarray, resampling: Resampling) -> np.ndarray:
    """Rates in per cent of every resample: twice (N, K) -> (R, K); NaN where a resample has a denominator of 0."""
    values = np.concatenate([numerators, denominators], axis=1)
    if resampling.groups is not None:
        values = sum_by_group(values, resampling.groups)
    sums = resample_sums(values, resamples=resampling.resamples, seed=resampling.seed).astype(np.float64)
    tops, bottoms = np.hsplit(sums, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottoms > 0, 100.0 * tops / bottoms, np.nan)


def percentiles(rates: np.ndarray, confidence: float) -> tuple[float, float]:
    """Two-sided percentile interval of at least one resampled rate."""
    tail = (100.0 - confidence) / 2
    low, high = np.percentile(rates, [tail, 100.0 - tail])
    return float(low), float(high)


def intervals(rates: Sequence[Rate], resampling: Resampling) -> dict[str, Interval]:
    """Rates of the same N utterances, by name, with their intervals."""
    found = {rate.name: Interval(None, None, None, 0) for rate in rates}
    numerators = np.stack([rate.numerators for rate in rates], axis=1)
    denominators = np.stack([rate.denominators for rate in rates], axis=1)
    if not len(numerators):
        return found
    resampled = resample_rates(numerators, denominators, resampling)
    for column, rate in enumerate(rates):
        population = rate.denominators.sum()
        known = resampled[~np.isnan(resampled[:, column]), column]
        if population and len(known):
            observed = float(100.0 * rate.numerators.sum() / population)
            found[rate.name] = Interval(observed, *percentiles(known, resampling.confidence), int(population))
    return found


def widen_degenerate(interval: Interval, rate: Rate, resampling: Resampling) -> Interval:
    """Replace the interval of a proportion of 0 or 100 %, where all resamples are equal, by the exact binomial one.

    0 errors of 8 do not prove an error rate of 0 %: the bound is 1 - tail^(1/n), about 3.7 / n at 95 %, where n counts
    the utterances or groups (Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934).
    """
    if interval.rate not in (0.0, 100.0):
        return interval
    counted, groups = rate.denominators > 0, resampling.groups
    count = int(counted.sum()) if groups is None else len(set(np.asarray(groups, dtype=str)[counted]))
    width = 100.0 * (1.0 - ((100.0 - resampling.confidence) / 200.0) ** (1.0 / count))
    low, high = (0.0, width) if interval.rate == 0.0 else (100.0 - width, 100.0)
    return dataclasses.replace(interval, low=low, high=high)


def paired_difference(a: Rate, b: Rate, resampling: Resampling) -> Difference:
    """Compare the rates of A and B, both resampled together; they have the same denominators, at least one above 0.

    The p value is twice the smaller tail of the resampled difference at zero. The observed sample counts as one of
    the resamples, so p is never 0 (Davison and Hinkley, "Bootstrap Methods", 1997, section 4.2).
    """
    change = b.numerators - a.numerators
    differences = resample_rates(change[:, None], a.denominators[:, None], resampling)
    differences = differences[~np.isnan(differences)]
    low, high = percentiles(differences, resampling.confidence)
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    p_value = min(1.0, 2.0 * (tail + 1) / (len(differences) + 1))
    population = a.denominators.sum()
    rate_a, rate_b, difference = (
        float(100.0 * part.sum() / population) for part in (a.numerators, b.numerators, change)
    )
    return Difference(a.name, rate_a, rate_b, difference, low, high, float(p_value), int(population))
