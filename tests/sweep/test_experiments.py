"""atc_asr.sweep.experiments: DVC's experiments as rows of the sweep's CSV."""

import datetime
import json

import pytest
from dvc.repo.experiments.serialize import ExpExecutor, ExpRange, ExpState, SerializableError, SerializableExp

from atc_asr.core.errors import InputError
from atc_asr.sweep import experiments
from atc_asr.tracking.sweep_csv import SWEEP_COLUMNS

LABELS = {
    "run_id": "",
    "run_stage": "refine",
    "model_name": "m",
    "dataset_part": "base",
    "language": "en",
    "task": "transcribe",
}


def experiment(
    name: str | None, *, state: str | None = None, error: str | None = None, data: bool = True, **labels
) -> ExpRange:
    """An experiment as DVC 3.67 describes it."""
    content = SerializableExp(
        rev=f"{name}0123456",
        timestamp=datetime.datetime(2026, 11, 23, 7, 14, 8),
        params={"params.yaml": {"data": {"record": LABELS | labels}}, "broken.yaml": {"error": {"msg": "no"}}},
    )
    revision = ExpState(
        rev=content.rev,
        data=content if data else None,
        error=SerializableError(error) if error else None,
    )
    return ExpRange(revs=[revision], executor=ExpExecutor(state, name="dvc-task") if state else None, name=name)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"state": "success"}, None),
        ({}, None),
        ({"state": "queued", "data": False}, "queued"),
        ({"state": "running"}, "running"),
        ({"error": "stage\nbroke"}, "failed: stage broke"),
        ({"state": "failed", "error": "stage broke", "data": False}, "failed: stage broke"),
    ],
)
def test_problem_of_an_experiment_without_a_result(given, problem):
    assert experiments.problem_of(experiment("a", **given)) == problem


def test_row_holds_the_numbers_of_the_run_and_the_labels_of_the_experiment():
    run = dict.fromkeys(SWEEP_COLUMNS) | {"wer": 12.5, "run_id": "20260101_000000", "run_stage": "stale", "notes": "x"}
    row = experiments.sweep_row(json.dumps(run), experiment("puffy-daks"), "puffy-daks")
    assert tuple(row) == SWEEP_COLUMNS
    assert (row["run_id"], row["run_stage"], row["wer"], row["gpu"]) == ("puffy-daks", "refine", 12.5, None)
    assert row["model"] == "m"
    assert row["timestamp"] == "2026-11-23T07:14:08"
    for label, run_id in (("mine", "mine_a-1"), ("a-1", "a-1")):
        assert experiments.sweep_row(json.dumps(run), experiment("a-1", run_id=label), "a-1")["run_id"] == run_id


def use(monkeypatch, found: list[ExpRange], text: str | None) -> None:
    """Let the repository have these experiments, each with this metrics.json."""
    monkeypatch.setattr(experiments, "list_experiments", lambda: found)
    monkeypatch.setattr(experiments, "read_at", lambda rev, path: text)


def test_experiments_without_a_result_are_skipped_with_the_reason(monkeypatch):
    found = [experiment("a"), experiment("b", state="queued", data=False)]
    use(monkeypatch, found, json.dumps(dict.fromkeys(SWEEP_COLUMNS)))
    rows, skipped = experiments.sweep_rows("models/metrics.json")
    assert [row["run_id"] for row in rows] == ["a"] and skipped == ["b: queued"]
    use(monkeypatch, found, None)
    assert experiments.sweep_rows("m.json") == ([], ["a: has no m.json", "b: queued"])


def test_experiments_of_one_name_on_two_baselines_have_two_rows(monkeypatch):
    use(monkeypatch, [experiment(name) for name in ("a", "b")], json.dumps(dict.fromkeys(SWEEP_COLUMNS)))
    monkeypatch.setattr(experiments, "name_of", lambda _: "same")
    rows, _ = experiments.sweep_rows("models/metrics.json")
    assert [row["run_id"] for row in rows] == ["same_a012345", "same_b012345"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"wer": 1', "is not valid JSON"),
        ("[1]", "has no timestamp, run_id"),
        (json.dumps(dict.fromkeys(SWEEP_COLUMNS[:-1])), "has no eval_steps; wanted a key for each column"),
    ],
)
def test_metrics_file_without_the_columns_is_an_error(monkeypatch, text, complaint):
    use(monkeypatch, [experiment("puffy-daks")], text)
    with pytest.raises(InputError, match=rf"models/metrics\.json of experiment puffy-daks: {complaint}"):
        experiments.sweep_rows("models/metrics.json")


def test_outside_of_a_repository_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="dvc exp show --all-commits failed") as caught:
        experiments.list_experiments()
    assert "\n" not in str(caught.value)
