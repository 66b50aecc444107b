"""atc_asr.commands.sweep_csv on DVC's own queue."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def dvc(repository: Path, *command: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *command], cwd=repository, check=True, capture_output=True)


def sweep_csv(repository: Path, *flags: str) -> tuple[int, list[str]]:
    answer = subprocess.run(
        [sys.executable, "-m", "atc_asr.commands.sweep_csv", "--run_metrics", "models/metrics.json", *flags],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.returncode, answer.stderr.splitlines()


def read_rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_queue_with_two_workers_each_experiment_once_the_failed_ones_listed(tiny_repository):
    for name, values in {"one": "lr=0.2", "two": "lr=0.4", "bad": "broken=true"}.items():
        dvc(tiny_repository, "exp", "run", "--queue", "--name", name, "--set-param", f"train.{values}")
    dvc(tiny_repository, "queue", "start", "--jobs", "2")
    dvc(tiny_repository, "queue", "logs", "--follow", "one")
    dvc(tiny_repository, "queue", "logs", "--follow", "two")
    dvc(tiny_repository, "queue", "logs", "--follow", "bad")
    dvc(tiny_repository, "queue", "stop")
    dvc(tiny_repository, "exp", "run", "--queue", "--name", "later", "--set-param", "record.run_id=mine")

    path = tiny_repository / "master.csv"
    status, lines = sweep_csv(tiny_repository, "--metrics_csv", "master.csv")
    assert status == 0
    assert [(row["run_id"], row["learning_rate"]) for row in read_rows(path)] in (
        [("one", "0.2"), ("two", "0.4")],
        [("two", "0.4"), ("one", "0.2")],
    )
    left_out = sorted(line.partition("left out: ")[2] for line in lines if "WARNING" in line)
    assert left_out[0].startswith("bad: failed") and left_out[1] == "later: queued" and len(left_out) == 2
    content = path.read_bytes()
    assert sweep_csv(tiny_repository, "--metrics_csv", "master.csv")[0] == 0
    assert path.read_bytes() == content

    path.write_text("other,header\n1,2\n")
    status, lines = sweep_csv(tiny_repository, "--metrics_csv", "master.csv")
    assert status == 2 and lines[-1].startswith("error: ") and "master.csv:1: got the header" in lines[-1]
    assert path.read_text() == "other,header\n1,2\n"


def test_outside_of_a_repository_is_one_line(tmp_path):
    (tmp_path / "params.yaml").write_text("a: {b: 1}\n")
    status, lines = sweep_csv(tmp_path, "--metrics_csv", "master.csv")
    assert status == 2 and len(lines) == 1 and "dvc exp show" in lines[0]
    assert not (tmp_path / "master.csv").exists()
