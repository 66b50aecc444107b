"""atc_asr.commands.sweep on a tiny repository: real DVC, real processes, real kills."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atc_asr.sweep.experiments import list_experiments

ROOT = Path(__file__).resolve().parents[2]
# No environment is activated: a sweep brings its own Python to the stages.
BARE_PATH = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if "venv" not in part)


def tool(repository: Path, *flags: str, name: str = "sweep", **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", f"tools.{name}", *flags],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": BARE_PATH} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sweep(repository: Path, *flags: str, **variables: str) -> subprocess.Popen:
    paths = ["--study_dir", "sweeps/coarse", "--metrics", "models/valid.json"]
    return tool(repository, *paths, *flags, **variables)


def finish(process: subprocess.Popen, status: int = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == status, errors
    return output, errors


def runs_at_work(repository: Path) -> list[int]:
    """Process ids of `dvc exp run` started for this repository."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--temp" in command and repository in [(folder / "cwd").resolve(), *(folder / "cwd").resolve().parents]:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_until(condition, seconds: float = 60.0):
    """What `condition` answers as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError("did not happen")


def curves_begun(repository: Path) -> list[Path]:
    return [
        path
        for path in repository.glob(".dvc/tmp/exps/standalone/*/models/curve.csv")
        if path.read_text().count("\n") > 1
    ]


def read_rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def finished(repository: Path) -> list[str]:
    return [experiment.name for experiment in list_experiments(repository) if experiment.trouble is None]


def states(repository: Path) -> dict[str, str | None]:
    found = list_experiments(repository)
    assert len({experiment.name for experiment in found}) == len(found), "an experiment is shown twice"
    return {experiment.name: experiment.trouble for experiment in found}


@pytest.mark.slow
def test_six_runs_two_workers_one_killed(tiny_repository):
    process = sweep(
        tiny_repository,
        *("--space", "train.lr=0.1,0.2,0.3", "train.epochs=2,3"),
        *("--metrics_csv", "master.csv", "--run_metrics", "models/metrics.json"),
        CUDA_VISIBLE_DEVICES="4,7",
    )
    wait_until(lambda: curves_begun(tiny_repository))
    os.kill(runs_at_work(tiny_repository)[0], signal.SIGKILL)
    output, errors = finish(process)

    assert "trying again" in errors
    assert states(tiny_repository) == dict.fromkeys([f"coarse-{number}" for number in range(6)])
    rows = read_rows(tiny_repository / "master.csv")
    assert sorted(row["run_id"] for row in rows) == [f"coarse-{number}" for number in range(6)]
    assert {(row["learning_rate"], row["epochs"]) for row in rows} == {
        (rate, epochs) for rate in ("0.1", "0.2", "0.3") for epochs in ("2", "3")
    }
    assert {row["gpu"] for row in rows} == {"4", "7"}
    assert {row["run_stage"] for row in rows} == {"coarse"}
    best = output.splitlines()[1].split()
    assert best[1] == "complete" and best[3:] == ["train.lr=0.3", "train.epochs=3"]

    before = (tiny_repository / "master.csv").read_bytes()
    flags = ("--run_metrics", "models/metrics.json", "--metrics_csv", "master.csv")
    _, errors = finish(tool(tiny_repository, *flags, name="sweep_csv"))
    assert "6 experiments, 0 new, 0 changed, 0 left out" in errors
    assert (tiny_repository / "master.csv").read_bytes() == before


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tiny_repository):
    flags = ("--method", "random", "--space", "train.lr=log(0.01,1)", "train.sleep=1.5", "--num_trials", "3")
    process = sweep(tiny_repository, *flags)
    wait_until(lambda: finished(tiny_repository) and runs_at_work(tiny_repository))
    process.kill()
    process.communicate()
    for orphan in runs_at_work(tiny_repository)[:1]:
        os.kill(orphan, signal.SIGKILL)
    output, _ = finish(sweep(tiny_repository, *flags))

    assert states(tiny_repository) == dict.fromkeys([f"coarse-{number}" for number in range(3)])
    assert output.count("complete") == 3
    rates = [line.split()[3] for line in output.splitlines()[1:]]
    assert len(set(rates)) == 3

    output, _ = finish(sweep(tiny_repository, *flags[:-1], "4"))
    assert output.count("complete") == 4 and len(states(tiny_repository)) == 4
    _, errors = finish(sweep(tiny_repository, "--method", "random", "--space", "train.lr=log(0.01,2)"), status=2)
    assert errors.splitlines()[-1].startswith("error: sweeps/coarse: this sweep has space ['train.lr=log(0.01,1)'")


@pytest.mark.slow
def test_interrupted_runs_end_with_the_sweep_and_leave_nothing(tiny_repository):
    process = sweep(tiny_repository, "--space", "train.lr=0.1,0.2", "train.sleep=20")
    wait_until(lambda: len(list(tiny_repository.glob(".dvc/tmp/exps/standalone/*/models/curve.csv"))) == 2)
    process.send_signal(signal.SIGTERM)
    _, errors = finish(process, status=130)
    assert errors.splitlines()[-1].startswith("interrupted")
    assert runs_at_work(tiny_repository) == []
    assert states(tiny_repository) == {}


@pytest.mark.slow
def test_bad_runs_are_ended_early(tiny_repository):
    flags = ("--space", "train.lr=0.3,0.31,0.9", "train.epochs=3,", "--num_workers", "1", "--curve", "models/curve.csv")
    _, errors = finish(sweep(tiny_repository, *flags, "--prune"), status=2)
    assert errors.splitlines()[-1] == "error: space: train.epochs=3,: got an empty value or one twice"
    flags = ("--space", "train.lr=0.3,0.31,0.9", "train.sleep=0.8", "train.epochs=4", "--num_workers", "1")
    early = ("--prune", "--prune_startup_trials", "2", "--curve", "mod*/curve.csv")
    output, _ = finish(sweep(tiny_repository, *flags, *early))
    assert states(tiny_repository) == {"coarse-0": None, "coarse-1": None}
    assert output.splitlines()[-1].split()[:2] == ["coarse-2", "pruned"]


@pytest.mark.slow
def test_failed_runs_are_listed_and_left_out(tiny_repository):
    process = sweep(tiny_repository, "--space", "train.broken=false,true", "--metric", "deep.er", "--max_retries", "0")
    _, errors = finish(process, status=2)
    assert errors.splitlines()[-1] == "error: sweeps/coarse: 1 of 2 runs failed: coarse-1; see their logs there"
    assert "broken" in (tiny_repository / "sweeps/coarse/coarse-1.log").read_text()
    assert states(tiny_repository) == {"coarse-0": None}
    (tiny_repository / "sweeps" / "coarse").rename(tiny_repository / "sweeps" / "old")
    _, errors = finish(sweep(tiny_repository, "--space", "train.lr=0.2"), status=2)
    assert errors.splitlines()[-1].startswith("error: experiment coarse-0 is there already")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--space", "train.rl=1,2"], "space: train.rl is not in params.yaml; did you mean train.lr?"),
        (["--space", "train.lr"], "space: train.lr: wanted section.key=values"),
        (["--space", "train.lr=log(0,1)"], "space: train.lr=log(0,1): got 0, wanted a lower limit > 0"),
        (["--space", "train.lr=uniform(0,1)"], "space: train.lr is a range, a grid wants values with commas"),
        (["--space", "train.lr=1", "--prune"], "--curve: is missing, sweep.prune ends runs by their curve"),
        (["--space", "train.lr=1", "--metrics_csv", "other.csv"], "--run_metrics: is missing"),
        (["--space", "train.lr=1", "--metrics_csv", "other.csv", "--run_metrics", "m"], "other.csv:1: got the header"),
        (["--method", "gird"], "--method: got 'gird', wanted one of grid, random, bayes"),
    ],
)
def test_a_mistake_is_one_line_before_any_run(tmp_path, tiny_params, flags, message):
    (tmp_path / "params.yaml").write_text(tiny_params)
    (tmp_path / "other.csv").write_text("a,b\n")
    _, errors = finish(sweep(tmp_path, *flags), status=2)
    assert errors.startswith(f"error: {message}") and errors.count("\n") == 1
    assert not (tmp_path / "sweeps").exists()
