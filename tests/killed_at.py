"""A function that is killed at one of its changes of the file system."""

import multiprocessing
from collections.abc import Callable

from benchmarks.kills import file_system_events


def killed_at(event: int, call: Callable[[], object]) -> bool:
    """Forks a process that is killed at a file-system event; returns whether it was, and not finished before."""
    process = multiprocessing.get_context("fork").Process(target=file_system_events, args=(call, event))
    process.start()
    process.join()
    assert process.exitcode in (0, -9)
    return process.exitcode == -9
