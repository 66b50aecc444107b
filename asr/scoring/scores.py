"""The scores of a corpus as files hold them: numbers for DVC's metrics, tables for its plots."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from asr.params import option
from asr.scoring import atc, sclite, slices, wer
from asr.scoring.bootstrap import Interval, Rate, make_rate

SLICE_COLUMNS = ("slice", "group", "wer", "low", "high", "num_utterances", "num_words")
CONFUSION_COLUMNS = ("ref", "hyp")
WORD_COLUMNS = ("word", "count", "recall", "substitutions", "deletions", "confused_with")
CONFUSIONS_LISTED = 5

FRACTIONS: dict[str, Callable[[wer.ScoredPair], tuple[int, int]]] = {
    "wer": lambda one: (one.words.errors, one.words.ref_length),
    "cer": lambda one: (one.characters.errors, one.characters.ref_length),
    "sentence_error_rate": lambda one: (one.words.errors > 0, 1),
}


@dataclass(frozen=True)
class ScoreParams:
    """What is counted, how it is divided, and how wide the error bars are."""

    section: ClassVar[str] = "score"
    resamples: int = option("bootstrap resamples of the test set", low=100)
    confidence: float = option("per cent covered by an interval", above=0, high=99.9)
    seed: int = option("of the bootstrap's random draws", low=0)
    group_column: str | None = option(
        "manifest column whose groups are resampled whole: speaker, tape; null = utterances"
    )
    callsign_column: str | None = option(
        "manifest column with the true callsign in ICAO form; null = read the reference"
    )
    normalize_hypotheses: bool = option(
        "normalise hypotheses of other recognisers; false refuses what is not normalised"
    )
    duration_edges: list[float] = option("edges of the duration slices, seconds", above=0)
    rate_edges: list[float] = option("edges of the speaking-rate slices, words a minute", above=0)
    snr_edges: list[float] = option("edges of the slices by estimated signal-to-noise ratio, dB")
    estimate_snr: bool = option("read the audio for slices by signal-to-noise ratio")
    slice_columns: list[str] = option("manifest columns to slice by, where present")
    confused_words: int = option("words in the confusion table", low=2)


def error_rates(scored: Sequence[wer.ScoredPair]) -> list[Rate]:
    """WER, CER and sentence error rate of utterances whose references have words."""
    return [
        make_rate(name, [fraction(one) if one.words.ref_length else (0, 0) for one in scored])
        for name, fraction in FRACTIONS.items()
    ]


def interval_metrics(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    """`a.b` with its interval and population as `{"a": {"b": …, "b_low": …, "b_high": …, "b_population": …}}`."""
    found: dict[str, Any] = {}
    for path, interval in intervals.items():
        *parents, name = path.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place |= {
            name: interval.rate,
            f"{name}_low": interval.low,
            f"{name}_high": interval.high,
            f"{name}_population": interval.population,
        }
    return found


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings in one; of a number that both have the second's is kept."""
    merged = dict(first)
    for key, value in second.items():
        merged[key] = merge(merged[key], value) if isinstance(value, Mapping) and key in merged else value
    return merged


def make_metrics(
    scored: Sequence[wer.ScoredPair], cards: Sequence[atc.Card], intervals: Mapping[str, Interval], ladder: Mapping
) -> dict[str, Any]:
    """All numbers of a corpus, rates in per cent; `sclite` counts by the rules of that program."""
    metrics = merge(wer.summarize(scored), interval_metrics(intervals))
    by_sclite = sclite.count_corpus(scored)
    return merge(metrics, atc.count_slots(cards)) | {
        "ladder": dict(ladder),
        "sclite": {
            "wer": by_sclite.rate,
            "insertions": by_sclite.insertions,
            "deletions": by_sclite.deletions,
            "substitutions": by_sclite.substitutions,
        },
    }


def slice_rows(intervals: Mapping[tuple[str, str], Interval], sizes: Mapping[tuple[str, str], int]) -> list[tuple]:
    """Rows of `SLICE_COLUMNS`."""
    return [
        (*key, *map(_cell, (interval.rate, interval.low, interval.high)), sizes[key], interval.population)
        for key, interval in intervals.items()
    ]


def _cell(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.4f}"


def word_rows(words: Iterable[slices.WordScore]) -> list[tuple]:
    """Rows of `WORD_COLUMNS`."""
    return [
        (
            word.word,
            word.count,
            f"{word.recall:.2f}",
            word.substitutions,
            word.deletions,
            " ".join(f"{other}:{times}" for other, times in word.confusions[:CONFUSIONS_LISTED]),
        )
        for word in words
    ]


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV with a header."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
