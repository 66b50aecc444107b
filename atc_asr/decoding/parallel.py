"""A function over many items on the CPU cores, results in order, neither items nor results held as a whole."""

import collections
import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from atc_asr.core.errors import InputError
from atc_asr.core.workers import available_cores, begin_worker

CHUNK_SECONDS = 0.02  # of work handed over at a time: handing over costs the parent some tenths of a millisecond
CHUNKS_IN_FLIGHT = 4  # per process; bounds the items held in memory

Item = TypeVar("Item")
Result = TypeVar("Result")

_function: Callable | None = None


def _begin(make: Callable, arguments: tuple) -> None:
    global _function
    begin_worker()
    _function = make(*arguments)


def _run_chunk(items: list) -> tuple[list, float]:
    """Results, and the seconds they took."""
    started = time.perf_counter()
    return [_function(item) for item in items], time.perf_counter() - started


def _in_order(pool: ProcessPoolExecutor, items: Iterable[Item], most_waiting: int) -> Iterator[Result]:
    items = iter(items)
    waiting: collections.deque[Future] = collections.deque()
    size = 1
    while chunk := list(itertools.islice(items, size)):
        waiting.append(pool.submit(_run_chunk, chunk))
        if len(waiting) < most_waiting:
            continue
        results, seconds = waiting.popleft().result()
        size = max(1, min(2 * size, round(len(results) * CHUNK_SECONDS / max(seconds, 1e-6))))
        yield from results
    while waiting:
        yield from waiting.popleft().result()[0]


def parallel_map(
    make: Callable[..., Callable[[Item], Result]],
    arguments: tuple,
    items: Iterable[Item],
    num_processes: int,
) -> Iterator[Result]:
    """`make(*arguments)(item)` for every item, in order, `make` called once in each process.

    Processes, because the searches hold Python's lock. The items are taken as they are needed, so a long input
    never lies in memory as a whole; they are handed over in chunks that grow or shrink to `CHUNK_SECONDS` of work,
    because a narrow search of an utterance takes less time than its way to a process and back.
    `num_processes` 0 is one per core, 1 stays in this process.

    Raises:
        InputError: a process was killed from outside, most often for want of memory.
    """
    count = num_processes or available_cores()
    if count == 1:
        yield from map(make(*arguments), items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would carry along the locks of torch's threads
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(make, arguments))
    try:
        yield from _in_order(pool, items, count * CHUNKS_IN_FLIGHT)
    except BrokenProcessPool as error:
        raise InputError(
            "--num_processes: a process was killed (out of memory?); wanted as many as there is memory for"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
