"""Contents of a report: scores, training curves, slices and utterances, read from the files of the other stages."""

import contextlib
import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atc_asr.core.documents import read_json
from atc_asr.core.errors import InputError
from atc_asr.core.files import cell_text, read_lines
from atc_asr.core.manifest import Utterance
from atc_asr.hypotheses.hypotheses import Hypothesis, read_hypotheses
from atc_asr.readback.exchanges import Exchange, read_exchanges
from atc_asr.report.params import ReportFlags
from atc_asr.scoring.pairs import read_pairs
from atc_asr.wer.wer import ScoredPair, score_pair

MAX_NUMBER = 1e15
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
ALL_CORPORA = "all"
NUM_CONFUSIONS = 30
RUN_LABELS = {"model": "model", "dataset_part": "data", "epochs": "epochs", "git_commit": "commit"}


@dataclass(frozen=True)
class Score:
    """A rate with its confidence interval."""

    label: str  # name of the rate, or of the group of a slice
    value: float | None  # per cent; None for a group without reference words
    low: float | None  # lower end of the interval, per cent
    high: float | None
    count: int | None  # denominator of the rate; for a group of a slice, its number of utterances
    counted: str = "utterance"  # noun for the count: word, character, utterance or occurrence

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
    """Contents of the page, the summary and the model card."""

    title: str
    subtitle: tuple[str, ...]  # test set and run in short phrases; the first two are its utterances and hours
    interval_name: str  # `95 % interval`
    headline: tuple[Score, ...]  # the most important scores
    scorecard: tuple[Score, ...]  # all other scores
    levels: tuple[tuple[str, float], ...]  # (normalisation level, WER in per cent)
    slices: Mapping[str, tuple[Score, ...]]  # WER of the groups of each slice
    charts: tuple[Chart, ...]
    confusions: tuple[tuple[str, str, int], ...]  # (reference word, hypothesis word, count), most frequent first
    rows: tuple[Row, ...]  # in the order of the manifest
    run: Mapping[str, Any]  # the run's metrics.json; empty if it is not given
    readbacks: tuple[Exchange, ...] | None = None  # clearances and their readbacks; None if no file is given
    # The same scores of all corpora together and of each; empty where there are not several.
    corpora: Mapping[str, tuple[Score | None, ...]] = field(default_factory=dict)


def read_contents(title: str, files: ReportFlags) -> Contents:
    """Read everything that the report shows.

    Raises:
        InputError: a file cannot be used, or an id is not in both manifest and hypotheses.
    """
    run = read_json(files.run_metrics) if files.run_metrics else {}
    scorecard = read_json(files.scorecard_file)
    by_corpus = scorecard.pop("corpora", None)
    scores = _find_scores(scorecard)
    if not scores:
        wanted = "wanted at least wer, wer_low and wer_high"
        raise InputError(f"{files.scorecard_file}: holds no score with its interval, {wanted}")
    confidence = _number(scorecard.get("confidence"))
    rows = _read_rows(files.ref_manifest, files.hyp_file)
    return Contents(
        title=title,
        subtitle=make_subtitle(rows, run),
        interval_name="interval" if confidence is None else f"{confidence:g} % interval",
        headline=tuple(score for name, score in scores.items() if name in HEADLINE_SCORES),
        scorecard=tuple(score for name, score in scores.items() if name not in HEADLINE_SCORES),
        levels=_find_levels(scorecard),
        slices=_read_slices(files.slices_file) if files.slices_file else {},
        charts=_read_charts(files.curves_file) if files.curves_file else (),
        confusions=_count_confusions(rows),
        rows=rows,
        run=run,
        readbacks=tuple(read_exchanges(files.readback_file)) if files.readback_file else None,
        corpora=_compare_corpora(scores, by_corpus),
    )


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by `_`: `{"callsign": {"accuracy": 1}}` -> `{"callsign_accuracy": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flatten(value, f"{prefix}{key}_") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _number(value: Any) -> Any:
    """The value if it is a number of a plausible size, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < MAX_NUMBER else None


def _find_scores(scorecard: Mapping[str, Any]) -> dict[str, Score]:
    """Every rate of a scorecard that has an interval (`x` with `x_low` and `x_high`), headline scores first."""
    flat = _flatten(scorecard)
    names = [
        name for name in flat if {f"{name}_low", f"{name}_high"} <= flat.keys() and _number(flat[name]) is not None
    ]
    return {
        name: Score(
            label=LABELS.get(name, name.replace("_", " ").capitalize()),
            value=_number(flat[name]),
            low=_number(flat[f"{name}_low"]),
            high=_number(flat[f"{name}_high"]),
            count=_number(flat.get(f"{name}_population")),
            counted=COUNTED.get(name, "occurrence"),
        )
        for name in sorted(names, key=_score_order)
    }


def _compare_corpora(scores: Mapping[str, Score], scorecards: Any) -> dict[str, tuple[Score | None, ...]]:
    """The scores that corpora have, by corpus, all together first; nothing for fewer than two corpora."""
    cards = scorecards.items() if isinstance(scorecards, Mapping) else ()
    corpora = {name: _find_scores(card) for name, card in cards if isinstance(card, Mapping)}
    names = [name for name in scores if any(name in found for found in corpora.values())]
    rows = {ALL_CORPORA: scores} | corpora
    return {row: tuple(map(found.get, names)) for row, found in rows.items()} if len(corpora) > 1 else {}


def _score_order(name: str) -> tuple[int, int, str]:
    """Sort key of a score's name."""
    headline = HEADLINE_SCORES.index(name) if name in HEADLINE_SCORES else len(HEADLINE_SCORES)
    ending = next((place for place, ending in enumerate(ENDINGS) if name.endswith(ending)), len(ENDINGS))
    return headline, ending, name


def _find_levels(scorecard: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """WER in per cent by normalisation level, in the levels' order."""
    rates = scorecard.get("levels")
    if not isinstance(rates, Mapping):
        return ()
    return tuple((label, rates[name]) for name, label in LEVEL_LABELS.items() if _number(rates.get(name)) is not None)


def _read_table(path: Path, required: Sequence[str], numeric: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a CSV; numeric columns that the file has are converted to float, an empty cell to None."""
    rows: list[dict[str, Any]] = []
    reader = csv.DictReader(read_lines(path, newline=""))
    try:
        missing = [name for name in required if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}:1: has no column {', '.join(missing)}")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: got another number of cells than the header has")
            numbers = {name: _read_cell(row[name], f"{where}: {name}") for name in numeric if name in row}
            rows.append({name: cell_text(cell) for name, cell in row.items()} | numbers)
    except csv.Error as error:
        raise InputError(f"{path}: is not a CSV: {error}") from error
    return rows


def _read_cell(text: str, where: str) -> float | None:
    """A finite number; None for an empty cell."""
    text = text.strip()
    with contextlib.suppress(ValueError):
        if not text or math.isfinite(float(text)):
            return float(text) if text else None
    raise InputError(f"{where} is {text!r}, wanted a number")


def _read_slices(path: Path) -> dict[str, tuple[Score, ...]]:
    """WER of the groups of each slice."""
    slices: dict[str, tuple[Score, ...]] = {}
    for row in _read_table(path, SLICE_COLUMNS, SLICE_COLUMNS[2:]):
        count = None if row["num_utterances"] is None else int(row["num_utterances"])
        group = Score(row["group"], row["wer"], row["low"], row["high"], count)
        slices[row["slice"]] = (*slices.get(row["slice"], ()), group)
    return slices


def _read_charts(path: Path) -> tuple[Chart, ...]:
    """Charts of the training curves: each of `CHARTS` of which the file has at least one column."""
    rows = _read_table(path, ("epoch",), ["epoch", *(name for _, _, names in CHARTS for name in names)])
    epochs = tuple(row["epoch"] or 0.0 for row in rows)
    charts = []
    for title, y_label, names in CHARTS:
        series = {name: tuple(row[name] for row in rows) for name in names if rows and name in rows[0]}
        if series:
            charts.append(Chart(title, y_label, epochs, series))
    return tuple(charts)


def _read_rows(ref_manifest: Iterable[Path], hyp_file: Path) -> tuple[Row, ...]:
    """Utterances with their hypotheses, both normalised and aligned as `stages.score` does."""
    corpus = read_pairs(ref_manifest, hyp_file, normalize_hypotheses=True)
    by_id = {hypothesis.id: hypothesis for hypothesis in read_hypotheses(hyp_file)}
    return tuple(
        Row(utterance, by_id[utterance.id], score_pair(pair))
        for utterance, pair in zip(corpus.utterances, corpus.pairs, strict=True)
    )


def _count_confusions(rows: Iterable[Row]) -> tuple[tuple[str, str, int], ...]:
    """The most frequent substitutions: reference word, hypothesis word, count."""
    steps = (step for row in rows for step in row.scored.steps if step.operation == "substitute")
    counts = Counter((str(step.ref), str(step.hyp)) for step in steps)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple((ref, hyp, count) for (ref, hyp), count in ranked[:NUM_CONFUSIONS])


def make_subtitle(rows: Sequence[Row], run: Mapping[str, Any]) -> tuple[str, ...]:
    """Size of the test set, and model, data, epochs and commit of the run where they are known."""
    hours = sum(row.utterance.duration for row in rows) / 3600
    commit = re.sub(r"^([^-]{10})[^-]+", r"\1", str(run.get("git_commit") or ""))  # 10 digits; `-dirty` is kept
    known = {**run, "git_commit": commit}
    present = [(label, known[key]) for key, label in RUN_LABELS.items() if known.get(key) not in (None, "")]
    return (f"{len(rows):,} utterances", f"{hours:.2f} hours", *(f"{label} {str(v)[:60]}" for label, v in present))
