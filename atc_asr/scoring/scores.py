"""The scores of a corpus as files hold them: numbers for DVC's metrics, tables for its plots."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atc_asr.scoring import atc, sclite, slices
from atc_asr.scoring.bootstrap import Interval, Rate, make_rate
from atc_asr.wer import wer

SLICE_COLUMNS = ("slice", "group", "wer", "low", "high", "num_utterances", "num_words")
CONFUSION_COLUMNS = ("ref", "hyp")
WORD_COLUMNS = ("word", "count", "recall", "substitutions", "deletions", "confused_with")
CONFUSIONS_LISTED = 5

FRACTIONS: dict[str, Callable[[wer.ScoredPair], tuple[int, int]]] = {
    "wer": lambda one: (one.words.errors, one.words.ref_length),
    "cer": lambda one: (one.characters.errors, one.characters.ref_length),
    "sentence_error_rate": lambda one: (one.words.errors > 0, 1),
}


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
