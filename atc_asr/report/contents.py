"""What a report says: scores, curves, slices and utterances, from the files the other stages wrote."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.hypotheses.hypotheses import Hypothesis, read_hypotheses
from atc_asr.scoring.levels import LEVELS
from atc_asr.scoring.pairs import read_pairs
from atc_asr.wer.wer import ScoredPair, score_pair

# The order of the scorecard: by the end of the name, then by name.
ENDINGS = ("accuracy", "wer", "critical_substitution_rate")
HEADLINES = ("wer", "cer", "sentence_error_rate", "callsign_accuracy", "critical_substitution_rate")
LABELS = {
    "wer": "Word error rate",
    "cer": "Character error rate",
    "sentence_error_rate": "Sentence error rate",
    "callsign_wer": "Callsign WER",
    "numeric_wer": "Numeric WER",
}
# What a rate is counted over, where the metrics file has the count under another name than `<rate>_population`.
POPULATIONS = {"wer": "num_ref_words", "cer": "num_ref_characters", "sentence_error_rate": "num_utterances"}
COMMIT_DIGITS = 10
UNITS = {"wer": "word", "cer": "character", "sentence_error_rate": "utterance"}
SLICE_COLUMNS = ("slice", "group", "wer", "low", "high", "num_utterances")
# Curves that share an axis: title, unit of the axis, columns of the curve file.
CHARTS = (
    ("Loss", "CTC loss", ("train_loss", "valid_loss")),
    ("Word error rate", "WER, %", ("valid_wer",)),
    ("Learning rate", "learning rate", ("lr",)),
)


@dataclass(frozen=True)
class Figure:
    """A rate in per cent with its interval and what it is counted over."""

    name: str
    label: str
    value: float
    low: float | None
    high: float | None
    population: int | None
    unit: str


@dataclass(frozen=True)
class SliceFigure:
    """WER of one group of a slice, in per cent."""

    slice: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    population: int | None


@dataclass(frozen=True)
class Chart:
    """Curves over the same steps; a value is None where the file has none."""

    title: str
    x: tuple[float, ...]
    x_label: str
    y_label: str
    series: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Row:
    """An utterance with what was recognised."""

    utterance: Utterance
    hypothesis: Hypothesis
    scored: ScoredPair


@dataclass(frozen=True)
class Contents:
    """All that page, summary and card are made from."""

    title: str
    interval_name: str  # `95 % interval`
    facts: tuple[str, ...]
    headline: tuple[Figure, ...]
    scorecard: tuple[Figure, ...]
    slices: tuple[SliceFigure, ...]
    charts: tuple[Chart, ...]
    ladder: tuple[tuple[str, float], ...]
    confusions: tuple[tuple[str, str, int], ...]
    rows: tuple[Row, ...]


def read_object(path: Path) -> dict[str, Any]:
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
    """Nested numbers under names joined by `_`: `{"callsign": {"accuracy": 1}}` -> `{"callsign_accuracy": 1}`."""
    flat = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}_")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def number(value: Any) -> float | None:
    """A JSON value as a number, None for everything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def find_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """Every rate of a metrics file that has an interval beside it: `x` with `x_low` and `x_high`, headlines first."""
    flat = flatten(metrics)
    names = [
        name for name in flat if f"{name}_low" in flat and f"{name}_high" in flat and number(flat[name]) is not None
    ]
    figures = []
    for name in sorted(names, key=figure_place):
        population = number(flat.get(f"{name}_population", flat.get(POPULATIONS.get(name, ""))))
        figures.append(
            Figure(
                name=name,
                label=LABELS.get(name, name.replace("_", " ").capitalize()),
                value=number(flat[name]),
                low=number(flat[f"{name}_low"]),
                high=number(flat[f"{name}_high"]),
                population=None if population is None else int(population),
                unit=UNITS.get(name, "occurrence"),
            )
        )
    return figures


def name_interval(metrics: Mapping[str, Any]) -> str:
    """What the intervals of a metrics file are called: with their confidence, if the file has it."""
    confidence = number(metrics.get("confidence"))
    return "interval" if confidence is None else f"{confidence:g} % interval"


def figure_place(name: str) -> tuple[int, int, str]:
    """Where a figure stands: headlines first, then by what is counted."""
    headline = HEADLINES.index(name) if name in HEADLINES else len(HEADLINES)
    ending = next((place for place, ending in enumerate(ENDINGS) if name.endswith(ending)), len(ENDINGS))
    return headline, ending, name


def read_table(path: Path, wanted: Iterable[str]) -> list[dict[str, str]]:
    """Lines of a CSV that has at least the wanted columns.

    Raises:
        InputError: the file cannot be read, lacks a column, or has a line of another width.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}:1: has no column {', '.join(missing)}")
            lines = []
            for line in reader:
                if None in line or None in line.values():
                    raise InputError(f"{path}:{reader.line_num}: got another number of cells than the header has")
                lines.append(line)
            return lines
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV in UTF-8: {error}") from error


def cell(line: Mapping[str, str], name: str, where: str) -> float | None:
    """A number of a CSV line, None for an empty cell.

    Raises:
        InputError: the cell holds something else.
    """
    text = line[name]
    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise InputError(f"{where}: {name} is {text!r}, wanted a number") from error


def read_slices(path: Path) -> list[SliceFigure]:
    """WER by slice.

    Raises:
        InputError: the file cannot be used.
    """
    found = []
    for place, line in enumerate(read_table(path, SLICE_COLUMNS), start=2):
        value, low, high, population = (cell(line, name, f"{path}:{place}") for name in SLICE_COLUMNS[2:])
        found.append(
            SliceFigure(line["slice"], line["group"], value, low, high, None if population is None else int(population))
        )
    return found


def read_curves(path: Path) -> list[Chart]:
    """Charts of a training's curves, those whose columns the file has.

    Raises:
        InputError: the file cannot be used.
    """
    lines = read_table(path, ("epoch",))
    if not lines:
        return []
    columns = {
        name: tuple(cell(line, name, f"{path}:{place}") for place, line in enumerate(lines, start=2))
        for name in lines[0]
    }
    epochs = tuple(epoch or 0.0 for epoch in columns["epoch"])
    charts = []
    for title, axis, names in CHARTS:
        series = {name: columns[name] for name in names if name in columns}
        if series:
            charts.append(Chart(title, epochs, "epoch", axis, series))
    return charts


def confused_words(rows: Iterable[Row], count: int) -> list[tuple[str, str, int]]:
    """The most frequent substitutions: reference word, word recognised instead, times."""
    pairs = Counter((step.ref, step.hyp) for row in rows for step in row.scored.steps if step.operation == "substitute")
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(ref, hyp, times) for (ref, hyp), times in ranked[:count]]


def read_rows(ref_manifest: Iterable[Path], hyp_file: Path) -> list[Row]:
    """Utterances with their hypotheses, aligned as they were scored: both normalised.

    Raises:
        InputError: a file cannot be used, or an id has no partner.
    """
    corpus = read_pairs(ref_manifest, hyp_file, normalize_hypotheses=True)
    by_id = {hypothesis.id: hypothesis for hypothesis in read_hypotheses(hyp_file)}
    return [
        Row(utterance, by_id[utterance.id], score_pair(pair))
        for utterance, pair in zip(corpus.utterances, corpus.pairs, strict=True)
    ]


def read_ladder(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """WER in per cent by rung of the normalisation ladder, as the metrics file has it."""
    ladder = metrics.get("ladder")
    rungs = ladder.items() if isinstance(ladder, Mapping) else ()
    return [
        (name.replace("_", " "), number(rate))
        for name, rate in sorted(rungs, key=rung_place)
        if number(rate) is not None
    ]


def rung_place(rung: tuple[str, Any]) -> tuple[int, str]:
    """A rung's place on the ladder: the file is sorted by name."""
    known = list(LEVELS)
    return (known.index(rung[0]) if rung[0] in known else len(known), rung[0])


def facts_of(rows: Sequence[Row], run: Mapping[str, Any]) -> list[str]:
    """What the numbers were taken on, in a few words each.

    Args:
        rows: the utterances.
        run: the run's own `metrics.json`; empty when it is not known.
    """
    hours = sum(row.utterance.duration for row in rows) / 3600
    facts = [f"{len(rows):,} utterances", f"{hours:.2f} hours"]
    known = dict(run) | {"git_commit": shorten_commit(str(run.get("git_commit") or ""))}
    for key, label in (("model", "model"), ("dataset_part", "data"), ("epochs", "epochs"), ("git_commit", "commit")):
        if known.get(key) not in (None, ""):
            facts.append(f"{label} {str(known[key])[:60]}")
    return facts


def shorten_commit(commit: str) -> str:
    """`0123456789abcdef…-dirty` as people write it: `0123456-dirty`."""
    name, dash, state = commit.partition("-")
    return f"{name[:COMMIT_DIGITS]}{dash}{state}"
