"""Contents of a report: scores, training curves, slices and utterances, read from the files of the other stages."""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.hypotheses.hypotheses import Hypothesis, read_hypotheses
from atc_asr.report.params import ReportFlags
from atc_asr.scoring.pairs import read_pairs
from atc_asr.wer.wer import ScoredPair, score_pair

HEADLINE_SCORES = ("wer", "cer", "sentence_error_rate", "callsign_accuracy", "critical_substitution_rate")
# The other scores are sorted by the end of their name, then by name.
ENDINGS = ("accuracy", "wer", "critical_substitution_rate")
LABELS = {
    "wer": "Word error rate",
    "cer": "Character error rate",
    "callsign_wer": "Callsign WER",
    "numeric_wer": "Numeric WER",
}
COUNTED = {"wer": "word", "cer": "character", "sentence_error_rate": "utterance"}
LEVEL_LABELS = {
    "raw": "as written",
    "normalized": "normalised",
    "digits_folded": "digits folded (NINER = 9)",
    "groups_folded": "groups folded (SIX EIGHTY SIX = SIX EIGHT SIX)",
}
SLICE_COLUMNS = ("slice", "group", "wer", "low", "high", "num_utterances")
# Title, label of the y axis, columns of the curves file.
CHARTS = (
    ("Loss", "CTC loss", ("train_loss", "valid_loss")),
    ("Word error rate", "WER, %", ("valid_wer",)),
    ("Learning rate", "learning rate", ("lr",)),
)
NUM_CONFUSIONS = 30
RUN_LABELS = {"model": "model", "dataset_part": "data", "epochs": "epochs", "git_commit": "commit"}
COMMIT_DIGITS = 10


@dataclass(frozen=True)
class Score:
    """A rate with its confidence interval.

    Attributes:
        label: name of the rate, or of the group of a slice.
        value: per cent; None for a group without reference words.
        low: lower end of the interval, per cent.
        high: upper end.
        count: denominator of the rate; for a group of a slice, its number of utterances.
        counted: noun for the count (word, character, utterance, occurrence).
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    count: int | None
    counted: str = "utterance"

    @property
    def interval(self) -> str:
        """`3.1 to 4.2`; empty without an interval."""
        return "" if self.low is None or self.high is None else f"{self.low:.1f} to {self.high:.1f}"

    @property
    def percent(self) -> str:
        """The value with one decimal."""
        return "–" if self.value is None else f"{self.value:.1f}"


@dataclass(frozen=True)
class Chart:
    """Training curves with a common axis; a value is None where the file has none."""

    title: str
    y_label: str
    epochs: tuple[float, ...]
    series: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Row:
    """An utterance, its hypothesis and their alignment."""

    utterance: Utterance
    hypothesis: Hypothesis
    scored: ScoredPair


@dataclass(frozen=True)
class Contents:
    """Contents of the page, the summary and the model card.

    Attributes:
        title: heading.
        subtitle: test set and run in short phrases; the first two are its utterances and hours.
        interval_name: `95 % interval`.
        headline: the most important scores.
        scorecard: all other scores.
        levels: (normalisation level, WER in per cent).
        slices: WER of the groups of each slice.
        charts: training curves.
        confusions: (reference word, hypothesis word, count), most frequent first.
        rows: utterances in the order of the manifest.
        run: the run's metrics.json; empty if it is not given.
    """

    title: str
    subtitle: tuple[str, ...]
    interval_name: str
    headline: tuple[Score, ...]
    scorecard: tuple[Score, ...]
    levels: tuple[tuple[str, float], ...]
    slices: Mapping[str, tuple[Score, ...]]
    charts: tuple[Chart, ...]
    confusions: tuple[tuple[str, str, int], ...]
    rows: tuple[Row, ...]
    run: Mapping[str, Any]


def read_contents(title: str, files: ReportFlags) -> Contents:
    """Read everything that the report shows.

    Raises:
        InputError: a file cannot be used, or an id is not in both manifest and hypotheses.
    """
    run = read_json(files.run_metrics) if files.run_metrics else {}
    scorecard = read_json(files.scorecard_file)
    scores = find_scores(scorecard)
    if not scores:
        raise InputError(
            f"{files.scorecard_file}: holds no score with its interval, wanted at least wer, wer_low and wer_high"
        )
    confidence = number(scorecard.get("confidence"))
    rows = read_rows(files.ref_manifest, files.hyp_file)
    return Contents(
        title=title,
        subtitle=make_subtitle(rows, run),
        interval_name="interval" if confidence is None else f"{confidence:g} % interval",
        headline=tuple(score for name, score in scores.items() if name in HEADLINE_SCORES),
        scorecard=tuple(score for name, score in scores.items() if name not in HEADLINE_SCORES),
        levels=find_levels(scorecard),
        slices=read_slices(files.slices_file) if files.slices_file else {},
        charts=read_charts(files.curves_file) if files.curves_file else (),
        confusions=count_confusions(rows),
        rows=rows,
        run=run,
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: the file cannot be read or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: got {type(content).__name__}, wanted an object of numbers")
    return content


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by `_`: `{"callsign": {"accuracy": 1}}` -> `{"callsign_accuracy": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}{key}_") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def number(value: Any) -> Any:
    """The value if it is a JSON number, else None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def find_scores(scorecard: Mapping[str, Any]) -> dict[str, Score]:
    """Every rate of a scorecard that has an interval (`x` with `x_low` and `x_high`), headline scores first."""
    flat = flatten(scorecard)
    names = [
        name for name in flat if f"{name}_low" in flat and f"{name}_high" in flat and number(flat[name]) is not None
    ]
    return {
        name: Score(
            label=LABELS.get(name, name.replace("_", " ").capitalize()),
            value=number(flat[name]),
            low=number(flat[f"{name}_low"]),
            high=number(flat[f"{name}_high"]),
            count=number(flat.get(f"{name}_population")),
            counted=COUNTED.get(name, "occurrence"),
        )
        for name in sorted(names, key=score_order)
    }


def score_order(name: str) -> tuple[int, int, str]:
    """Sort key of a score's name."""
    headline = HEADLINE_SCORES.index(name) if name in HEADLINE_SCORES else len(HEADLINE_SCORES)
    ending = next((place for place, ending in enumerate(ENDINGS) if name.endswith(ending)), len(ENDINGS))
    return headline, ending, name


def find_levels(scorecard: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """WER in per cent by normalisation level, in the levels' order."""
    rates = scorecard.get("levels") or {}
    return tuple((label, rates[name]) for name, label in LEVEL_LABELS.items() if number(rates.get(name)) is not None)


def read_table(path: Path, required: Sequence[str], numeric: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of a CSV; numeric columns that the file has are converted to float, an empty cell to None.

    Raises:
        InputError: the file cannot be read, lacks a required column, or has a row that cannot be used.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in required if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}:1: has no column {', '.join(missing)}")
            return [convert_row(row, numeric, f"{path}:{reader.line_num}") for row in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV in UTF-8: {error}") from error


def convert_row(row: Mapping[str, str], numeric: Iterable[str], where: str) -> dict[str, Any]:
    """A CSV row with its numeric columns as float.

    Raises:
        InputError: the row has another number of cells than the header, or a cell is not a finite number.
    """
    if None in row or None in row.values():
        raise InputError(f"{where}: got another number of cells than the header has")
    converted: dict[str, Any] = dict(row)
    for name in row.keys() & numeric:
        text = row[name].strip()
        try:
            converted[name] = float(text) if text else None
        except ValueError:
            converted[name] = math.nan
        if text and not math.isfinite(converted[name]):
            raise InputError(f"{where}: {name} is {text!r}, wanted a number")
    return converted


def read_slices(path: Path) -> dict[str, tuple[Score, ...]]:
    """WER of the groups of each slice.

    Raises:
        InputError: the file cannot be used.
    """
    slices: dict[str, tuple[Score, ...]] = {}
    for row in read_table(path, SLICE_COLUMNS, SLICE_COLUMNS[2:]):
        count = None if row["num_utterances"] is None else int(row["num_utterances"])
        group = Score(row["group"], row["wer"], row["low"], row["high"], count)
        slices[row["slice"]] = (*slices.get(row["slice"], ()), group)
    return slices


def read_charts(path: Path) -> tuple[Chart, ...]:
    """Charts of the training curves, one for each of `CHARTS` of which the file has a column.

    Raises:
        InputError: the file cannot be used.
    """
    rows = read_table(path, ("epoch",), ["epoch", *(name for _, _, names in CHARTS for name in names)])
    epochs = tuple(row["epoch"] or 0.0 for row in rows)
    charts = []
    for title, y_label, names in CHARTS:
        series = {name: tuple(row[name] for row in rows) for name in names if rows and name in rows[0]}
        if series:
            charts.append(Chart(title, y_label, epochs, series))
    return tuple(charts)


def read_rows(ref_manifest: Iterable[Path], hyp_file: Path) -> tuple[Row, ...]:
    """Utterances with their hypotheses, both normalised and aligned as `stages.score` does.

    Raises:
        InputError: a file cannot be used, or an id is not in both.
    """
    corpus = read_pairs(ref_manifest, hyp_file, normalize_hypotheses=True)
    by_id = {hypothesis.id: hypothesis for hypothesis in read_hypotheses(hyp_file)}
    return tuple(
        Row(utterance, by_id[utterance.id], score_pair(pair))
        for utterance, pair in zip(corpus.utterances, corpus.pairs, strict=True)
    )


def count_confusions(rows: Iterable[Row]) -> tuple[tuple[str, str, int], ...]:
    """The most frequent substitutions: reference word, hypothesis word, count."""
    counts = Counter(
        (str(step.ref), str(step.hyp)) for row in rows for step in row.scored.steps if step.operation == "substitute"
    )
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple((ref, hyp, count) for (ref, hyp), count in ranked[:NUM_CONFUSIONS])


def make_subtitle(rows: Sequence[Row], run: Mapping[str, Any]) -> tuple[str, ...]:
    """Size of the test set, and model, data, epochs and commit of the run where they are known."""
    hours = sum(row.utterance.duration for row in rows) / 3600
    known = {**run, "git_commit": shorten_commit(str(run.get("git_commit") or ""))}
    about_run = [
        f"{label} {str(known[key])[:60]}" for key, label in RUN_LABELS.items() if known.get(key) not in (None, "")
    ]
    return (f"{len(rows):,} utterances", f"{hours:.2f} hours", *about_run)


def shorten_commit(commit: str) -> str:
    """`0123456789abcdef…-dirty` -> `0123456789-dirty`."""
    name, dash, state = commit.partition("-")
    return f"{name[:COMMIT_DIGITS]}{dash}{state}"
