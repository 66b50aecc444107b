import os
import signal
import subprocess
import sys
import time

import pytest

from atc_asr.core import workers
from atc_asr.core.errors import InputError

PARENT = """
import sys, time
sys.path[:0] = {path!r}
from test_workers import note_and_sleep
from atc_asr.core.workers import map_unordered
if __name__ == "__main__":
    list(map_unordered(note_and_sleep, [{folder!r}] * 2, 2))
"""


def square(number):
    return number * number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def note_and_sleep(folder):
    with open(f"{folder}/{os.getpid()}", "w"):
        time.sleep(60)


@pytest.mark.parametrize("processes", [1, 2])
def test_every_result_once(processes):
    assert sorted(workers.map_unordered(square, range(5), processes)) == [0, 1, 4, 9, 16]


def test_a_killed_worker_is_one_line():
    with pytest.raises(InputError, match="out of memory"):
        list(workers.map_unordered(die, [1, 2], 2))


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="asks /proc which processes run")
def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(path=sys.path, folder=str(notes)))
    parent = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(list(notes.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = [int(path.name) for path in notes.iterdir()]
    parent.kill()
    parent.wait()
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2
    assert not any(map(is_running, pids))
