"""Several processes that train one network, each with its share of the batches and a device of its own.

`train.num_processes` starts them on one machine (`start`); torchrun does on one or several. Every process holds all
weights and makes the same updates: gradients are averaged over the processes before each (`average_gradients`). All of
them read code and corpus, at the same paths; only the first one reads and writes the run folder, so that machines need
no common disk.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any

import torch
from speechbrain.utils.distributed import ddp_init_group, is_distributed_initialized
from torch import distributed
from tqdm import tqdm

from atc_asr.core.cli import EXIT_BAD_INPUT, setup_logging
from atc_asr.core.errors import InputError

ENVIRONMENT = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # what torchrun tells a process of its place
LOCALHOST = "127.0.0.1"
CAUSE = "cause"  # key in torchrun's store: the machine where a process failed, and why
WATCH_SECONDS = 0.5  # between two looks at it
SETTLE_SECONDS = 1.0  # in which the process that failed first can say so before those that it left waiting are heard


def launched() -> bool:
    """Whether this process is one of torchrun's, or of `start`'s."""
    return all(name in os.environ for name in ENVIRONMENT)


def launched_rank() -> int:
    """Number of this process among those that were launched together, 0 for one alone."""
    return int(os.environ["RANK"]) if launched() else 0


def number_of(asked: int) -> int:
    """Processes of a training: as torchrun started them, else as asked for.

    Raises:
        InputError: both are given and differ.
    """
    if not launched():
        return asked
    found = int(os.environ["WORLD_SIZE"])
    if asked not in (1, found):
        raise InputError(f"train.num_processes: got {asked} under torchrun with {found}, wanted 1 or {found}")
    return found


def rank() -> int:
    """Number of this process in the group, 0 outside of one."""
    return distributed.get_rank() if is_distributed_initialized() else 0


def count() -> int:
    """Processes of the group, 1 outside of one."""
    return distributed.get_world_size() if is_distributed_initialized() else 1


@contextlib.contextmanager
def group() -> Iterator[None]:
    """The processes that were launched together, over NCCL where there are CUDA devices, else over gloo.

    Raises:
        InputError: there is no device for this process.
    """
    place, cuda = int(os.environ["LOCAL_RANK"]), torch.cuda.is_available()
    if cuda and place >= torch.cuda.device_count():
        devices = torch.cuda.device_count()
        raise InputError(f"train.num_processes: no CUDA device for process {place + 1}, wanted at most {devices}")
    if launched_rank():
        logging.disable(logging.WARNING)  # the first process says it
    ddp_init_group({"distributed_backend": "nccl" if cuda else "gloo"})
    yield
    distributed.destroy_process_group()  # not after an error: with NCCL it would wait for the others


class PeerWatcher(threading.Thread):
    """Watches under torchrun, which knows only its own machine, what happens to the processes of other machines.

    Attributes:
        failure: what one of them failed from.
        failed: set when `failure` is known.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._parent, self._machine = os.getppid(), os.environ["GROUP_RANK"]
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._store = distributed.TCPStore(host, port, is_master=False)  # torchrun's, on one of the machines
        self.failure, self.failed = "", threading.Event()
        self._over = threading.Event()

    def tell(self, reason: str) -> None:
        """Tell the other machines that this one failed."""
        self._store.set(CAUSE, f"{self._machine}:{reason}")
        if os.environ["GROUP_WORLD_SIZE"] != "1":
            time.sleep(2 * WATCH_SECONDS)  # the store may be gone with this process

    def _look(self) -> None:
        try:
            if not self._store.check([CAUSE]):
                return
            machine, _, reason = self._store.get(CAUSE).decode().partition(":")
        except RuntimeError:
            machine, reason = "", "training: torchrun is gone on another machine"
        if machine != self._machine:  # of its own machine torchrun ends all processes
            self.failure = reason
            self.failed.set()

    def run(self) -> None:
        """Look until a process failed; end this one if that does not."""
        while not self._over.wait(WATCH_SECONDS):
            if os.getppid() != self._parent:
                os.kill(os.getpid(), signal.SIGKILL)
            self._look()
            # NCCL, unlike gloo, would wait for a neighbour that is gone
            if self.failed.is_set() and not self._over.wait(20 * WATCH_SECONDS):
                print(f"error: {self.failure}", file=sys.stderr, flush=True)
                os._exit(EXIT_BAD_INPUT)

    def stop(self) -> None:
        """Look no more: Python must not end while the store is asked."""
        self._over.set()
        self.join(4 * WATCH_SECONDS)


@contextlib.contextmanager
def under_torchrun() -> Iterator[None]:
    """What torchrun leaves open: no process outlives it, and when one fails those of all machines end, each with the
    reason in one line.

    Raises:
        InputError: a process of another machine failed.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        yield
        return
    neighbours = PeerWatcher()
    neighbours.start()
    try:
        yield
    except (InputError, OSError) as error:
        neighbours.tell(str(error))
        raise
    except RuntimeError as error:  # perhaps only that a neighbour is gone
        if neighbours.failed.wait(4 * WATCH_SECONDS):
            raise InputError(neighbours.failure) from error
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise InputError(f"training: another of its processes is gone: {str(error).splitlines()[0]}") from error
        raise
    finally:
        neighbours.stop()


def share(batches: Sequence[Any], rank: int, count: int, *, equal: bool) -> list[Any]:
    """A process's part of the batches: every `count`-th from its own on.

    Args:
        batches: those of all processes.
        rank: the process, from 0.
        count: number of processes.
        equal: as many for each process; the last ones, fewer than `count`, are then left out.
    """
    end = len(batches) - len(batches) % count if equal else len(batches)
    return list(batches[rank:end:count])


def gather(value: Any) -> list[Any]:
    """The values of all processes in their order, in each."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def average_gradients(gradients: Sequence[torch.Tensor]) -> None:
    """Replace gradients by their means over the processes, in one exchange; what is not finite in one becomes so in
    all."""
    if count() == 1:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= count()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def end_with_parent() -> None:
    """Kill this process when the one that started it is gone, however it went."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)


def work(
    pipe: connection.Connection, place: int, number: int, port: int, function: Callable[..., Any], args: tuple
) -> None:
    """A process of `start`: sends what the function returned, or the exception that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this one
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.environ.update(dict(zip(ENVIRONMENT, map(str, (place, place, number)), strict=True)))
    # the parent holds the store where processes find each other, as torchrun's agent does: its port was free
    os.environ.update(
        MASTER_ADDR=LOCALHOST,
        MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE="True",
        TORCHELASTIC_RESTART_COUNT="0",
    )
    torch.set_num_threads(max(1, torch.get_num_threads() // number))
    setup_logging()
    tqdm.set_lock(threading.RLock())  # its own is a system's semaphore, which a kill would leave with a warning
    try:
        answer = function(*args)
    except (InputError, OSError) as error:
        answer = error
    except Exception:
        answer = RuntimeError(f"process {place} of {number}:\n{traceback.format_exc()}")
    pipe.send(answer)


def answer_of(pipe: connection.Connection, process: multiprocessing.Process) -> Any:
    """What a process sent; an InputError when it ended without."""
    try:
        return pipe.recv()
    except EOFError:
        process.join()
        return InputError(
            f"training: one of its processes ended with exit code {process.exitcode}; killed for want of memory?"
        )


def first_cause(answers: Sequence[Any]) -> Exception | None:
    """The exception that says why, where several processes failed: others only tell that a neighbour went away."""
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    return min(errors, key=lambda error: not isinstance(error, InputError | OSError)) if errors else None


def start(function: Callable[..., Any], args: tuple, number: int) -> Any:
    """Call a function in several new processes of this machine, which `group` brings together; all end with this one.

    Returns:
        What the first process's call returned.

    Raises:
        InputError, OSError: a process raised it; all are ended. Or one was killed.
        RuntimeError: a process raised another exception, which is its text.
    """
    context = multiprocessing.get_context("spawn")
    store = distributed.TCPStore(LOCALHOST, 0, is_master=True, wait_for_workers=False)
    processes: dict[connection.Connection, Any] = {}
    try:
        for place in range(number):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(send, place, number, store.port, function, args))
            process.start()
            send.close()
            processes[receive] = process
        answers: dict[connection.Connection, Any] = {}
        while len(answers) < number:
            waiting = [pipe for pipe in processes if pipe not in answers]
            answers |= {pipe: answer_of(pipe, processes[pipe]) for pipe in connection.wait(waiting)}
            if first_cause(list(answers.values())):
                time.sleep(SETTLE_SECONDS)
                late = [pipe for pipe in waiting if pipe not in answers and pipe.poll()]
                answers |= {pipe: answer_of(pipe, processes[pipe]) for pipe in late}
                raise first_cause(list(answers.values()))
        for process in processes.values():
            process.join(SETTLE_SECONDS)
        return answers[next(iter(processes))]
    finally:
        for process in processes.values():
            process.kill()
            process.join()
