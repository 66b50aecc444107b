"""Comparison of two recognisers on the same utterances, with a significance test."""

import dataclasses

from atc_asr.scoring.bootstrap import Difference, Resampling, paired_difference
from atc_asr.scoring.pairs import PairedCorpus, read_groups
from atc_asr.scoring.params import ScoreParams
from atc_asr.scoring.score import score_pairs

MEASURES = {
    "wer": "WER",
    "cer": "CER",
    "sentence_error_rate": "sentence error rate",
    "callsign.accuracy": "call sign accuracy",
    "numeric.wer": "numeric WER",
    "critical_substitution_rate": "critical substitutions",
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Results of two recognisers A and B: the `MEASURES` that have a population, WER first, and counts of utterances.

    B has fewer word errors than A in the utterances of `wins`, more in those of `losses`. `confidence` is in per cent.
    """

    differences: tuple[Difference, ...]
    wins: int
    losses: int
    num_utterances: int
    confidence: float


def compare(a: PairedCorpus, b: PairedCorpus, params: ScoreParams) -> Comparison:
    """Compare the hypotheses of two recognisers for the same manifest.

    Raises:
        InputError: a column of `params` is not in the manifest.
    """
    resampling = Resampling(params.resamples, params.confidence, read_groups(a.utterances, params.group_column))
    rates_a, rates_b = ({rate.name: rate for rate in score_pairs(side, params).rates} for side in (a, b))
    measured = [name for name in MEASURES if rates_a[name].denominators.sum()]
    margins = rates_b["wer"].numerators - rates_a["wer"].numerators
    return Comparison(
        differences=tuple(paired_difference(rates_a[name], rates_b[name], resampling) for name in measured),
        wins=int((margins < 0).sum()),
        losses=int((margins > 0).sum()),
        num_utterances=len(margins),
        confidence=params.confidence,
    )


def verdict(found: Comparison) -> str:
    """One sentence: which recogniser has the lower WER, or that the difference is not significant."""
    wer = found.differences[0]
    details = (
        f"WER {wer.b:.2f} % against {wer.a:.2f} %, a difference of {wer.difference:+.2f} points "
        f"({found.confidence:g} % interval {wer.low:+.2f} to {wer.high:+.2f}, p = {wer.p_value:.2g}) "
        f"on {found.num_utterances:,} utterances"
    )
    if not found.wins and not found.losses:
        return f"A and B make the same number of word errors in each of {found.num_utterances:,} utterances."
    if wer.high < 0:
        return f"B is better than A: {details}."
    if wer.low > 0:
        return f"B is worse than A: {details}."
    needed = utterances_needed(found)
    hint = f"; about {needed:,} such utterances would make a difference of this size significant" if needed else ""
    return f"The difference between A and B is not significant: {details}{hint}."


def utterances_needed(found: Comparison) -> int | None:
    """Number of such utterances at which the observed difference is significant; None without a difference.

    The width of an interval falls with the square root of the number of utterances.
    """
    wer = found.differences[0]
    if not wer.difference:
        return None
    needed = found.num_utterances * ((wer.high - wer.low) / 2 / wer.difference) ** 2
    return max(found.num_utterances, round(needed / 10) * 10)


def format_comparison(found: Comparison) -> str:
    """The comparison as a table, followed by the verdict."""
    rows = [("", "A", "B", "B - A", f"{found.confidence:g} % interval", "p", "population")]
    for one in found.differences:
        rates = (f"{one.a:.2f} %", f"{one.b:.2f} %", f"{one.difference:+.2f}", f"{one.low:+.2f} to {one.high:+.2f}")
        rows.append((MEASURES[one.name], *rates, f"{one.p_value:.2g}", f"{one.population:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for name, *cells in rows]
    ties = found.num_utterances - found.wins - found.losses
    counts = f"utterances: B has fewer word errors in {found.wins:,}, more in {found.losses:,}, as many in {ties:,}"
    return "\n".join([*lines, "", counts, "", verdict(found)])
