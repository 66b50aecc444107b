"""All scores of a corpus: error rates with intervals, slots, normalisation levels, slices and words.

Utterances are scored in parts, on all processor cores. The scores of a part add up to those of the corpus, and its
alignments are written before those of the next part: memory holds a few numbers of every utterance.
"""

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.core import workers
from atc_asr.scoring import bootstrap, sclite, slices
from atc_asr.scoring.bootstrap import Interval, Rate, Resampling, make_rate
from atc_asr.scoring.levels import count_levels
from atc_asr.scoring.pairs import PairedCorpus, read_groups, rows_by_corpus
from atc_asr.scoring.params import ScoreParams
from atc_asr.scoring.slot_scores import count_slots, read_callsigns, score_slots, slot_rates
from atc_asr.tracking.record import rounded
from atc_asr.wer.wer import (
    Counts,
    Pair,
    ScoredPair,
    count_corpus,
    count_edits,
    format_alignment,
    score_pair,
    summarize,
)

SLICE_COLUMNS = ("slice", "group", "wer", "low", "high", "num_utterances", "num_words")
CONFUSION_COLUMNS = ("ref", "hyp")
WORD_COLUMNS = ("word", "count", "recall", "substitutions", "deletions", "confused_with")
MAX_CONFUSED_WORDS = 30
CONFUSIONS_PER_WORD = 5
PAIRS_PER_PART = 4000  # starting a process takes as long as scoring a thousand pairs

# The metrics file: short name -> name in the scorecard.
METRICS = {
    "wer": "wer",
    "wer_low": "wer_low",
    "wer_high": "wer_high",
    "greedy_wer": "greedy_wer",
    "cer": "cer",
    "ser": "sentence_error_rate",
    "callsign": "callsign.accuracy",
    "slots": "slot_accuracy",
    "critical": "critical_substitution_rate",
    "utterances": "num_utterances",
}
# The rates of every corpus of several.
CORPUS_RATES = (
    "wer", "cer", "sentence_error_rate", "callsign.accuracy", "slot_accuracy", "critical_substitution_rate",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CorpusScores:
    """The scores of a corpus, ready to write.

    Attributes:
        metrics: the numbers of `METRICS`.
        corpora: `wer`, a number for every named corpus, or one number where no corpus has a name.
        scorecard: all numbers, nested by slot kind; rates in per cent with `_low`, `_high` and `_population`. The rates
            of named corpora are in `corpora`.
        slices: the table of WER by slice; every table begins with its column names.
        confusions: the table of substitutions among the most confused words.
        words: the table of recall by word.
    """

    metrics: dict[str, Any]
    corpora: dict[str, Any]
    scorecard: dict[str, Any]
    slices: list[tuple]
    confusions: list[tuple]
    words: list[tuple]


@dataclasses.dataclass(frozen=True)
class Totals:
    """Scores that add up over the parts of a corpus.

    Attributes:
        rates: WER, CER, sentence error rate, and the rates of slots.
        counts: counts of `summarize`.
        slots: counts of `count_slots`.
        levels: words by level of normalisation, and by the rules of sclite.
        words: counts of `slices.count_words`.
    """

    rates: list[Rate]
    counts: Counter[str]
    slots: Counter[str]
    levels: dict[str, Counts]
    words: dict[str, Counter[str | None]]


def score_corpus(
    corpus: PairedCorpus, params: ScoreParams, alignments: TextIO | None, *, with_slices: bool
) -> CorpusScores:
    """Score a corpus and write its alignments.

    `with_slices` computes WER by slice, which reads the audio with `params.estimate_snr`.

    Raises:
        InputError: a column of `params` is not in the manifest, or audio cannot be read.
    """
    resampling = Resampling(params.resamples, params.confidence, read_groups(corpus.utterances, params.group_column))
    totals = score_pairs(corpus, params, alignments)
    wer, _, _, *by_slot = totals.rates
    parts = slices.make_slices(params, corpus.utterances, wer.denominators.tolist()) if with_slices else []
    by_slice = slices.slice_rates(wer, parts)
    by_corpus = corpus_rates(totals.rates, rows_by_corpus(corpus.utterances))
    parts_of = [*(rate for rate, _ in by_slice.values()), *by_corpus.values()]
    intervals = bootstrap.intervals([*totals.rates, *greedy_rate(corpus.greedy), *parts_of], resampling)
    slot_names = {rate.name for rate in by_slot}
    for rate in (*by_slot, *(rate for (_, name), rate in by_corpus.items() if name in slot_names)):
        intervals[rate.name] = bootstrap.widen_degenerate(intervals[rate.name], rate, resampling)
    slice_rows = [_slice_row(key, intervals.pop(rate.name), size) for key, (rate, size) in by_slice.items()]
    corpora: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for (name, rate_name), rate in by_corpus.items():
        corpora[name] |= _interval_numbers({rate_name: intervals.pop(rate.name)})
    sclite_counts = totals.levels.pop("sclite")
    scorecard = {
        **summarize(totals.counts),
        **_interval_numbers(intervals),
        **totals.slots,
        **{f"levels.{level}": counts.rate for level, counts in totals.levels.items()},
        "sclite.wer": sclite_counts.rate,
        **{f"sclite.{name}": getattr(sclite_counts, name) for name in ("insertions", "deletions", "substitutions")},
        "confidence": params.confidence,
    }
    words = slices.most_errors_first(totals.words)
    wer_of = {name: rounded(numbers["wer"]) for name, numbers in corpora.items()}
    nested = {"corpora": {name: _nest(numbers) for name, numbers in corpora.items()}} if corpora else {}
    return CorpusScores(
        metrics={short: rounded(scorecard[name]) for short, name in METRICS.items() if name in scorecard},
        corpora={"wer": wer_of or rounded(scorecard["wer"])},
        scorecard=_nest(scorecard) | nested,
        slices=[SLICE_COLUMNS, *slice_rows],
        confusions=[CONFUSION_COLUMNS, *slices.list_confusions(words, MAX_CONFUSED_WORDS)],
        words=[WORD_COLUMNS, *(_word_row(word, recognised) for word, recognised in words.items())],
    )


def corpus_rates(rates: Sequence[Rate], corpora: Mapping[str, np.ndarray]) -> dict[tuple[str, str], Rate]:
    """(corpus, name) -> rate: the `CORPUS_RATES` of every corpus, given by its rows, from those of all utterances."""
    chosen = [rate for rate in rates if rate.name in CORPUS_RATES]
    return {
        (corpus, rate.name): Rate(f"{rate.name} of {corpus}", rate.numerators[rows], rate.denominators[rows], rows)
        for corpus, rows in corpora.items()
        for rate in chosen
    }


def score_pairs(corpus: PairedCorpus, params: ScoreParams, alignments: TextIO | None = None) -> Totals:
    """Score every utterance; write the alignments, in order.

    Raises:
        InputError: the column `params.callsign_column` is not in the manifest.
    """
    callsigns = read_callsigns(corpus, params.callsign_column)
    load_operators(params.operators)  # raises its errors here, not in a process
    bounds = range(0, max(1, len(corpus.pairs)), PAIRS_PER_PART)
    options = (params.operators, alignments is not None)
    tasks = [
        (corpus.pairs[part], corpus.written[part], callsigns and callsigns[part], *options)
        for part in (slice(start, start + PAIRS_PER_PART) for start in bounds)
    ]
    rates: list[list[Rate]] = []
    totals = Totals([], Counter(), Counter(), defaultdict(Counts), defaultdict(Counter))
    for part, text in workers.map_in_order(_score_part, tasks, workers.available_cores()):
        if alignments is not None:
            alignments.write(text)
        rates.append(part.rates)
        totals.counts.update(part.counts)
        totals.slots.update(part.slots)
        for level, counts in part.levels.items():
            totals.levels[level] += counts
        for word, recognised in part.words.items():
            totals.words[word].update(recognised)
    totals.rates.extend(_join(same) for same in zip(*rates, strict=True))
    return totals


def _score_part(
    task: tuple[Sequence[Pair], Sequence[Pair], Sequence[str] | None, str | None, bool],
) -> tuple[Totals, str]:
    """Scores and, if asked for, alignments of normalised pairs, as-written pairs and true call signs."""
    pairs, written, callsigns, operators, with_alignments = task
    scored = [score_pair(pair) for pair in pairs]
    known = load_operators(operators)
    given: Sequence[str | None] = callsigns or [None] * len(scored)
    slots = [score_slots(item, true, known) for item, true in zip(scored, given, strict=True)]
    totals = Totals(
        rates=[_as_integers(rate) for rate in (*error_rates(scored), *slot_rates(slots))],
        counts=count_corpus(scored),
        slots=Counter(count_slots(slots)),
        levels={**count_levels(written), "sclite": sclite.count_corpus(scored)},
        words=slices.count_words(scored),
    )
    return totals, "".join(f"{format_alignment(item)}\n\n" for item in scored) if with_alignments else ""


def _as_integers(rate: Rate) -> Rate:
    """A rate of counts in half of the memory."""
    return Rate(rate.name, rate.numerators.astype(np.int32), rate.denominators.astype(np.int32))


def _join(parts: Sequence[Rate]) -> Rate:
    """The rate of a corpus from those of its parts."""
    numerators, denominators = ([getattr(part, side) for part in parts] for side in ("numerators", "denominators"))
    return Rate(parts[0].name, np.concatenate(numerators), np.concatenate(denominators))


def error_rates(scored: Sequence[ScoredPair]) -> list[Rate]:
    """WER, CER and sentence error rate over the utterances whose references have words."""
    pairs = [(item.words, item.characters) if item.words.ref_length else (Counts(), Counts()) for item in scored]
    return [
        make_rate("wer", [(words.errors, words.ref_length) for words, _ in pairs]),
        make_rate("cer", [(characters.errors, characters.ref_length) for _, characters in pairs]),
        make_rate("sentence_error_rate", [(words.errors > 0, words.ref_length > 0) for words, _ in pairs]),
    ]


def greedy_rate(pairs: Sequence[Pair]) -> list[Rate]:
    """WER of the greedy texts; nothing without them."""
    refs = [pair.ref.split() for pair in pairs]
    counts = [count_edits(ref, pair.hyp.split()) if ref else Counts() for ref, pair in zip(refs, pairs, strict=True)]
    return [make_rate("greedy_wer", [(one.errors, one.ref_length) for one in counts])] if pairs else []


def _interval_numbers(intervals: Mapping[str, Interval]) -> dict[str, float | int | None]:
    suffixes = {"rate": "", "low": "_low", "high": "_high", "population": "_population"}
    fields = itertools.product(intervals.items(), suffixes.items())
    return {f"{name}{suffix}": getattr(interval, field) for (name, interval), (field, suffix) in fields}


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        parent, _, name = path.rpartition(".")
        (nested.setdefault(parent, {}) if parent else nested)[name] = value
    return nested


def _slice_row(key: tuple[str, str], interval: Interval, num_utterances: int) -> tuple:
    rates = ("" if rate is None else f"{rate:.4f}" for rate in (interval.rate, interval.low, interval.high))
    return (*key, *rates, num_utterances, interval.population)


def _word_row(word: str, recognised: Counter[str | None]) -> tuple:
    count, hits, deletions = recognised.total(), recognised[word], recognised[None]
    confusions = sorted(slices.confusions_of(word, recognised).items(), key=lambda item: (-item[1], item[0]))
    confused = " ".join(f"{other}:{times}" for other, times in confusions[:CONFUSIONS_PER_WORD])
    return word, count, f"{100.0 * hits / count:.2f}", count - hits - deletions, deletions, confused
