"""atc_asr.tracking.record: metrics files, the sweep's CSV, and what is known about a run."""

import csv
import datetime
import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.tracking import record

SPECIFIED_HEADER = """
timestamp, run_id, run_stage, model, output_dir, dataset_part, train_fraction, validation_samples,
epochs, wer, train_runtime, train_loss, eval_loss, device, gpu, per_device_train_batch_size,
grad_accum, effective_batch_size, lora_r, lora_alpha, lora_dropout, quant_weights_dtype,
quant_compute_dtype, inference_time_sec, peak_memory_mb, save_full_model, language, task,
learning_rate, seed, eval_strategy, eval_steps
"""
ROOT = Path(__file__).resolve().parents[1]


def labels(**changes) -> record.RecordParams:
    values = {
        "run_id": "",
        "model_name": "sb-conformer-ctc",
        "run_stage": "single",
        "dataset_part": "base",
        "language": "en",
        "task": "transcribe",
        "eval_strategy": "epoch",
        "eval_steps": 0,
        "save_full_model": False,
        "notes": "",
    }
    return record.RecordParams(**(values | changes))


def row(**changes) -> dict:
    return dict.fromkeys(record.SWEEP_COLUMNS) | changes


def read_rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append_many(path: Path, worker: int, count: int) -> None:
    for index in range(count):
        record.append_sweep_row(path, row(run_id=f"{worker}-{index}", output_dir="x" * 2000))


def test_columns_are_the_specifications_in_order():
    assert list(record.SWEEP_COLUMNS) == [name.strip() for name in SPECIFIED_HEADER.split(",")]
    assert len(set(record.SWEEP_COLUMNS)) == 32


def test_run_id_is_the_label_or_the_time():
    started = datetime.datetime(2026, 11, 3, 7, 6, 5, 999)
    assert record.run_id(labels(), started) == "20261103_070605"
    assert record.run_id(labels(run_id="mine"), started) == "mine"
    assert record.timestamp(started) == "2026-11-03T07:06:05"


def test_metrics_are_sorted_numbers_with_null_for_nan(tmp_path):
    path = tmp_path / "deep" / "metrics.json"
    record.write_metrics(
        path, {"wer": 12.5, "b": {"z": math.nan, "a": np.float32(0.5)}, "a": np.int64(3), "c": [1, math.inf]}
    )
    text = path.read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text) == {"a": 3, "b": {"a": 0.5, "z": None}, "c": [1, None], "wer": 12.5}
    assert re.findall(r'"(\w)"', text) == ["a", "b", "a", "z", "c"]


@pytest.mark.parametrize("value", ["12.5", True, b"1", object(), {"deep": {"er": "x"}}])
def test_metrics_refuse_what_is_no_number(tmp_path, value):
    with pytest.raises(TypeError, match=r"metrics\.wer"):
        record.write_metrics(tmp_path / "metrics.json", {"wer": value})
    assert list(tmp_path.iterdir()) == []


def test_record_holds_texts_and_truth_values(tmp_path):
    path = tmp_path / "metrics.json"
    record.write_record(path, {"notes": "späť </script>", "peft": False, "wer": math.nan})
    assert json.loads(path.read_text(encoding="utf-8")) == {"notes": "späť </script>", "peft": False, "wer": None}


@given(
    st.recursive(
        st.none() | st.integers() | st.floats(),
        lambda inner: st.dictionaries(st.text(), inner, max_size=3) | st.lists(inner, max_size=3),
        max_leaves=10,
    )
)
def test_plain_always_makes_valid_json_and_changes_nothing_twice(value):
    once = record.plain(value, "x", texts=False)
    assert json.loads(json.dumps(once, allow_nan=False)) == once
    assert record.plain(once, "x", texts=False) == once


def test_append_writes_the_header_once(tmp_path):
    path = tmp_path / "sweeps" / "master.csv"
    record.append_sweep_row(path, row(run_id="a", wer=12.5, eval_loss=math.nan, save_full_model=True, gpu=None))
    record.append_sweep_row(path, row(run_id='b, "quoted"\nname', learning_rate=1e-05))
    assert path.read_text().splitlines()[0] == ",".join(record.SWEEP_COLUMNS)
    first, second = read_rows(path)
    assert (first["run_id"], first["wer"], first["save_full_model"]) == ("a", "12.5", "True")
    assert first["eval_loss"] == first["gpu"] == ""
    assert second["run_id"] == 'b, "quoted"\nname' and float(second["learning_rate"]) == 1e-05


def test_append_completes_an_empty_file_and_a_last_row_without_its_newline(tmp_path):
    path = tmp_path / "master.csv"
    path.write_text("")
    record.append_sweep_row(path, row(run_id="a"))
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n").rstrip())
    record.append_sweep_row(path, row(run_id="b"))
    assert [cells["run_id"] for cells in read_rows(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "header", ["run_id,wer", ",".join(reversed(record.SWEEP_COLUMNS)), ",".join(record.SWEEP_COLUMNS) + ",notes"]
)
def test_another_header_is_refused_and_the_file_left_alone(tmp_path, header):
    path = tmp_path / "master.csv"
    path.write_text(f"{header}\n1,2\n")
    for write in (lambda: record.append_sweep_row(path, row()), lambda: record.merge_sweep_rows(path, [row()])):
        with pytest.raises(
            InputError, match=r"master\.csv:1: got the header '.*', wanted 'timestamp,run_id,"
        ) as caught:
            write()
        assert "\n" not in str(caught.value)
    assert path.read_text() == f"{header}\n1,2\n"


def test_a_row_of_another_width_is_named_by_its_line(tmp_path):
    path = tmp_path / "master.csv"
    record.append_sweep_row(path, row(run_id="a"))
    path.write_text(path.read_text() + "only,three,cells\n")
    with pytest.raises(InputError, match=r"master\.csv:3: got 3 cells, wanted 32"):
        record.append_sweep_row(path, row(run_id="b"))


@pytest.mark.parametrize("change", [{"extra": 1}, {"wer": ...}])
def test_a_row_needs_all_columns_and_no_other(tmp_path, change):
    values = {key: value for key, value in (row() | change).items() if value is not ...}
    with pytest.raises(ValueError, match=r"extra|wer"):
        record.append_sweep_row(tmp_path / "master.csv", values)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_appended_once_however_often_its_end_is_repeated(tmp_path):
    path = tmp_path / "master.csv"
    for run_id, wer in (("a", 12.5), ("a", 12.6), ("b", 12.5)):
        record.append_sweep_row(path, row(run_id=run_id, wer=wer))
    assert [(cells["run_id"], cells["wer"]) for cells in read_rows(path)] == [("a", "12.5"), ("b", "12.5")]


def test_several_writers_lose_no_row(tmp_path):
    path = tmp_path / "master.csv"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append_many, args=(path, worker, 20)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    names = [cells["run_id"] for cells in read_rows(path)]
    assert sorted(names) == sorted(f"{worker}-{index}" for worker in range(4) for index in range(20))


def test_a_killed_writer_leaves_whole_rows_and_no_lock(tmp_path):
    path = tmp_path / "master.csv"
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        writer = context.Process(target=append_many, args=(path, attempt, 10_000))
        writer.start()
        time.sleep(0.05 + 0.01 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        record.append_sweep_row(path, row(run_id=f"after-{attempt}"))
    names = [cells["run_id"] for cells in read_rows(path)]
    assert [name for name in names if name.startswith("after")] == [f"after-{attempt}" for attempt in range(5)]
    for attempt in range(5):
        written = [int(name.split("-")[1]) for name in names if name.startswith(f"{attempt}-")]
        assert written == list(range(len(written)))


def test_merge_replaces_known_runs_and_appends_new_ones(tmp_path):
    path = tmp_path / "master.csv"
    record.append_sweep_row(path, row(run_id="by-hand", wer=9))
    assert record.merge_sweep_rows(path, [row(run_id="a", wer=1), row(run_id="b", wer=2)]) == (2, 0)
    content = path.read_bytes()
    assert record.merge_sweep_rows(path, [row(run_id="a", wer=1), row(run_id="b", wer=2)]) == (0, 0)
    assert path.read_bytes() == content
    assert record.merge_sweep_rows(path, [row(run_id="b", wer=3), row(run_id="c")]) == (1, 1)
    assert [(cells["run_id"], cells["wer"]) for cells in read_rows(path)] == [
        ("by-hand", "9"),
        ("a", "1"),
        ("b", "3"),
        ("c", ""),
    ]
    with pytest.raises(ValueError, match="twice"):
        record.merge_sweep_rows(path, [row(run_id="a"), row(run_id="a")])


def test_git_commit_says_when_files_were_changed(tmp_path):
    def git(*command: str) -> str:
        settings = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *settings, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    assert record.git_commit(tmp_path) is None
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "first")
    git("tag", "-a", "v1", "-m", "a tag must not take the commit's place")
    commit = git("rev-parse", "HEAD").strip()
    assert record.git_commit(tmp_path) == commit
    (tmp_path / "a").write_text("2")
    assert record.git_commit(tmp_path) == f"{commit}-dirty"


def test_versions_and_memory():
    found = record.versions()
    assert found["python"].count(".") == 2 and set(record.RECORDED_PACKAGES) < set(found)
    assert record.peak_memory_mb(3 * 2**20) == 3.0
    assert 1 < record.peak_memory_mb(None) < 100_000


def test_the_room_needs_no_torch():
    code = "import sys, atc_asr.tracking.record; assert not {'torch', 'numpy', 'dvc'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
