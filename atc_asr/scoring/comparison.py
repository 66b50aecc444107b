"""Comparison of two recognisers on the same utterances, with a significance test."""

import dataclasses
from collections.abc import Mapping, Sequence

from atc_asr.scoring.bootstrap import Difference, Rate, Resampling, paired_difference
from atc_asr.scoring.pairs import PairedCorpus, read_groups, rows_by_corpus
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
    `corpora` compares the WER of every corpus, where there are several.
    """

    differences: tuple[Difference, ...]
    wins: int
    losses: int
    num_utterances: int
    confidence: float
    corpora: Mapping[str, "Comparison"] = dataclasses.field(default_factory=dict)


def compare(a: PairedCorpus, b: PairedCorpus, params: ScoreParams) -> Comparison:
    """Compare the hypotheses of two recognisers for the same manifest.

    Raises:
        InputError: a column of `params` is not in the manifest.
    """
    groups = read_groups(a.utterances, params.group_column)
    rates_a, rates_b = ({rate.name: rate for rate in score_pairs(side, params).rates} for side in (a, b))
    found = _compare_rates([(rates_a[name], rates_b[name]) for name in MEASURES], groups, params)
    corpora = rows_by_corpus(a.utterances)
    if len(corpora) < 2:
        return found
    by_corpus = {
        name: _compare_rates(
            [(rates_a["wer"].take(rows), rates_b["wer"].take(rows))], groups and [groups[row] for row in rows], params
        )
        for name, rows in corpora.items()
    }
    return dataclasses.replace(found, corpora=by_corpus)


def _compare_rates(pairs: Sequence[tuple[Rate, Rate]], groups: Sequence[str] | None, params: ScoreParams) -> Comparison:
    """Compare rates of A and B, of which the first is the WER; `groups` are the bootstrap groups of the utterances."""
    resampling = Resampling(params.resamples, params.confidence, groups)
    wer_a, wer_b = pairs[0]
    margins = wer_b.numerators - wer_a.numerators
    return Comparison(
        differences=tuple(paired_difference(a, b, resampling) for a, b in pairs if a.denominators.sum()),
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
    """The comparison as a table, followed by the verdict, and by the verdicts of the corpora."""
    rows = [("", "A", "B", "B - A", f"{found.confidence:g} % interval", "p", "population")]
    for one in found.differences:
        rates = (f"{one.a:.2f} %", f"{one.b:.2f} %", f"{one.difference:+.2f}", f"{one.low:+.2f} to {one.high:+.2f}")
        rows.append((MEASURES[one.name], *rates, f"{one.p_value:.2g}", f"{one.population:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for name, *cells in rows]
    ties = found.num_utterances - found.wins - found.losses
    counts = f"utterances: B has fewer word errors in {found.wins:,}, more in {found.losses:,}, as many in {ties:,}"
    lines += ["", counts, "", verdict(found)]
    if found.corpora:
        note = f"{len(found.corpora)} comparisons, each with a {found.confidence:g} % interval of its own"
        lines += ["", f"by corpus, WER: {note}, not corrected for their number:"]
        lines += [f"{name}: {verdict(one)}" for name, one in found.corpora.items()]
    return "\n".join(lines)
