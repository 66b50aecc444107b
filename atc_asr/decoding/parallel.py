"""Parallel map over CPU cores: results in order, bounded memory."""

import collections
import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from atc_asr.core.errors import InputError
from atc_asr.core.workers import available_cores, begin_worker

CHUNK_SECONDS = 0.02  # target duration of a chunk; sending one takes some tenths of a millisecond
CHUNKS_IN_FLIGHT = 4  # per process; bounds the items in memory

Item = TypeVar("Item")
Result = TypeVar("Result")

_function: Callable[[Any], Any]


def _begin(make: Callable, arguments: tuple) -> None:
    """Initializer of a process."""
    global _function
    begin_worker()
    _function = make(*arguments)


def _run_chunk(items: list) -> tuple[list, float]:
    """Results, and the seconds that they took."""
    started = time.perf_counter()
    return [_function(item) for item in items], time.perf_counter() - started


def _in_order(pool: ProcessPoolExecutor, items: Iterable[Item], max_pending: int) -> Iterator[Any]:
    items = iter(items)
    pending: collections.deque[Future] = collections.deque()
    size = 1
    while chunk := list(itertools.islice(items, size)):
        pending.append(pool.submit(_run_chunk, chunk))
        if len(pending) < max_pending:
            continue
        results, seconds = pending.popleft().result()
        size = max(1, min(2 * size, round(len(results) * CHUNK_SECONDS / max(seconds, 1e-6))))
        yield from results
    while pending:
        yield from pending.popleft().result()[0]


def parallel_map(
    make: Callable[..., Callable[[Item], Result]], arguments: tuple, items: Iterable[Item], num_processes: int
) -> Iterator[Result]:
    """Yield `make(*arguments)(item)` for every item, in order.

    Processes are used because the searches hold Python's global lock. Items are sent in chunks that grow or shrink to
    `CHUNK_SECONDS` of work, because sending one utterance takes longer than a narrow search of it.

    `make` is called once in every process (0 = one per core, 1 = this process). Items are taken only as needed.

    Raises:
        InputError: a process was killed, most often for lack of memory.
    """
    count = num_processes or available_cores()
    if count == 1:
        yield from map(make(*arguments), items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that torch's threads hold
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(make, arguments))
    try:
        yield from _in_order(pool, items, count * CHUNKS_IN_FLIGHT)
    except BrokenProcessPool as error:
        raise InputError(
            f"--num_processes: got {count}, one was killed (out of memory?), wanted as many as there is memory for"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
