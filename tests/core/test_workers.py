"""The process pool: results, killed workers, a killed parent."""

import os
import signal
import subprocess
import sys
import time

import pytest

from atc_asr.core import workers
from atc_asr.core.errors import InputError

PARENT = """
import sys
sys.path[:0] = {path!r}
from test_workers import hold_fifo_open
from atc_asr.core.workers import map_unordered
if __name__ == "__main__":
    list(map_unordered(hold_fifo_open, [{fifo!r}] * 2, 2))
"""


def square(number):
    return number * number


def kill_self(number):
    os.kill(os.getpid(), signal.SIGKILL)


def hold_fifo_open(fifo):
    with open(fifo, "wb", buffering=0) as file:
        file.write(b"x")
        time.sleep(60)


@pytest.mark.parametrize("processes", [1, 2])
def test_every_result_is_yielded_once(processes):
    assert sorted(workers.map_unordered(square, range(5), processes)) == [0, 1, 4, 9, 16]


def test_a_killed_worker_is_an_input_error():
    with pytest.raises(InputError, match="out of memory"):
        list(workers.map_unordered(kill_self, [1, 2], 2))


def test_workers_end_when_their_parent_is_killed(tmp_path):
    """Both workers hold a FIFO open for writing: its end of file shows that both have ended."""
    fifo, script = tmp_path / "fifo", tmp_path / "parent.py"
    os.mkfifo(fifo)
    script.write_text(PARENT.format(path=sys.path, fifo=str(fifo)))
    parent = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
    with open(fifo, "rb") as file:
        assert file.read(2) == b"xx"
        parent.kill()
        parent.wait()
        assert file.read() == b""
