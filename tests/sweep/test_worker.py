"""atc_asr.sweep.worker: environments of workers, curves, locks, and the files and processes of killed experiments."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.sweep import worker


def test_workers_take_turns_on_several_gpus(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    environments = [worker.worker_environment(index, 3, ["0", "5"], 16) for index in range(3)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "5", "0"]
    assert {environment["OMP_NUM_THREADS"] for environment in environments} == {"5"}
    assert worker.worker_environment(0, 1, ["0"], 16) == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert worker.worker_environment(1, 2, ["0"], 16) == {}


@pytest.mark.parametrize(("given", "wanted"), [("", []), ("3", ["3"]), ("GPU-a, 1", ["GPU-a", "1"])])
def test_gpus_are_those_the_sweep_may_see(monkeypatch, given, wanted):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert worker.visible_gpus() == wanted


def test_gpus_are_all_where_the_environment_names_none(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for count, names in ((0, []), (2, ["0", "1"])):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert worker.visible_gpus() == names


def running(name: str, root_dir: Path) -> Path:
    """DVC's file of a running experiment in the current folder."""
    run_file = worker.EXPERIMENTS_DIR / "run" / f"rev_{name}" / f"rev_{name}.run"
    run_file.parent.mkdir(parents=True)
    root_dir.mkdir(parents=True, exist_ok=True)
    run_file.write_text(json.dumps({"name": name, "root_dir": str(root_dir.resolve())}))
    return root_dir


def test_curve_is_read_up_to_its_last_complete_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert worker.read_curve("a", "curve.csv") == {}
    path = running("a", Path("a")) / "curve.csv"
    assert worker.read_curve("a", "*.csv") == {}
    path.write_text("")
    assert worker.read_curve("a", "*.csv") == {}
    path.write_text("epoch,train_loss,valid_wer\n1,0.5,90.5\n2,0.4,\n3,0.3,80")
    assert worker.read_curve("a", "*.csv") == {1: 90.5}
    path.write_text("epoch,train_loss,valid_wer\n1,0.5,90.5\n2,0.4,80.25\n")
    assert worker.read_curve("a", "*.csv") == {1: 90.5, 2: 80.25}
    assert worker.read_curve("b", "*.csv") == {}
    path.write_text("epoch,train_loss\n")
    with pytest.raises(InputError, match=r"curve\.csv: has no column valid_wer; it has epoch, train_loss"):
        worker.read_curve("a", "curve.csv")


def test_files_of_one_experiment_are_removed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    standalone = worker.EXPERIMENTS_DIR / "standalone"
    killed, other = running("killed", standalone / "tmp1"), running("other", standalone / "tmp2")
    foreign = running("foreign", Path("precious"))
    (worker.EXPERIMENTS_DIR / "run" / "rev_other" / "half.run").write_text('{"name": "kil')
    worker.remove_run_files("killed")
    worker.remove_run_files("foreign")
    assert not killed.exists() and other.exists() and foreign.exists()
    assert [path.name for path in (worker.EXPERIMENTS_DIR / "run").iterdir()] == ["rev_other"]


def test_one_process_at_a_time_runs_a_sweep(tmp_path):
    with (
        worker.lock_study(tmp_path),
        pytest.raises(InputError, match="another process runs this sweep"),
        worker.lock_study(tmp_path),
    ):
        pass
    with worker.lock_study(tmp_path):
        pass


def test_new_sweep_waits_for_the_trials_of_a_killed_one(tmp_path, monkeypatch):
    with worker.lock_study(tmp_path):
        trial = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    waits, locked = threading.Event(), threading.Event()
    monkeypatch.setattr(worker.log, "info", lambda message, *_: message == messages.WAITING_FOR_TRIALS and waits.set())

    def resume() -> None:
        with worker.lock_study(tmp_path):
            locked.set()

    sweep = threading.Thread(target=resume)
    sweep.start()
    waits.wait()
    assert not locked.is_set()
    trial.communicate(b"\n")
    sweep.join()
    assert locked.is_set()


def run_code(monkeypatch, tmp_path, code: str, should_stop) -> bool:
    """Run Python code in the place of `dvc exp run`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worker, "DVC", (sys.executable, "-c", code))
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)
    return worker.run_experiment("a", {}, {}, tmp_path / "a.log", should_stop)


CHILD = "import os, time; open('new', 'w').write(str(os.getpid())); os.rename('new', 'pid'); time.sleep(600)"
START_CHILD = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, '-c', {CHILD!r}])
while not os.path.exists('pid'): time.sleep(0.01)
"""


def test_stages_of_a_killed_experiment_are_stopped(tmp_path, monkeypatch):
    assert run_code(monkeypatch, tmp_path, START_CHILD + "os._exit(7)", lambda: False) is False
    wait_for_end(int((tmp_path / "pid").read_text()))


def test_experiment_is_stopped_with_its_stages(tmp_path, monkeypatch):
    code = START_CHILD + "time.sleep(600)"
    assert run_code(monkeypatch, tmp_path, code, lambda: (tmp_path / "pid").exists()) is True
    wait_for_end(int((tmp_path / "pid").read_text()))


def test_experiment_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "TERMINATE_SECONDS", 0.1)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('on', 'w').close(); time.sleep(600)"
    )
    assert run_code(monkeypatch, tmp_path, code, lambda: (tmp_path / "on").exists()) is True


def test_experiment_gets_its_values_environment_and_log(tmp_path, monkeypatch):
    code = "import os, sys; print(sys.argv[1:], os.environ['GPU'], os.environ['PATH'].split(os.pathsep)[0])"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worker, "DVC", (sys.executable, "-c", code))
    log_file = tmp_path / "a.log"
    log_file.write_text("earlier\n")
    assert not worker.run_experiment("a-1", {"train.lr": "0.1", "b": "2"}, {"GPU": "7"}, log_file, lambda: False)
    wanted = ["--wait-for-lock", "exp", "run", "--temp", "--name", "a-1", "--set-param=train.lr=0.1", "--set-param=b=2"]
    assert log_file.read_text() == f"earlier\n{wanted} 7 {Path(sys.executable).parent}\n"


def wait_for_end(pid: int) -> None:
    """Wait until a process has ended; pytest's timeout limits it."""
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
