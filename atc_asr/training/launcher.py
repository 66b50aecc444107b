"""Starts the processes of a training on this machine, with torchrun's launcher."""

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from tqdm import tqdm

from atc_asr.core.cli import setup_logging
from atc_asr.core.errors import InputError


def launch(function: Callable[..., Any], args: tuple, number: int) -> Any:
    """Calls a function in `number` new processes; returns the result of the first one.

    Raises:
        InputError: a process failed; the message gives the reason. The other processes were ended.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the InputError says the same
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=number, run_id="training", max_restarts=0,
            rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="localhost",
            logs_specs=DefaultLogsSpecs(log_dir=folder), signals_to_handle="",
        )  # fmt: skip
        try:
            return elastic_launch(config, _call)(function, args)[0]
        except ChildFailedError as error:
            raise InputError(_reason(error)) from None


def _call(function: Callable[..., Any], args: tuple) -> Any:
    setup_logging()
    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ["WORLD_SIZE"])))
    tqdm.set_lock(threading.RLock())  # tqdm's default is a semaphore of the system; a killed process would leak it
    return function(*args)


def _reason(error: ChildFailedError) -> str:
    """One line about the first failure; the traceback of an unexpected exception goes to standard error."""
    failure = error.get_first_failure()[1]
    if not isinstance(failure.message, dict):
        return f"training: a process ended with exit code {failure.exitcode}; was it killed for lack of memory?"
    name, _, text = failure.message["message"].partition(": ")
    if name == InputError.__name__:
        return text
    print(failure.message["extraInfo"]["py_callstack"], file=sys.stderr)
    return f"training: a process failed: {' '.join(failure.message['message'].split())}"
