"""The launcher: results and failures of the processes that it starts."""

import logging
import os

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from atc_asr.core.errors import InputError
from atc_asr.training import launcher


def place(word):
    return word, os.environ["RANK"], os.environ["WORLD_SIZE"]


@pytest.mark.endurance
def test_returns_the_result_of_the_first_process():
    assert launcher.launch(place, ("hello",), 2) == ("hello", "0", "2")


def failure(tmp_path, exitcode, content=None):
    path = tmp_path / "error.json"
    if content:
        path.write_text(content)
    return ProcessFailure(local_rank=0, pid=1, exitcode=exitcode, error_file=str(path))


def error_file(message):
    return f'{{"message": {{"message": "{message}", "extraInfo": {{"py_callstack": "calls", "timestamp": "1"}}}}}}'


@pytest.mark.parametrize(
    ("exitcode", "content", "message", "printed"),
    [
        (1, error_file("InputError: a.wav: too long: 9 s"), "a.wav: too long: 9 s", ""),
        (1, error_file(r"ValueError: bad\nnumber"), "training: a process failed: ValueError: bad number", "calls\n"),
        (-9, None, "training: a process ended with exit code -9; was it killed for lack of memory?", ""),
    ],
)  # fmt: skip
def test_a_failure_is_one_line(tmp_path, monkeypatch, capsys, exitcode, content, message, printed):
    def fail(config, function):
        def call(*args):
            raise ChildFailedError("train_process", {0: failure(tmp_path, exitcode, content)})

        return call

    monkeypatch.setattr(launcher, "elastic_launch", fail)
    with pytest.raises(InputError) as caught:
        launcher.launch(place, ("hello",), 2)
    assert str(caught.value) == message
    assert capsys.readouterr().err == printed
    assert not logging.getLogger("torch.distributed.elastic.agent").isEnabledFor(logging.ERROR)
