"""Parallel map: order, bounded look-ahead, and killed processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from atc_asr.core.errors import InputError
from atc_asr.decoding import parallel
from atc_asr.decoding.parallel import parallel_map


def scaler(factor: int) -> Callable[[int], int]:
    return lambda number: factor * number


def uneven(factor: int) -> Callable[[int], int]:
    """A function that takes longer for some items, so that chunks shrink and grow."""

    def function(number: int) -> int:
        time.sleep(0.02 if number % 50 < 3 else 0)
        return factor * number

    return function


def killed() -> Callable[[int], int]:
    return lambda number: os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_order(num_processes: int) -> None:
    assert list(parallel_map(uneven, (3,), range(200), num_processes)) == [3 * number for number in range(200)]


def test_items_are_taken_only_as_needed() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = parallel_map(uneven, (1,), items(), 2)
    assert next(results) == 1
    assert taken <= 2 * parallel.CHUNKS_IN_FLIGHT
    results.close()


def test_no_items() -> None:
    assert list(parallel_map(scaler, (3,), [], 2)) == []


def test_killed_process_raises() -> None:
    with pytest.raises(InputError, match="--num_processes: got 2, one was killed"):
        list(parallel_map(killed, (), range(4), 2))
