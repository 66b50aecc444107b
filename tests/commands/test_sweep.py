"""atc_asr.commands.sweep with DVC itself; the tests with processes that are killed are marked endurance."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atc_asr.commands import sweep, sweep_csv
from atc_asr.core.errors import InputError
from atc_asr.sweep import study
from atc_asr.sweep.experiments import list_experiments, name_of, problem_of

ROOT = Path(__file__).resolve().parents[2]
# The virtual environment is not activated: a sweep brings its own Python to the stages.
BARE_PATH = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if "venv" not in part)
FILES = ["--study_dir", "sweeps/coarse", "--metrics", "models/valid.json"]
CSV_FLAGS = ["--run_metrics", "models/metrics.json", "--metrics_csv", "master.csv"]


def start(*flags: str, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "atc_asr.commands.sweep", *FILES, *flags],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": BARE_PATH} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen, status: int = 0) -> tuple[str, str]:
    output, errors = process.communicate()
    assert process.returncode == status, errors
    return output, errors


def running_processes(repository: Path) -> list[int]:
    """Process ids of `dvc exp run` of this repository."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--temp" in command and repository in [(folder / "cwd").resolve(), *(folder / "cwd").resolve().parents]:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_until(condition, process: subprocess.Popen):
    """What `condition` returns as soon as it is true; pytest's timeout limits the wait."""
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


def curves(repository: Path) -> list[Path]:
    return list(repository.glob(".dvc/tmp/exps/standalone/*/models/curve.csv"))


def read_rows() -> list[dict]:
    with open("master.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def problems() -> dict[str, str | None]:
    """Of each experiment that `dvc exp show` lists."""
    found = list_experiments()
    assert len({name_of(experiment) for experiment in found}) == len(found), "an experiment is listed twice"
    return {name_of(experiment): problem_of(experiment) for experiment in found}


def test_sweep_runs_dvc_experiments_and_writes_their_rows(tiny_repository, monkeypatch, capsys, caplog):
    caplog.set_level("INFO", logger="atc_asr")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    sweep.main([*FILES, *CSV_FLAGS, "--space", "train.lr=0.2,0.3", "--num_workers", "2"])
    assert problems() == {"coarse-0": None, "coarse-1": None}
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["coarse-1", "complete", "5", "train.lr=0.3"]
    rows = read_rows()
    assert sorted((row["run_id"], row["learning_rate"]) for row in rows) == [("coarse-0", "0.2"), ("coarse-1", "0.3")]
    assert {row["gpu"] for row in rows} == {"4", "7"} and {row["run_stage"] for row in rows} == {"coarse"}

    content = Path("master.csv").read_bytes()
    sweep_csv.main(CSV_FLAGS)
    assert caplog.messages[-1] == "master.csv: 2 experiments, 0 new, 0 changed, 0 left out"
    assert Path("master.csv").read_bytes() == content


@pytest.mark.endurance
def test_killed_trial_of_six_is_run_again(tiny_repository):
    space = ["train.lr=0.1,0.2,0.3", "train.epochs=2,3", f"train.hold={tiny_repository / 'go'}"]
    process = start("--space", *space, *CSV_FLAGS, CUDA_VISIBLE_DEVICES="4,7")
    wait_until(lambda: curves(tiny_repository), process)
    os.kill(running_processes(tiny_repository)[0], signal.SIGKILL)
    (tiny_repository / "go").touch()
    output, errors = finish(process)
    assert "ended without a result, retry 1 of 1" in errors
    assert problems() == dict.fromkeys([f"coarse-{number}" for number in range(6)])
    rows = read_rows()
    assert sorted(row["run_id"] for row in rows) == [f"coarse-{number}" for number in range(6)]
    assert {(row["learning_rate"], row["epochs"]) for row in rows} == {
        (rate, epochs) for rate in ("0.1", "0.2", "0.3") for epochs in ("2", "3")
    }
    assert output.splitlines()[1].split()[3:5] == ["train.lr=0.3", "train.epochs=3"]


@pytest.mark.endurance
def test_killed_sweep_resumes(tiny_repository):
    go = tiny_repository / "go"
    flags = ["--method", "random", "--space", "train.lr=log(0.01,1)", f"train.hold={go}", "--num_trials"]
    # The first sweep is killed when two trials run; one of them is killed as well, the other one finishes by itself.
    process = start(*flags, "3")
    wait_until(lambda: len(curves(tiny_repository)) == 2, process)
    process.kill()
    process.communicate()
    os.kill(running_processes(tiny_repository)[0], signal.SIGKILL)
    resumed = start(*flags, "3")
    go.touch()
    output, _ = finish(resumed)
    assert problems() == dict.fromkeys([f"coarse-{number}" for number in range(3)])
    assert output.count("complete") == 3
    assert len({line.split()[3] for line in output.splitlines()[1:]}) == 3
    output, _ = finish(start(*flags, "4"))
    assert output.count("complete") == 4 and len(problems()) == 4


@pytest.mark.endurance
def test_terminated_sweep_stops_its_trials_and_leaves_nothing(tiny_repository):
    process = start("--space", "train.lr=0.1,0.2", "train.hold=/never")
    wait_until(lambda: len(curves(tiny_repository)) == 2, process)
    process.send_signal(signal.SIGTERM)
    _, errors = finish(process, status=130)
    assert errors.splitlines()[-1].startswith("interrupted")
    assert running_processes(tiny_repository) == []
    assert problems() == {}


@pytest.mark.endurance
def test_bad_trials_are_pruned(tiny_repository, monkeypatch, capsys):
    monkeypatch.setattr(study, "PRUNE_STARTUP_TRIALS", 2)
    monkeypatch.setattr(study, "PRUNE_WARMUP_STEPS", 0)
    should_prune = study.Sweep._should_prune

    def release_after_reporting(self, trial):
        """Release the first two trials when their curve is reported; the third is never released."""
        pruned = should_prune(self, trial)
        if self.study.trials[trial.number].intermediate_values and trial.number < 2:
            (tiny_repository / f"go-{trial.params['train.lr']}").touch()
        return pruned

    monkeypatch.setattr(study.Sweep, "_should_prune", release_after_reporting)
    space = ["train.lr=0.3,0.31,0.9", f"train.hold={tiny_repository / 'go'}"]
    sweep.main([*FILES, "--space", *space, "--num_workers", "1", "--prune", "--curve", "mod*/curve.csv"])
    assert problems() == {"coarse-0": None, "coarse-1": None}
    assert capsys.readouterr().out.splitlines()[-1].split()[:2] == ["coarse-2", "pruned"]


@pytest.mark.endurance
def test_failed_trials_are_listed_and_left_out(tiny_repository):
    flags = ["--space", "train.broken=false,true", "--metric", "deep.er", "--max_retries", "0"]
    with pytest.raises(InputError) as caught:
        sweep.main([*FILES, *flags])
    assert str(caught.value) == "sweeps/coarse: 1 of 2 trials failed: coarse-1; see their logs there"
    assert "broken" in Path("sweeps/coarse/coarse-1.log").read_text()
    assert problems() == {"coarse-0": None}
    Path("sweeps/coarse").rename("sweeps/old")
    with pytest.raises(InputError, match="experiment coarse-0 exists"):
        sweep.main([*FILES, "--space", "train.lr=0.2"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--space", "train.rl=1,2"], "space: train.rl is not in params.yaml; did you mean train.lr?"),
        (["--space", "train.lr"], "space: train.lr: wanted section.key=values"),
        (["--space", "train.lr=log(0,1)"], "space: train.lr=log(0,1): got 0, wanted a lower limit > 0"),
        (["--space", "train.epochs=3,"], "space: train.epochs=3,: got an empty value or one twice"),
        (["--space", "train.lr=uniform(0,1)"], "space: train.lr is a range, a grid wants values with commas"),
        (["--space", "train.lr=1", "--prune"], "--curve: is missing, sweep.prune compares training curves"),
        (["--space", "train.lr=1", "--metrics_csv", "other.csv"], "--run_metrics: is missing"),
        (["--space", "train.lr=1", "--metrics_csv", "other.csv", "--run_metrics", "m"], "other.csv:1: got the header"),
        (["--space", "train.lr=1", "--study_dir", "sweeps/a-b"], "--study_dir: got 'a-b', wanted letters, digits"),
        (["--method", "gird"], "--method: got 'gird', wanted one of grid, random, bayes"),
    ],
)
def test_mistakes_are_one_line_before_any_trial(tmp_path, monkeypatch, tiny_params, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(tiny_params)
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(InputError) as caught:
        sweep.main([*FILES, *flags])
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert not (tmp_path / "sweeps").exists()
