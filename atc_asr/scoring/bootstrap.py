"""Confidence intervals of rates: percentile bootstrap by utterance or by group.

A rate is 100 * sum(numerators) / sum(denominators), for instance errors over reference words. Utterances are drawn with
replacement (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP
2004). Where the errors of one speaker or tape are correlated, resampling utterances gives intervals that are too
narrow: draw whole groups instead. All rates of a call use the same resamples, so differences between them are paired.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

SEED = 1234
MAX_RESAMPLES_PER_BLOCK = 256
MAX_DRAWS_PER_BLOCK = 1 << 23  # bounds the memory of a block
DRAWS_PER_COUNT, ROWS_PER_PRODUCT = 1 << 16, 4096  # their counts fit the processor's cache


@dataclasses.dataclass(frozen=True)
class Rate:
    """A rate of a corpus, 100 * sum(numerators) / sum(denominators).

    Both are (N,), one number for each utterance, or (n,) for the utterances `rows` (n,) alone: the others have zeros.
    """

    name: str
    numerators: np.ndarray
    denominators: np.ndarray
    rows: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Rate":
        """The rate of some utterances (n,) as a corpus of their own; `self` has no `rows`."""
        return Rate(self.name, self.numerators[rows], self.denominators[rows])


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


def resample_rates(rates: Sequence[Rate], resampling: Resampling) -> Iterator[np.ndarray]:
    """Yield every rate in per cent in all resamples, (R,); NaN where a resample has a denominator of 0.

    The first rate has a value for each of the N > 0 utterances.
    """
    from scipy import sparse

    columns = [(values, rate.rows) for rate in rates for values in (rate.numerators, rate.denominators)]
    # Few utterances have a squawk, or belong to a speaker.
    kept = [np.flatnonzero(values).astype(np.int32) for values, _ in columns]
    data = np.concatenate([values[some] for (values, _), some in zip(columns, kept, strict=True)])
    rows = np.concatenate([some if rows is None else rows[some] for (_, rows), some in zip(columns, kept, strict=True)])
    starts = np.cumsum([0, *map(len, kept)])
    values = sparse.csc_array((data, rows, starts), shape=(len(rates[0].numerators), len(columns))).tocsr()
    if resampling.groups is not None:
        values = sum_by_group(values, resampling.groups)
    sums = resample_sums(values, resamples=resampling.resamples, seed=resampling.seed)
    for tops, bottoms in zip(sums[::2], sums[1::2], strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            yield np.where(bottoms > 0, 100.0 * tops / bottoms, np.nan)


def sum_by_group(values: Any, groups: Sequence[str]) -> Any:
    """Sums over the rows of each group: a sparse array (N, K) and N labels -> (G, K)."""
    from scipy import sparse

    _, numbers = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    members = sparse.csr_array((np.ones(len(numbers)), (numbers, np.arange(len(numbers)))))
    return (members @ values).tocsr()


def resample_sums(values: Any, *, resamples: int, seed: int) -> np.ndarray:
    """Column sums over rows drawn with replacement: a sparse array (N, K) -> (K, resamples).

    Sums of counts are exact: products in float32, which halves the time, only where they stay below 2**24.
    """
    num_rows = values.shape[0]
    dtype = np.float32 if abs(values).max() * ROWS_PER_PRODUCT < 2**24 else np.float64
    starts = range(0, num_rows, ROWS_PER_PRODUCT)
    parts = [values[start : start + ROWS_PER_PRODUCT].astype(dtype).T for start in starts]
    generator = np.random.default_rng(seed)
    per_block = max(1, min(MAX_RESAMPLES_PER_BLOCK, MAX_DRAWS_PER_BLOCK // num_rows))
    sizes = [min(per_block, resamples - first) for first in range(0, resamples, per_block)]
    sums = np.zeros((values.shape[1], resamples))
    first = 0
    with ThreadPoolExecutor(1) as pool:  # draws the next block meanwhile; NumPy and SciPy release Python's lock
        drawn = pool.submit(_count_draws, generator, num_rows, sizes[0])
        for size, next_size in zip(sizes, [*sizes[1:], 0], strict=True):
            times_drawn, drawn = drawn.result(), pool.submit(_count_draws, generator, num_rows, next_size)
            for start, part in zip(starts, parts, strict=True):
                times = np.ascontiguousarray(times_drawn[:, start : start + ROWS_PER_PRODUCT].T, dtype=dtype)
                sums[:, first : first + size] += part @ times
            first += size
    return sums


def _count_draws(generator: np.random.Generator, num_rows: int, resamples: int) -> np.ndarray:
    """How often each row is drawn in resamples of `num_rows` draws, (resamples, N)."""
    times_drawn = np.empty((resamples, num_rows), dtype=np.float32)
    per_count = max(1, DRAWS_PER_COUNT // num_rows)
    for start in range(0, resamples, per_count):
        some = times_drawn[start : start + per_count]
        drawn = generator.integers(0, num_rows, size=some.shape, dtype=np.int32)
        drawn += (np.arange(len(some), dtype=np.int32) * np.int32(num_rows))[:, None]
        some[:] = np.bincount(drawn.ravel(), minlength=some.size).reshape(some.shape)
    return times_drawn


def percentiles(rates: np.ndarray, confidence: float) -> tuple[float, float]:
    """Two-sided percentile interval of at least one resampled rate."""
    tail = (100.0 - confidence) / 2
    low, high = np.percentile(rates, [tail, 100.0 - tail])
    return float(low), float(high)


def intervals(rates: Sequence[Rate], resampling: Resampling) -> dict[str, Interval]:
    """Rates of the same N utterances, by name, with their intervals; the first rate has no `rows`."""
    found = {rate.name: Interval(None, None, None, 0) for rate in rates}
    if not len(rates[0].numerators):
        return found
    for rate, resampled in zip(rates, resample_rates(rates, resampling), strict=True):
        population = rate.denominators.sum()
        known = resampled[~np.isnan(resampled)]
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
    counted, groups = np.flatnonzero(rate.denominators), resampling.groups
    if rate.rows is not None:
        counted = rate.rows[counted]
    count = len(counted) if groups is None else len({groups[row] for row in counted.tolist()})
    width = 100.0 * (1.0 - ((100.0 - resampling.confidence) / 200.0) ** (1.0 / count))
    low, high = (0.0, width) if interval.rate == 0.0 else (100.0 - width, 100.0)
    return dataclasses.replace(interval, low=low, high=high)


def paired_difference(a: Rate, b: Rate, resampling: Resampling) -> Difference:
    """Compare the rates of A and B, both resampled together; they have the same denominators, at least one above 0.

    The p value is twice the smaller tail of the resampled difference at zero. The observed sample counts as one of
    the resamples, so p is never 0 (Davison and Hinkley, "Bootstrap Methods", 1997, section 4.2).
    """
    change = b.numerators - a.numerators
    [differences] = resample_rates([Rate(a.name, change, a.denominators)], resampling)
    differences = differences[~np.isnan(differences)]
    low, high = percentiles(differences, resampling.confidence)
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    p_value = min(1.0, 2.0 * (tail + 1) / (len(differences) + 1))
    population = a.denominators.sum()
    rate_a, rate_b, difference = (
        float(100.0 * part.sum() / population) for part in (a.numerators, b.numerators, change)
    )
    return Difference(a.name, rate_a, rate_b, difference, low, high, float(p_value), int(population))
