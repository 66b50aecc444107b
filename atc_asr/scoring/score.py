"""All scores of a corpus: error rates with intervals, slots, normalisation levels, slices and words."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from atc_asr.scoring import bootstrap, sclite, slices
from atc_asr.scoring.bootstrap import Interval, Rate, Resampling, make_rate
from atc_asr.scoring.levels import wer_by_level
from atc_asr.scoring.pairs import PairedCorpus, read_column, read_groups
from atc_asr.scoring.params import ScoreParams
from atc_asr.scoring.slot_scores import SlotScores, count_slots, score_slots, slot_rates
from atc_asr.wer.wer import Counts, ScoredPair, score_pair, summarize

SLICE_COLUMNS = ("slice", "group", "wer", "low", "high", "num_utterances", "num_words")
CONFUSION_COLUMNS = ("ref", "hyp")
WORD_COLUMNS = ("word", "count", "recall", "substitutions", "deletions", "confused_with")
MAX_CONFUSED_WORDS = 30
CONFUSIONS_PER_WORD = 5

# The metrics file: short name -> name in the scorecard.
METRICS = {
    "wer": "wer",
    "wer_low": "wer_low",
    "wer_high": "wer_high",
    "cer": "cer",
    "ser": "sentence_error_rate",
    "callsign": "callsign.accuracy",
    "slots": "slot_accuracy",
    "critical": "critical_substitution_rate",
    "words": "num_ref_words",
    "utterances": "num_utterances",
}


@dataclasses.dataclass(frozen=True)
class CorpusScores:
    """The scores of a corpus, ready to write.

    Attributes:
        scored: every utterance with its alignment.
        metrics: the numbers of `METRICS`.
        scorecard: all numbers, nested by slot kind; rates in per cent with `_low`, `_high` and `_population`.
        slices: the table of WER by slice; every table begins with its column names.
        confusions: the table of substitutions among the most confused words.
        words: the table of recall by word.
    """

    scored: list[ScoredPair]
    metrics: dict[str, Any]
    scorecard: dict[str, Any]
    slices: list[tuple]
    confusions: list[tuple]
    words: list[tuple]


def score_corpus(corpus: PairedCorpus, params: ScoreParams, *, with_slices: bool) -> CorpusScores:
    """Score a corpus; `with_slices` computes WER by slice, which reads the audio with `params.estimate_snr`.

    Raises:
        InputError: a column of `params` is not in the manifest, or audio cannot be read.
    """
    resampling = Resampling(params.resamples, params.confidence, read_groups(corpus.utterances, params.group_column))
    scored, slots = score_pairs(corpus, params)
    parts = slices.make_slices(params, corpus.utterances, scored) if with_slices else []
    by_slice = slices.slice_rates(scored, parts)
    by_slot = slot_rates(slots)
    slice_wers = [rate for rate, _ in by_slice.values()]
    intervals = bootstrap.intervals([*error_rates(scored), *by_slot, *slice_wers], resampling)
    for rate in by_slot:
        intervals[rate.name] = bootstrap.widen_degenerate(intervals[rate.name], rate, resampling)
    slice_rows = [_slice_row(key, intervals.pop(rate.name), size) for key, (rate, size) in by_slice.items()]
    sclite_counts = sclite.count_corpus(scored)
    scorecard = {
        **summarize(scored),
        **_interval_numbers(intervals),
        **count_slots(slots),
        **{f"levels.{level}": rate for level, rate in wer_by_level(corpus.written).items()},
        "sclite.wer": sclite_counts.rate,
        **{f"sclite.{name}": getattr(sclite_counts, name) for name in ("insertions", "deletions", "substitutions")},
        "confidence": params.confidence,
    }
    words = slices.count_words(scored)
    return CorpusScores(
        scored=scored,
        metrics={short: scorecard[name] for short, name in METRICS.items()},
        scorecard=_nest(scorecard),
        slices=[SLICE_COLUMNS, *slice_rows],
        confusions=[CONFUSION_COLUMNS, *slices.list_confusions(words, MAX_CONFUSED_WORDS)],
        words=[WORD_COLUMNS, *(_word_row(word, recognised) for word, recognised in words.items())],
    )


def score_pairs(corpus: PairedCorpus, params: ScoreParams) -> tuple[list[ScoredPair], list[SlotScores]]:
    """Alignments and slot scores of every utterance.

    Raises:
        InputError: the column `params.callsign_column` is not in the manifest.
    """
    callsigns = read_column(corpus.utterances, params.callsign_column, "score.callsign_column")
    scored = [score_pair(pair) for pair in corpus.pairs]
    return scored, list(map(score_slots, scored, callsigns or itertools.repeat(None)))


def error_rates(scored: Sequence[ScoredPair]) -> list[Rate]:
    """WER, CER and sentence error rate over the utterances whose references have words."""
    pairs = [(item.words, item.characters) if item.words.ref_length else (Counts(), Counts()) for item in scored]
    return [
        make_rate("wer", [(words.errors, words.ref_length) for words, _ in pairs]),
        make_rate("cer", [(characters.errors, characters.ref_length) for _, characters in pairs]),
        make_rate("sentence_error_rate", [(words.errors > 0, words.ref_length > 0) for words, _ in pairs]),
    ]


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
