"""atc_asr.sweep.attempt: shares of the machine, curves half written, locks, and what killed runs leave."""

import json
import os
import subprocess
import sys
import time

import pytest

from atc_asr.core.errors import InputError
from atc_asr.sweep import attempt


def test_workers_take_turns_on_several_gpus(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shares = [attempt.worker_environment(worker, 3, ["0", "5"], 16) for worker in range(3)]
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0", "5", "0"]
    assert {share["OMP_NUM_THREADS"] for share in shares} == {"5"}
    assert attempt.worker_environment(0, 1, ["0"], 16) == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert attempt.worker_environment(1, 2, ["0"], 16) == {}


@pytest.mark.parametrize(("given", "wanted"), [("", []), ("3", ["3"]), ("GPU-a, 1", ["GPU-a", "1"])])
def test_gpus_are_those_the_sweep_may_see(monkeypatch, given, wanted):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert attempt.visible_gpus() == wanted


def test_gpus_without_nvidia_tools(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert attempt.visible_gpus() == []


def test_a_curve_is_read_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "curve.csv"
    assert attempt.read_curve(path, "epoch", "valid_wer") == []
    path.write_text("epoch,train_loss,valid_wer\n1,0.5,90.5\n2,0.4,\n3,0.3,80")
    assert attempt.read_curve(path, "epoch", "valid_wer") == [(1, 90.5)]
    path.write_text("epoch,train_loss,valid_wer\n1,0.5,90.5\n2,0.4,80.25\n")
    assert attempt.read_curve(path, "epoch", "valid_wer") == [(1, 90.5), (2, 80.25)]
    with pytest.raises(InputError, match=r"curve\.csv: has no column wer; it has epoch, train_loss, valid_wer"):
        attempt.read_curve(path, "epoch", "wer")


def test_remains_of_one_run_are_removed_and_nothing_else(tmp_path):
    runs = tmp_path / attempt.EXPERIMENTS_FOLDER / "run"
    standalone = tmp_path / attempt.EXPERIMENTS_FOLDER / "standalone"
    precious = tmp_path / "precious"
    precious.mkdir()
    folders = {"killed": standalone / "tmp1", "other": standalone / "tmp2", "strange": precious}
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        (runs / f"rev_{name}").mkdir(parents=True)
        (runs / f"rev_{name}" / f"rev_{name}.run").write_text(json.dumps({"name": name, "root_dir": str(folder)}))
    (runs / "rev_other" / "half.run").write_text('{"name": "kil')
    attempt.remove_remains(tmp_path, "killed")
    attempt.remove_remains(tmp_path, "strange")
    assert not folders["killed"].exists() and folders["other"].exists() and precious.exists()
    assert sorted(path.name for path in runs.iterdir()) == ["rev_other"]


def test_one_driver_at_a_time(tmp_path):
    with (
        attempt.sole_driver(tmp_path),
        pytest.raises(InputError, match="another process drives this sweep"),
        attempt.sole_driver(tmp_path),
    ):
        pass
    with attempt.sole_driver(tmp_path):
        pass


def test_a_new_driver_waits_for_the_runs_of_a_killed_one(tmp_path):
    with attempt.runs_lock(tmp_path) as lock:
        orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    code = (
        "from pathlib import Path; from atc_asr.sweep.attempt import runs_lock\n"
        f"with runs_lock(Path({str(tmp_path)!r})): print('in')"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        driver.wait(1.5)
    orphan.communicate(b"\n")
    assert driver.communicate(timeout=20)[0] == "in\n"


def test_a_run_that_dies_takes_what_it_started_with_it(tmp_path):
    child = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys, os; subprocess.Popen([sys.executable, '-c', {child!r}]); import time\n" + (
        "while not os.path.exists('pid') or not open('pid').read(): time.sleep(0.01)\nos._exit(7)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, start_new_session=True)
    assert attempt.attend(process, lambda: False) == 7
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_is_ended_when_asked(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    assert attempt.attend(process, lambda: True) is None
    assert process.returncode < 0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
