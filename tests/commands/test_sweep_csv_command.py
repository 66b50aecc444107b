"""atc_asr.commands.sweep_csv with the DVC queue."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from atc_asr.commands import sweep_csv
from atc_asr.core.errors import InputError

FLAGS = ["--run_metrics", "models/metrics.json", "--metrics_csv", "master.csv"]


def dvc(*command: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *command], check=True, capture_output=True)


def read_rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.endurance
def test_queue_with_two_workers_gives_a_row_per_experiment_and_lists_failed_ones(tiny_repository, caplog):
    caplog.set_level("INFO", logger="atc_asr")
    for name, values in {"one": "lr=0.2", "two": "lr=0.4", "bad": "broken=true"}.items():
        dvc("exp", "run", "--queue", "--name", name, "--set-param", f"train.{values}")
    dvc("queue", "start", "--jobs", "2")
    for name in ("one", "two", "bad"):
        dvc("queue", "logs", "--follow", name)
    dvc("queue", "stop")
    dvc("exp", "run", "--queue", "--name", "later", "--set-param", "record.run_id=mine")

    path = tiny_repository / "master.csv"
    sweep_csv.main(FLAGS)
    assert sorted((row["run_id"], row["learning_rate"]) for row in read_rows(path)) == [("one", "0.2"), ("two", "0.4")]
    left_out = sorted(line.removeprefix("left out: ") for line in caplog.messages if line.startswith("left out: "))
    assert left_out[0].startswith("bad: failed") and left_out[1:] == ["later: queued"]
    content = path.read_bytes()
    sweep_csv.main(FLAGS)
    assert path.read_bytes() == content

    path.write_text("other,header\n1,2\n")
    with pytest.raises(InputError, match=r"master\.csv:1: got the header"):
        sweep_csv.main(FLAGS)
    assert path.read_text() == "other,header\n1,2\n"


def test_outside_of_a_repository_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="dvc exp show") as caught:
        sweep_csv.main(FLAGS)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
