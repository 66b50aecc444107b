"""Two recognisers on the same utterances: is one better, or can it not be told?"""

import dataclasses
from collections.abc import Sequence

from atc_asr.scoring import atc
from atc_asr.scoring.bootstrap import Difference, Rate, paired_difference
from atc_asr.scoring.pairs import PairedCorpus, read_column, read_groups
from atc_asr.scoring.params import ScoreParams
from atc_asr.scoring.scores import error_rates
from atc_asr.wer.wer import ScoredPair, score_pair

MEASURES = {
    "wer": "WER",
    "cer": "CER",
    "sentence_error_rate": "sentence error rate",
    "callsign.accuracy": "callsign accuracy",
    "numeric.wer": "numeric WER",
    "critical_substitution_rate": "critical substitutions",
}


@dataclasses.dataclass(frozen=True)
class Change:
    """One rate of both, in per cent, over the same population."""

    name: str
    a: float
    b: float
    difference: Difference
    population: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What two recognisers did on the same utterances.

    Attributes:
        changes: by name, the WER first; those with a population.
        wins: utterances with fewer word errors in B.
        losses: utterances with fewer word errors in A.
        num_utterances: all of them.
        confidence: of the intervals, in per cent.
    """

    changes: tuple[Change, ...]
    wins: int
    losses: int
    num_utterances: int
    confidence: float


def compare(a: PairedCorpus, b: PairedCorpus, params: ScoreParams) -> Comparison:
    """Compare two recognisers' hypotheses for one manifest.

    Raises:
        InputError: a column that the section names is not in the manifest.
    """
    groups = read_groups(a.utterances, params.group_column)
    truths = read_column(a.utterances, params.callsign_column, "score.callsign_column")
    scored_a, rates_a = _measure(a, truths)
    scored_b, rates_b = _measure(b, truths)
    changes = [
        _change(rates_a[name], rates_b[name], groups, params) for name in MEASURES if rates_a[name].denominators.sum()
    ]
    margins = [two.words.errors - one.words.errors for one, two in zip(scored_a, scored_b, strict=True)]
    return Comparison(
        changes=tuple(changes),
        wins=sum(margin < 0 for margin in margins),
        losses=sum(margin > 0 for margin in margins),
        num_utterances=len(margins),
        confidence=params.confidence,
    )


def _measure(corpus: PairedCorpus, truths: Sequence[str] | None) -> tuple[list[ScoredPair], dict[str, Rate]]:
    scored = [score_pair(pair) for pair in corpus.pairs]
    cards = [atc.make_card(item, truth) for item, truth in zip(scored, truths or [None] * len(scored), strict=True)]
    return scored, {rate.name: rate for rate in [*error_rates(scored), *atc.rates(cards)]}


def _change(a: Rate, b: Rate, groups: Sequence[str] | None, params: ScoreParams) -> Change:
    population = a.denominators.sum()
    difference = paired_difference(
        a.numerators,
        b.numerators,
        a.denominators,
        groups=groups,
        resamples=params.resamples,
        confidence=params.confidence,
        seed=params.seed,
    )
    rates = (float(100.0 * rate.numerators.sum() / population) for rate in (a, b))
    return Change(a.name, *rates, difference, int(population))


def verdict(found: Comparison) -> str:
    """A sentence that says whether the word error rates can be told apart at this size."""
    change = found.changes[0]
    difference = change.difference
    facts = (
        f"WER {change.b:.2f} % against {change.a:.2f} %, a difference of {difference.difference:+.2f} points "
        f"({found.confidence:g} % interval {difference.low:+.2f} to {difference.high:+.2f}, "
        f"p = {difference.p_value:.2g}) on {found.num_utterances:,} utterances"
    )
    if not found.wins and not found.losses:
        return f"A and B make as many word errors as each other on every one of {found.num_utterances:,} utterances."
    if difference.high < 0:
        return f"B is better than A: {facts}."
    if difference.low > 0:
        return f"B is worse than A: {facts}."
    needed = utterances_needed(found)
    hint = f"; about {needed:,} such utterances would be needed to tell a difference of this size" if needed else ""
    return f"The difference between A and B cannot be told at this size: {facts}{hint}."


def utterances_needed(found: Comparison) -> int | None:
    """How many utterances like these would shrink the interval to the difference; None without a difference.

    An interval's width falls with the square root of the sample.
    """
    difference = found.changes[0].difference
    if not difference.difference:
        return None
    half_width = (difference.high - difference.low) / 2
    return max(found.num_utterances, round(found.num_utterances * (half_width / difference.difference) ** 2, -1))


def format_comparison(found: Comparison) -> str:
    """The comparison as a table with the verdict below it."""
    header = ("", "A", "B", "B - A", f"{found.confidence:g} % interval", "p", "population")
    rows = [
        (
            MEASURES[change.name],
            f"{change.a:.2f} %",
            f"{change.b:.2f} %",
            f"{change.difference.difference:+.2f}",
            f"{change.difference.low:+.2f} to {change.difference.high:+.2f}",
            f"{change.difference.p_value:.2g}",
            f"{change.population:,}",
        )
        for change in found.changes
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in [header, *rows]
    ]
    ties = found.num_utterances - found.wins - found.losses
    lines += [
        "",
        f"utterances: B has fewer word errors in {found.wins:,}, more in {found.losses:,}, as many in {ties:,}",
    ]
    return "\n".join([*lines, "", verdict(found)])
