"""atc_asr.tracking.record: run id, versions, memory and JSON files of a run."""

import datetime
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.tracking import record

ROOT = Path(__file__).resolve().parents[2]


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


def test_run_id_is_the_label_or_the_start_time():
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
def test_metrics_accept_only_numbers(tmp_path, value):
    with pytest.raises(TypeError, match=r"metrics\.wer"):
        record.write_metrics(tmp_path / "metrics.json", {"wer": value})
    assert list(tmp_path.iterdir()) == []


def test_records_accept_str_and_bool(tmp_path):
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
def test_json_values_are_valid_json_and_conversion_is_idempotent(value):
    once = record.to_json_value(value, "x", texts=False)
    assert json.loads(json.dumps(once, allow_nan=False)) == once
    assert record.to_json_value(once, "x", texts=False) == once


def test_git_commit_marks_changed_files(tmp_path):
    def git(*command: str) -> str:
        settings = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *settings, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    assert record.git_commit(tmp_path) is None
    git("init", "-q")
    (tmp_path / "metrics").mkdir()
    for name in ("a", "dvc.lock", "metrics/test.json"):
        (tmp_path / name).write_text("1")
        git("add", name)
    git("commit", "-qm", "first")
    git("tag", "-a", "v1", "-m", "a tag must not take the commit's place")
    commit = git("rev-parse", "HEAD").strip()
    assert record.git_commit(tmp_path) == commit
    for name in ("dvc.lock", "metrics/test.json"):  # a pipeline that runs has changed these
        (tmp_path / name).write_text("2")
    assert record.git_commit(tmp_path) == commit
    (tmp_path / "a").write_text("2")
    assert record.git_commit(tmp_path) == f"{commit}-dirty"


def test_versions_and_peak_memory():
    found = record.versions()
    assert found["python"].count(".") == 2 and set(record.RECORDED_PACKAGES) < set(found)
    assert record.peak_memory_mb(3 * 2**20) == 3.0
    assert 1 < record.peak_memory_mb(None) < 100_000


def test_import_needs_no_torch():
    code = "import sys, atc_asr.tracking.record; assert not {'torch', 'numpy', 'dvc'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
