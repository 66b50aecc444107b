"""atc_asr.sweep.experiments: `dvc exp show --json` as experiments, and experiments as rows."""

import json
from collections import Counter

import pytest

from atc_asr.core.errors import InputError
from atc_asr.sweep import experiments
from atc_asr.tracking.record import SWEEP_COLUMNS

LABELS = {
    "run_id": "",
    "run_stage": "refine",
    "model_name": "m",
    "dataset_part": "base",
    "language": "en",
    "task": "transcribe",
}


def entry(name: str, *, state: str | None = None, error: str | None = None, data: bool = True) -> dict:
    """An entry of `dvc exp show --json` (DVC 3.67), shortened."""
    content = {
        "timestamp": "2026-11-23T07:14:08",
        "params": {"params.yaml": {"data": {"record": LABELS}}, "broken.yaml": {"error": {"msg": "no"}}},
        "metrics": {"metrics/valid.json": {"data": {"wer": 8.5}}},
    }
    revision = {"rev": f"{name}0123456", "data": content if data else None, "error": {"msg": error} if error else None}
    return {"name": name, "revs": [revision], "executor": {"state": state} if state else None}


def test_experiments_with_and_without_a_result():
    found = experiments.experiment_of(entry("good", state="success"))
    assert (found.name, found.trouble, found.timestamp) == ("good", None, "2026-11-23T07:14:08")
    assert found.params == {"record": LABELS} and found.metrics == {"metrics/valid.json": {"wer": 8.5}}
    assert experiments.experiment_of(entry("a")).trouble is None
    assert experiments.experiment_of(entry("a", state="queued", data=False)).trouble == "queued"
    assert experiments.experiment_of(entry("a", state="running")).trouble == "running"
    assert experiments.experiment_of(entry("a", error="stage\nbroke")).trouble == "failed: stage broke"


def test_rows_hold_the_runs_numbers_and_the_experiments_labels():
    run = dict.fromkeys(SWEEP_COLUMNS) | {"wer": 12.5, "run_id": "20260101_000000", "run_stage": "stale", "notes": "x"}
    row = experiments.sweep_row(run, LABELS, "puffy-daks", "2026-11-23T07:14:08")
    assert tuple(row) == SWEEP_COLUMNS
    assert (row["run_id"], row["run_stage"], row["wer"], row["gpu"]) == ("puffy-daks", "refine", 12.5, None)
    assert row["model"] == "m"
    assert row["timestamp"] == "2026-11-23T07:14:08"
    assert experiments.sweep_row(run, LABELS | {"run_id": "mine"}, "a-1", None)["run_id"] == "mine_a-1"
    assert experiments.sweep_row(run, LABELS | {"run_id": "a-1"}, "a-1", None)["run_id"] == "a-1"


def test_the_same_name_on_two_baselines_stays_two_rows():
    found = [experiments.experiment_of(entry(name)) for name in ("a", "a", "b")]
    names = Counter(experiment.name for experiment in found)
    assert [experiments.unique_name(experiment, names) for experiment in found] == ["a_a012345", "a_a012345", "b"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"wer": 1', "is not valid JSON"),
        ("[1]", "has no timestamp, run_id"),
        (json.dumps(dict.fromkeys(SWEEP_COLUMNS[:-1])), "has no eval_steps; wanted a key for each column"),
    ],
)
def test_a_metrics_file_without_the_columns_is_refused(text, complaint):
    with pytest.raises(InputError, match=rf"models/metrics\.json of experiment puffy-daks: {complaint}"):
        experiments.parse_run(text, "puffy-daks", "models/metrics.json")


def test_outside_of_a_repository_is_one_line(tmp_path):
    with pytest.raises(InputError, match="dvc exp show --all-commits --json failed") as caught:
        experiments.list_experiments(tmp_path)
    assert "\n" not in str(caught.value)
