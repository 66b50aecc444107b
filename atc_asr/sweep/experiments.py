"""DVC's experiments: which there are, what they hold, and their rows in the sweep's CSV."""

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atc_asr.core.config import PARAMS_FILE
from atc_asr.core.errors import InputError
from atc_asr.tracking.params import RecordParams
from atc_asr.tracking.record import SWEEP_COLUMNS

log = logging.getLogger(__name__)

# Columns that labels in params.yaml fill: a run restored from DVC's cache brings the first run's labels along.
LABELS = {
    "run_stage": "run_stage",
    "model": "model_name",
    "dataset_part": "dataset_part",
    "save_full_model": "save_full_model",
    "language": "language",
    "task": "task",
    "eval_strategy": "eval_strategy",
    "eval_steps": "eval_steps",
}


@dataclass(frozen=True)
class Experiment:
    """One line of `dvc exp show`."""

    name: str
    rev: str
    timestamp: str | None
    trouble: str | None  # why it has no result: queued, running, failed …; None when it has
    params: Mapping[str, Any]  # params.yaml
    metrics: Mapping[str, Mapping[str, Any]]  # by file


def dvc(command: Sequence[str], root: Path) -> str:
    """What a DVC command prints.

    Raises:
        InputError: it failed; the message is DVC's own last line.
    """
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", *command], cwd=root, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        lines = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")] or answer.stderr.splitlines()
        raise InputError(f"{root}: dvc {' '.join(command)} failed: {lines[0] if lines else answer.returncode}")
    return answer.stdout


def data_of(files: Mapping[str, Any]) -> dict[str, Any]:
    """The files of an experiment that could be read, by path."""
    return {path: content["data"] for path, content in files.items() if "data" in content}


def experiment_of(entry: Mapping[str, Any]) -> Experiment:
    """One experiment from its entry in `dvc exp show --json`."""
    newest = entry["revs"][0]
    executor = entry["executor"] or {}
    error = newest["error"] or {}
    data = newest["data"] or {}
    trouble = None
    if executor.get("state") not in (None, "success"):
        trouble = executor["state"]
    if error:
        trouble = f"{trouble or 'failed'}: {' '.join(str(error.get('msg', error)).split())}"
    return Experiment(
        name=entry["name"] or newest["rev"][:7],
        rev=newest["rev"],
        timestamp=data.get("timestamp"),
        trouble=trouble,
        params=data_of(data.get("params", {})).get(str(PARAMS_FILE), {}),
        metrics=data_of(data.get("metrics", {})),
    )


def list_experiments(root: Path) -> list[Experiment]:
    """All experiments of a repository on all its commits, oldest first; workspace and commits themselves are none."""
    baselines = json.loads(dvc(["exp", "show", "--all-commits", "--json"], root))
    found = [experiment_of(entry) for baseline in baselines for entry in baseline["experiments"] or []]
    return sorted(found, key=lambda experiment: (experiment.timestamp or "~", experiment.name))


def read_at(root: Path, rev: str, path: str) -> str | None:
    """A file's text as it is at a revision, tracked by git or by DVC; None when it is not there."""
    import dvc.api
    import dvc.exceptions

    try:
        return dvc.api.read(path, repo=str(root), rev=rev, encoding="utf-8")
    except (FileNotFoundError, dvc.exceptions.DvcException):
        return None


def unique_name(experiment: Experiment, names: Counter) -> str:
    """The experiment's name; with its commit when two baselines have an experiment of that name."""
    return experiment.name if names[experiment.name] == 1 else f"{experiment.name}_{experiment.rev[:7]}"


def sweep_row(run: Mapping[str, Any], labels: Mapping[str, Any], name: str, timestamp: str | None) -> dict[str, Any]:
    """The CSV row of one experiment.

    Args:
        run: the run's own `metrics.json`, which has the CSV's columns among its keys.
        labels: section `record` of the experiment's params.yaml.
        name: the experiment's name; the label `run_id`, which may be the same in a whole sweep, goes before it.
        timestamp: when DVC committed the experiment.
    """
    row = {column: run.get(column) for column in SWEEP_COLUMNS}
    row |= {column: labels[label] for column, label in LABELS.items() if label in labels}
    label = labels.get("run_id") or name
    return row | {"run_id": name if label == name else f"{label}_{name}", "timestamp": timestamp}


def sweep_rows(root: Path, run_metrics: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The CSV's rows of all experiments that have a result.

    Args:
        root: the repository.
        run_metrics: path of the run's own `metrics.json` inside the repository.

    Returns:
        The rows, and one line `name: reason` for each experiment that was left out.
    """
    rows, skipped = [], []
    experiments = list_experiments(root)
    names = Counter(experiment.name for experiment in experiments if experiment.trouble is None)
    for experiment in experiments:
        trouble = experiment.trouble
        text = read_at(root, experiment.rev, run_metrics) if trouble is None else None
        if trouble is None and text is None:
            trouble = f"has no {run_metrics}"
        if trouble is not None:
            skipped.append(f"{experiment.name}: {trouble}")
            continue
        labels = experiment.params.get(RecordParams.section, {})
        rows.append(
            sweep_row(
                parse_run(text, experiment.name, run_metrics),
                labels,
                unique_name(experiment, names),
                experiment.timestamp,
            )
        )
    return rows, skipped


def parse_run(text: str, name: str, run_metrics: str) -> dict[str, Any]:
    """A run's `metrics.json`.

    Raises:
        InputError: it is not a JSON object with the columns of the sweep's CSV.
    """
    where = f"{run_metrics} of experiment {name}"
    try:
        run = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: is not valid JSON: {error}") from error
    missing = [column for column in SWEEP_COLUMNS if not isinstance(run, dict) or column not in run]
    if missing:
        raise InputError(f"{where}: has no {', '.join(missing)}; wanted a key for each column of the sweep's CSV")
    return run
