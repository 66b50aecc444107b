"""A process pool whose workers end with their parent process and leave Ctrl-C to it."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from atc_asr.core.errors import InputError

Item = TypeVar("Item")


def take_shard(items: Sequence[Item], shard: str | None) -> Sequence[Item]:
    """The items of a shard `I/N`, the I-th of N consecutive parts; all items without a shard."""
    if shard is None:
        return items
    index, count = map(int, shard.split("/"))
    return items[len(items) * (index - 1) // count : len(items) * index // count]


def map_unordered(function: Callable[[Any], Any], tasks: Iterable[Any], processes: int) -> Iterator[Any]:
    """Yield `function(task)` of every task in order of completion; one process means the current one.

    Raises:
        InputError: a worker was killed, usually because memory ran out.
    """
    return _map(function, tasks, processes, as_completed)


def map_in_order(function: Callable[[Any], Any], tasks: Iterable[Any], processes: int) -> Iterator[Any]:
    """As `map_unordered`, in the order of the tasks."""
    return _map(function, tasks, processes, _first_to_last)


def _first_to_last(futures: Iterable[Future]) -> Iterator[Future]:
    """The futures in order; keeps none whose result was taken."""
    waiting = deque(futures)
    while waiting:
        yield waiting.popleft()


def _map(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    processes: int,
    order: Callable[[Iterable[Future]], Iterator[Future]],
) -> Iterator[Any]:
    tasks = list(tasks)
    if processes == 1 or len(tasks) < 2:
        yield from map(function, tasks)
        return
    # spawn, because a forked process inherits the memory of its parent and the locks of its parent's threads
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(tasks)), mp_context=context, initializer=begin_worker)
    try:
        for future in order([pool.submit(function, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed (out of memory?); run the same command again with more memory or fewer "
            "--processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def begin_worker() -> None:
    """Initializer of a worker process: ignore Ctrl-C, exit when the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives the signal too and shuts the pool down
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
