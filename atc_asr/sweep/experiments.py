"""DVC experiments of the repository in the current folder, and their rows in the sweep's CSV."""

import json
from collections import Counter
from typing import Any

import dvc.api
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.experiments.serialize import ExpRange

from atc_asr.core.config import PARAMS_FILE
from atc_asr.core.errors import InputError
from atc_asr.tracking.params import RecordParams
from atc_asr.tracking.sweep_csv import SWEEP_COLUMNS

# Column -> label (section record) that replaces the value in metrics.json: DVC's run cache restores metrics.json with
# the labels of an earlier run.
LABELS = {name: name for name in RecordParams.model_fields if name in SWEEP_COLUMNS} | {"model": "model_name"}


def list_experiments() -> list[ExpRange]:
    """All experiments on all commits, oldest first, as in `dvc exp show`.

    Raises:
        InputError: there is no DVC repository, or DVC cannot list its experiments.
    """
    try:
        with Repo() as repo:
            baselines = repo.experiments.show(all_commits=True)
    except DvcException as error:
        raise InputError(f"dvc exp show --all-commits failed: {' '.join(str(error).split())}") from error
    found = [experiment for baseline in baselines for experiment in baseline.experiments or []]
    return sorted(found, key=lambda experiment: (timestamp_of(experiment) or "~", name_of(experiment)))


def name_of(experiment: ExpRange) -> str:
    """The name of an experiment, or its short commit when it has no name."""
    return experiment.name or experiment.revs[0].rev[:7]


def timestamp_of(experiment: ExpRange) -> str | None:
    """The time of an experiment's commit, ISO 8601."""
    data = experiment.revs[0].data
    return data.timestamp.isoformat() if data and data.timestamp else None


def problem_of(experiment: ExpRange) -> str | None:
    """Why an experiment has no result: queued, running, failed with an error; None when it has a result."""
    state = experiment.executor.state if experiment.executor else "success"
    error = experiment.revs[0].error
    if error:
        return f"{'failed' if state == 'success' else state}: {' '.join(str(error.msg).split())}"
    return None if state == "success" else state


def read_at(rev: str, path: str) -> str | None:
    """The text of a file at a revision, tracked by git or by DVC; None when it is not there."""
    try:
        return dvc.api.read(path, repo=".", rev=rev, encoding="utf-8")
    except (FileNotFoundError, DvcException):
        return None


def sweep_rows(run_metrics: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The CSV rows of all experiments that have a result; `run_metrics` is metrics.json of the run folder.

    Returns:
        The rows, and `name: reason` for each experiment without a result.

    Raises:
        InputError: a metrics.json is not a JSON object, or lacks a column.
    """
    rows, skipped = [], []
    experiments = list_experiments()
    counts = Counter(name_of(experiment) for experiment in experiments if problem_of(experiment) is None)
    for experiment in experiments:
        name, problem, rev = name_of(experiment), problem_of(experiment), experiment.revs[0].rev
        text = read_at(rev, run_metrics) if problem is None else None
        if text is None:
            skipped.append(f"{name}: {problem or f'has no {run_metrics}'}")
            continue
        try:  # experiments of several baselines may have the same name
            rows.append(sweep_row(text, experiment, name if counts[name] == 1 else f"{name}_{rev[:7]}"))
        except ValueError as error:
            raise InputError(f"{run_metrics} of experiment {name}: {error}") from error
    return rows, skipped


def sweep_row(text: str, experiment: ExpRange, name: str) -> dict[str, Any]:
    """The CSV row of an experiment, from `text`, metrics.json of its run folder.

    The unique `name` becomes the `run_id`, after the label `run_id` if there is one.

    Raises:
        ValueError: the text is not a JSON object with a key for each column.
    """
    try:
        run = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error}") from error
    missing = [column for column in SWEEP_COLUMNS if not isinstance(run, dict) or column not in run]
    if missing:
        raise ValueError(f"has no {', '.join(missing)}; wanted a key for each column of the sweep's CSV")
    data = experiment.revs[0].data
    labels = data.params.get(str(PARAMS_FILE), {}).get("data", {}).get(RecordParams.section, {}) if data else {}
    row = {column: run[column] for column in SWEEP_COLUMNS}
    row |= {column: labels[label] for column, label in LABELS.items() if label in labels}
    label = labels.get("run_id") or name
    return row | {"run_id": name if label == name else f"{label}_{name}", "timestamp": timestamp_of(experiment)}
