"""atc_asr.sweep.study: which trials run, what happens to killed ones, and what a resumed sweep does."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest

from atc_asr.core.errors import InputError
from atc_asr.sweep import study, worker
from atc_asr.sweep.params import SweepFlags, SweepParams
from atc_asr.sweep.space import parse_space

optuna.logging.set_verbosity(optuna.logging.WARNING)
RANDOM = {"method": "random", "space": ["train.lr=log(0.01,1)", "train.epochs=int(1,100)"]}


def params(*space: str, **changes) -> SweepParams:
    values = {
        "method": "grid",
        "space": list(space),
        "num_trials": 6,
        "num_workers": 2,
        "seed": 1,
        "metric": "wer",
        "direction": "minimize",
        "max_retries": 1,
        "prune": False,
    }
    return SweepParams(**(values | changes))


def flags(name: str = "coarse") -> SweepFlags:
    return SweepFlags(study_dir=Path("sweeps") / name, metrics="metrics/train.json", curve="cur*.csv")


def run(sweep_params: SweepParams, name: str = "coarse") -> study.Sweep:
    with worker.lock_study(Path("sweeps") / name):
        sweep = study.Sweep(sweep_params, flags(name))
        sweep.run()
    return sweep


def starts() -> list[dict]:
    path = Path("starts.txt")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def started_names() -> list[str]:
    return sorted(start["name"] for start in starts())


def states(sweep: study.Sweep) -> list[str]:
    return [trial.state.name for trial in sweep.study.trials]


def wait_for(condition) -> None:
    """pytest's timeout ends it."""
    while not condition():
        time.sleep(0.01)


def interrupt_when(monkeypatch, condition) -> None:
    """Let the sweep be interrupted as by Ctrl-C once `condition` holds."""

    def wait_and_interrupt(*_args, **_kwargs):
        wait_for(condition)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "wait", wait_and_interrupt)


def test_grid_runs_each_point_once_on_two_workers(fake_repository, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    sweep = run(params("train.lr=0.1,0.2,0.3", "train.epochs=2,3"))
    assert states(sweep) == ["COMPLETE"] * 6
    assert started_names() == [f"coarse-{number}" for number in range(6)]
    points = {start["name"]: (start["lr"], start["epochs"]) for start in starts()}
    assert [points[f"coarse-{number}"] for number in range(6)] == [
        (lr, epochs) for lr in ("0.1", "0.2", "0.3") for epochs in ("2", "3")
    ]
    assert {start["gpu"] for start in starts()} <= {"4", "7"}
    assert "started" in Path("sweeps/coarse/coarse-5.log").read_text()
    lines = sweep.ranking().splitlines()
    assert lines[0].split() == ["experiment", "state", "wer", "parameters"]
    assert lines[1].split() == ["coarse-4", "complete", "0", "train.lr=0.3", "train.epochs=2"]
    assert lines[6].split() == ["coarse-1", "complete", "20", "train.lr=0.1", "train.epochs=3"]


def test_num_trials_limits_a_grid_and_can_be_raised(fake_repository):
    space = ("train.lr=0.1,0.2,0.3",)
    assert len(run(params(*space, num_trials=1)).study.trials) == 1
    assert states(run(params(*space, num_trials=9))) == ["COMPLETE"] * 3
    assert started_names() == ["coarse-0", "coarse-1", "coarse-2"]


def test_finished_sweep_runs_nothing_again(fake_repository):
    sweep_params = params("train.lr=0.1,0.2")
    first, second = run(sweep_params).ranking(), run(sweep_params).ranking()
    assert first == second and started_names() == ["coarse-0", "coarse-1"]


def test_killed_trial_is_retried_with_the_same_values(fake_repository, caplog):
    sweep = run(params("train.lr=0.1,0.2", "train.kill=1"))
    assert states(sweep) == ["COMPLETE"] * 2
    assert started_names() == ["coarse-0", "coarse-0", "coarse-1", "coarse-1"]
    assert len({(start["name"], start["lr"]) for start in starts()}) == 2
    assert "coarse-0: ended without a result, retry 1 of 1" in caplog.messages


def test_failed_trial_ends_after_its_retries(fake_repository):
    sweep = run(params("train.fail=1,0", max_retries=2))
    assert states(sweep) == ["FAIL", "COMPLETE"]
    assert started_names() == ["coarse-0"] * 3 + ["coarse-1"]
    assert sweep.ranking().splitlines()[2].split() == ["coarse-0", "fail", "train.fail=1"]
    assert states(run(params("train.fail=1,0", max_retries=2))) == ["FAIL", "COMPLETE"]


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [("wer", 12.5), ("deep.er", 6.0), ("deep", None), ("deep.no", None), ("wer.no", None), ("nan", None), ("no", None)],
)
def test_metric_is_a_finite_number_at_a_dotted_key(monkeypatch, metric, wanted):
    text = '{"wer": 12.5, "deep": {"er": 6}, "nan": NaN, "no": null}'
    monkeypatch.setattr(study.experiments, "read_at", lambda *_: text)
    assert study.read_metric("coarse-0", "metrics/train.json", metric) == wanted
    monkeypatch.setattr(study.experiments, "read_at", lambda *_: None)
    assert study.read_metric("coarse-0", "metrics/train.json", metric) is None


def test_resumed_sweep_runs_the_trials_that_a_killed_one_left(fake_repository, caplog):
    sweep_params = params(**RANDOM, num_trials=4, num_workers=1)
    with worker.lock_study(flags().study_dir):
        killed = study.Sweep(sweep_params, flags())
        left = [killed.study.ask(parse_space(RANDOM["space"])) for _ in range(2)]
    sweep = run(sweep_params)
    assert states(sweep) == ["COMPLETE"] * 4
    assert [start["name"] for start in starts()] == [f"coarse-{number}" for number in range(4)]
    assert [trial.params for trial in sweep.study.trials[:2]] == [trial.params for trial in left]
    assert not [message for message in caplog.messages if "retry" in message]


def test_resumed_sweep_takes_the_result_of_an_experiment_that_finished_without_it(fake_repository):
    sweep_params = params("train.lr=0.1,0.2")
    with worker.lock_study(flags().study_dir):
        killed = study.Sweep(sweep_params, flags())
        killed.study.ask(parse_space(sweep_params.space))
    Path("results").mkdir()
    Path("results/coarse-0.json").write_text('{"wer": 12.5}')
    sweep = run(sweep_params)
    assert started_names() == ["coarse-1"]
    assert [trial.value for trial in sweep.study.trials] == pytest.approx([12.5, 10])


def test_grid_that_was_killed_while_it_was_queued_is_complete_and_has_no_point_twice(fake_repository, monkeypatch):
    sweep_params = params("train.lr=0.1,0.2,0.3,0.4")
    enqueue = optuna.Study.enqueue_trial

    def enqueue_two(self, point):
        if len(self.trials) == 2:
            raise KeyboardInterrupt
        enqueue(self, point)

    monkeypatch.setattr(optuna.Study, "enqueue_trial", enqueue_two)
    with pytest.raises(KeyboardInterrupt):
        run(sweep_params)
    monkeypatch.setattr(optuna.Study, "enqueue_trial", enqueue)
    run(sweep_params)
    assert sorted(start["lr"] for start in starts()) == ["0.1", "0.2", "0.3", "0.4"]


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_resumed_sweep_draws_the_values_of_an_uninterrupted_one(fake_repository, method):
    settings = RANDOM | {"method": method, "num_workers": 1}
    for num_trials in (1, 3):
        resumed = run(params(**settings, num_trials=num_trials), "resumed")
    whole = run(params(**settings, num_trials=3), "whole")
    values = [trial.params for trial in whole.study.trials]
    assert [trial.params for trial in resumed.study.trials] == values
    assert len({str(point) for point in values}) == 3


def test_interrupted_sweep_stops_its_trials_and_resumes(fake_repository, monkeypatch):
    sweep_params = params("train.lr=0.1,0.2,0.3", "train.hold=1")
    with monkeypatch.context() as patch:
        interrupt_when(patch, lambda: len(starts()) == 2)
        with pytest.raises(KeyboardInterrupt):
            run(sweep_params)
    assert not list(Path(".dvc").rglob("*.run")) and not list(Path(".dvc/tmp/exps/standalone").glob("coarse*"))
    assert not Path("results").exists()
    Path("go").touch()
    assert states(run(sweep_params)) == ["COMPLETE"] * 3
    assert started_names() == sorted(["coarse-0", "coarse-1"] * 2 + ["coarse-2"])


def test_two_sweeps_of_a_repository_do_not_disturb_each_other(fake_repository):
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(run, params("train.lr=0.1,0.2", "train.hold=1"), "held")
        wait_for(lambda: held.done() or len(list(Path(".dvc").rglob("*.run"))) == 2)
        other = run(params("train.lr=0.1", "train.kill=1"), "other")
        assert len(list(Path(".dvc").rglob("*.run"))) == 2
        Path("go").touch()
    assert states(held.result()) == ["COMPLETE"] * 2 and states(other) == ["COMPLETE"]
    assert started_names() == ["held-0", "held-1", "other-0", "other-0"]


def test_error_of_one_worker_stops_the_sweep(fake_repository, monkeypatch):
    def no_column(*_args):
        raise InputError("curve.csv: has no column valid_wer")

    monkeypatch.setattr(worker, "read_curve", no_column)
    with pytest.raises(InputError, match="has no column valid_wer"):
        run(params("train.lr=0.1,0.2,0.3", "train.hold=1", prune=True))
    assert not list(Path(".dvc").rglob("*.run"))


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_trials_worse_than_the_median_are_pruned(fake_repository, monkeypatch, direction):
    monkeypatch.setattr(study, "PRUNE_STARTUP_TRIALS", 2)
    should_prune = study.Sweep._should_prune

    def release_after_reporting(self, trial):
        """Release the first two trials when their curve is reported; the third is never released."""
        pruned = should_prune(self, trial)
        reported = self.study.trials[trial.number].intermediate_values
        if reported and trial.number < 2:
            Path(f"go-{self.experiment(trial)}").touch()
        return pruned

    monkeypatch.setattr(study.Sweep, "_should_prune", release_after_reporting)
    sweep = run(params("train.lr=0.3,0.31,0.9", "train.hold=1", prune=True, num_workers=1, direction=direction))
    assert states(sweep) == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert sweep.ranking().splitlines()[-1].split()[:2] == ["coarse-2", "pruned"]
    assert list(sweep.study.trials[2].intermediate_values) == [1, 2, 3, 4]


def test_settings_of_a_study_cannot_change(fake_repository):
    settings = {"space": ["train.lr=0.1"]}
    with worker.lock_study(flags().study_dir):
        sweep = study.Sweep(params(**settings), flags())
    for change, message in (
        ({"space": ["train.lr=0.2"]}, "this sweep has space ['train.lr=0.1'], got ['train.lr=0.2']"),
        ({"seed": 2}, "this sweep has seed 1, got 2"),
        ({"metric": "deep.er"}, "this sweep has metric 'wer', got 'deep.er'"),
        ({"direction": "maximize"}, "this sweep has direction 'minimize', got 'maximize'"),
    ):
        sweep._params = params(**(settings | change))
        with pytest.raises(InputError) as caught:
            sweep._check_settings()
        assert str(caught.value).startswith(f"sweeps/coarse: {message}; ")
    with pytest.raises(InputError, match="this sweep has method 'grid', got 'random'"):
        run(params(**settings, method="random"))
    assert starts() == []


def test_new_study_refuses_names_of_existing_experiments(fake_repository):
    run(params("train.lr=0.1"))
    Path("sweeps/coarse").rename("sweeps/old")
    with pytest.raises(InputError, match=r"sweeps/coarse: experiment coarse-0 exists"):
        run(params("train.lr=0.2"))
    run(params("train.lr=0.2"), "coars")
    assert started_names() == ["coars-0", "coarse-0"]
