"""Training in several processes on one or several machines.

With `train.num_processes`, launcher.py starts them on this machine; torchrun starts them on one or several. Every
process holds all weights and makes the same updates, because the gradients are averaged before each update. All
processes read the code and the corpus; only the first one reads and writes the run folder, so that machines need no
common disk.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from speechbrain.utils.distributed import ddp_broadcast, ddp_init_group, is_distributed_initialized
from torch import distributed
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from atc_asr.core.errors import InputError
from atc_asr.model.batches import Draw, DurationBatches

ENVIRONMENT = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # set by torchrun
PEER_SECONDS = 2.0  # time for the launcher to find the process that failed first and to end the others


def launched() -> bool:
    """Whether torchrun or launcher.py started this process."""
    return all(name in os.environ for name in ENVIRONMENT)


def launched_rank() -> int:
    """Number of this process among those that were started together, 0 for a single process."""
    return int(os.environ["RANK"]) if launched() else 0


def check_num_processes(asked: int) -> int:
    """Number of processes of a training: that of torchrun, else `train.num_processes`.

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
    """Number of this process in the process group, 0 without a group."""
    return distributed.get_rank() if is_distributed_initialized() else 0


def world_size() -> int:
    """Number of processes in the process group, 1 without a group."""
    return distributed.get_world_size() if is_distributed_initialized() else 1


@contextlib.contextmanager
def group() -> Iterator[None]:
    """The process group of all processes that were started together: NCCL with CUDA devices, else gloo.

    Raises:
        InputError: there is no device for this process, or another process ended.
    """
    local_rank, cuda = int(os.environ["LOCAL_RANK"]), torch.cuda.is_available()
    if cuda and local_rank >= torch.cuda.device_count():
        devices = torch.cuda.device_count()
        raise InputError(f"train.num_processes: no CUDA device for process {local_rank + 1}, wanted at most {devices}")
    _prctl_pr_set_pdeathsig(signal.SIGKILL)  # this process must not outlive the launcher
    if launched_rank():
        logging.disable(logging.WARNING)  # the first process logs the same
    try:
        ddp_init_group({"distributed_backend": "nccl" if cuda else "gloo"})
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        time.sleep(PEER_SECONDS)
        raise InputError(f"training: another of its processes ended: {str(error).splitlines()[0]}") from error
    distributed.destroy_process_group()  # not after an error: NCCL would wait for the other processes


@contextlib.contextmanager
def broadcast_errors() -> Iterator[None]:
    """Sends an InputError of the first process to the others, which wait in `group` for a `ddp_broadcast`."""
    try:
        yield
    except InputError as error:
        if launched():
            with group():
                ddp_broadcast(error)
        raise


class DistributedBatches(DurationBatches):
    """The batches of one process: every `world_size`-th of DurationBatches, beginning with the `rank`-th.

    With `equal`, all processes have the same number of batches, and up to `world_size` - 1 of an epoch are left out.
    """

    def __init__(
        self, durations: Sequence[float], *, max_seconds: float, seed: int | None,
        rank: int, world_size: int, equal: bool, draw: Draw | None = None,
    ) -> None:  # fmt: skip
        self._rank, self._world_size, self._equal = rank, world_size, equal
        super().__init__(durations, max_seconds=max_seconds, seed=seed, draw=draw)

    def batches(self, epoch: int) -> list[list[int]]:
        """The process's batches of an epoch as lists of indices of utterances."""
        batches = super().batches(epoch)
        end = len(batches) - len(batches) % self._world_size if self._equal else len(batches)
        return batches[self._rank : end : self._world_size]


def gather(value: Any) -> list[Any]:
    """The values of all processes, in the order of their ranks."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def average_gradients(gradients: Sequence[torch.Tensor]) -> None:
    """Replaces gradients by their means over the processes, in one all-reduce."""
    if world_size() == 1:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
