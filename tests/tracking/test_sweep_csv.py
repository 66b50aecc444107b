"""atc_asr.tracking.sweep_csv: header, rows, repeated runs, and several processes that write at once."""

import csv
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from atc_asr.core.errors import InputError
from atc_asr.tracking import sweep_csv

SPECIFIED_HEADER = """
timestamp, run_id, run_stage, model, output_dir, dataset_part, train_fraction, validation_samples,
epochs, wer, train_runtime, train_loss, eval_loss, device, gpu, per_device_train_batch_size,
grad_accum, effective_batch_size, lora_r, lora_alpha, lora_dropout, quant_weights_dtype,
quant_compute_dtype, inference_time_sec, peak_memory_mb, save_full_model, language, task,
learning_rate, seed, eval_strategy, eval_steps
"""


def row(**changes) -> dict:
    return dict.fromkeys(sweep_csv.SWEEP_COLUMNS) | changes


def read_rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append_many(path: Path, worker: int, count: int) -> None:
    for index in range(count):
        sweep_csv.append_sweep_row(path, row(run_id=f"{worker}-{index}", output_dir="x" * 2000))


def test_columns_match_the_specification():
    assert list(sweep_csv.SWEEP_COLUMNS) == [name.strip() for name in SPECIFIED_HEADER.split(",")]
    assert len(set(sweep_csv.SWEEP_COLUMNS)) == 32


def test_append_writes_the_header_once(tmp_path):
    path = tmp_path / "sweeps" / "master.csv"
    sweep_csv.append_sweep_row(path, row(run_id="a", wer=12.5, eval_loss=math.nan, save_full_model=True, gpu=None))
    sweep_csv.append_sweep_row(path, row(run_id='b, "quoted"\nname', learning_rate=1e-05))
    assert path.read_text().splitlines()[0] == ",".join(sweep_csv.SWEEP_COLUMNS)
    first, second = read_rows(path)
    assert (first["run_id"], first["wer"], first["save_full_model"]) == ("a", "12.5", "True")
    assert first["eval_loss"] == first["gpu"] == ""
    assert second["run_id"] == 'b, "quoted"\nname' and float(second["learning_rate"]) == 1e-05


def test_append_completes_an_empty_file_and_a_last_row_without_its_newline(tmp_path):
    path = tmp_path / "master.csv"
    path.write_text("")
    sweep_csv.append_sweep_row(path, row(run_id="a"))
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n").rstrip())
    sweep_csv.append_sweep_row(path, row(run_id="b"))
    assert [cells["run_id"] for cells in read_rows(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "header", ["run_id,wer", ",".join(reversed(sweep_csv.SWEEP_COLUMNS)), ",".join(sweep_csv.SWEEP_COLUMNS) + ",notes"]
)
def test_another_header_is_an_error_and_the_file_unchanged(tmp_path, header):
    path = tmp_path / "master.csv"
    path.write_text(f"{header}\n1,2\n")
    for write in (lambda: sweep_csv.append_sweep_row(path, row()), lambda: sweep_csv.merge_sweep_rows(path, [row()])):
        with pytest.raises(
            InputError, match=r"master\.csv:1: got the header '.*', wanted 'timestamp,run_id,"
        ) as caught:
            write()
        assert "\n" not in str(caught.value)
    assert path.read_text() == f"{header}\n1,2\n"


def test_a_row_with_missing_cells_is_an_error_with_its_line_number(tmp_path):
    path = tmp_path / "master.csv"
    sweep_csv.append_sweep_row(path, row(run_id="a"))
    path.write_text(path.read_text() + "only,three,cells\n")
    with pytest.raises(InputError, match=r"master\.csv:3: got 3 cells, wanted 32"):
        sweep_csv.append_sweep_row(path, row(run_id="b"))


@pytest.mark.parametrize("change", [{"extra": 1}, {"wer": ...}])
def test_missing_and_unknown_columns_are_errors(tmp_path, change):
    values = {key: value for key, value in (row() | change).items() if value is not ...}
    with pytest.raises(ValueError, match=r"extra|wer"):
        sweep_csv.append_sweep_row(tmp_path / "master.csv", values)
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_run_is_appended_once(tmp_path):
    path = tmp_path / "master.csv"
    for run_id, wer in (("a", 12.5), ("a", 12.6), ("b", 12.5)):
        sweep_csv.append_sweep_row(path, row(run_id=run_id, wer=wer))
    assert [(cells["run_id"], cells["wer"]) for cells in read_rows(path)] == [("a", "12.5"), ("b", "12.5")]


def test_concurrent_writers_lose_no_row(tmp_path):
    path = tmp_path / "master.csv"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append_many, args=(path, worker, 20)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    names = [cells["run_id"] for cells in read_rows(path)]
    assert sorted(names) == sorted(f"{worker}-{index}" for worker in range(4) for index in range(20))


def append_and_die_before_the_rename(path: Path) -> None:
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    sweep_csv.append_sweep_row(path, row(run_id="killed"))


def test_a_killed_writer_leaves_whole_rows_and_no_lock(tmp_path):
    path = tmp_path / "master.csv"
    sweep_csv.append_sweep_row(path, row(run_id="before"))
    writer = multiprocessing.get_context("fork").Process(target=append_and_die_before_the_rename, args=(path,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    sweep_csv.append_sweep_row(path, row(run_id="after"))
    assert [cells["run_id"] for cells in read_rows(path)] == ["before", "after"]


@pytest.mark.endurance
def test_writers_killed_at_any_time_leave_whole_rows_and_no_lock(tmp_path):
    path = tmp_path / "master.csv"
    context = multiprocessing.get_context("fork")
    for kill in range(20):
        writer = context.Process(target=append_many, args=(path, kill, 10_000))
        writer.start()
        time.sleep(0.05 + 0.01 * kill)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        sweep_csv.append_sweep_row(path, row(run_id=f"after-{kill}"))
    names = [cells["run_id"] for cells in read_rows(path)]
    assert [name for name in names if name.startswith("after")] == [f"after-{kill}" for kill in range(20)]
    for kill in range(20):
        written = [int(name.split("-")[1]) for name in names if name.startswith(f"{kill}-")]
        assert written == list(range(len(written)))


def test_merge_updates_known_runs_and_appends_new_ones(tmp_path):
    path = tmp_path / "master.csv"
    sweep_csv.append_sweep_row(path, row(run_id="by-hand", wer=9))
    assert sweep_csv.merge_sweep_rows(path, [row(run_id="a", wer=1), row(run_id="b", wer=2)]) == (2, 0)
    content = path.read_bytes()
    assert sweep_csv.merge_sweep_rows(path, [row(run_id="a", wer=1), row(run_id="b", wer=2)]) == (0, 0)
    assert path.read_bytes() == content
    assert sweep_csv.merge_sweep_rows(path, [row(run_id="b", wer=3), row(run_id="c")]) == (1, 1)
    assert [(cells["run_id"], cells["wer"]) for cells in read_rows(path)] == [
        ("by-hand", "9"),
        ("a", "1"),
        ("b", "3"),
        ("c", ""),
    ]
    with pytest.raises(ValueError, match="twice"):
        sweep_csv.merge_sweep_rows(path, [row(run_id="a"), row(run_id="a")])
