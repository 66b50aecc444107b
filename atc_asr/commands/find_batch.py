"""find_batch: the largest train.batch_size that fits in memory, tried on the longest utterances.

Reads   train_manifest  CSV or JSONL, several allowed
        tokenizer_dir   units of stages.tokenizer; not given: made from the train manifest
Prints  one line: the batch size, its peak memory and the limit

Every trial is a training of two updates over the longest batch, validation and checkpoint included, in a process of
its own: doubling until one does not fit, then bisection. On CUDA a batch fits that does not run out of memory; on a
CPU one whose process stays under memory_mb.
"""

import logging
import math
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, read_manifests
from atc_asr.model import network
from atc_asr.model.batches import DurationBatches
from atc_asr.model.network import HPARAMS_FILE
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.params import TokenizerParams
from atc_asr.tokenizer.tokens import Tokens, build_tokens
from atc_asr.training import training
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams
from atc_asr.training.training import TrainingConfig

SECTIONS = (TrainParams, ModelParams, SpecAugmentParams, AugmentParams, LoraParams, TokenizerParams)

log = logging.getLogger(__name__)


def largest_that_fits(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The largest number in [low, high] that fits, if all smaller ones do; 0: not even `low`."""
    if not fits(low):
        return 0
    good, bad = low, high + 1
    while good * 2 < bad and bad == high + 1:
        if fits(good * 2):
            good *= 2
        else:
            bad = good * 2
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def longest_batch(setup: TrainingConfig, batch_size: int) -> list[Utterance]:
    """The rows of a training's batch with the longest utterances."""
    durations = [row.duration for row in setup.train_set]
    seconds = batch_size * sum(durations) / len(durations)
    first = DurationBatches(durations, max_seconds=seconds, seed=None).batches(1)[0]
    return [setup.train_set[index] for index in first]


def two_updates(setup: TrainingConfig, batch_size: int) -> int:
    """Train on the longest batch alone; returns the peak memory in bytes."""
    rows = longest_batch(setup, batch_size)
    longest, mean = max(row.duration for row in rows), sum(row.duration for row in rows) / len(rows)
    alone = replace(
        setup.train,
        batch_size=math.ceil(len(rows) * longest / mean),  # all of them in one batch
        epochs=2,
        grad_accum=1,
        num_processes=1,
        init_from=None,
        audio_cache_mb=0,
        num_workers=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        training.train(replace(setup, train=alone, train_set=rows, valid_set=rows[:1]), Path(folder))
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def trial(setup: TrainingConfig, batch_size: int, pipe: Connection) -> None:
    """A process: sends the peak memory, or None when there was not enough."""
    logging.disable(logging.WARNING)
    try:
        pipe.send(two_updates(setup, batch_size))
    except (InputError, MemoryError, RuntimeError) as error:
        if isinstance(error.__cause__, torch.cuda.OutOfMemoryError) or "memory" in str(error):
            pipe.send(None)
        else:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)


def peak_memory(setup: TrainingConfig, batch_size: int) -> int | None:
    """Peak bytes of a trial in a process of its own; None: it ran out of memory, or the system ended it.

    Raises:
        InputError: the trial ended for another reason.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=trial, args=(setup, batch_size, send))
    process.start()
    send.close()
    try:
        peak = receive.recv()
    except EOFError:
        peak = None
    process.join()
    if process.exitcode and process.exitcode > 0:
        raise InputError(f"batch_size {batch_size}: the trial failed, its reason stands above")
    return peak


def run(setup: TrainingConfig, *, memory_bytes: int) -> tuple[int, int]:
    """The largest batch size that fits, and its peak memory in bytes.

    Raises:
        InputError: not even the smallest batch that holds the longest utterance fits.
    """
    durations = [row.duration for row in setup.train_set]
    smallest = math.ceil(max(durations) * len(durations) / sum(durations))
    peaks: dict[int, int | None] = {}

    def fits(batch_size: int) -> bool:
        peaks[batch_size] = peak_memory(setup, batch_size)
        peak = peaks[batch_size]
        log.info("batch_size %d: %s", batch_size, "out of memory" if peak is None else f"{peak / 1e6:.0f} MB")
        return peak is not None and peak <= memory_bytes

    found = largest_that_fits(fits, smallest, max(smallest, len(durations)))
    if found == 0:
        raise InputError(
            f"batch_size {smallest}, the smallest that holds the longest utterance ({max(durations):.1f} s), does not "
            f"fit in {memory_bytes / 1e6:.0f} MB; wanted shorter utterances or a smaller model.*"
        )
    return found, peaks[found]


def machine_memory() -> int:
    """Bytes to train in: the GPU's free ones, else the machine's available ones."""
    device = network.pick_device()
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the tool."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--train_manifest", nargs="+", required=True, help="train manifests, CSV or JSONL")
    door.path("--tokenizer_dir", help="units of stages.tokenizer (made from the train manifest)")
    door.path("--hparams_file", default=HPARAMS_FILE, help="HyperPyYAML of the network (conformer_ctc.yaml)")
    door.path("--memory_mb", type=int, help="limit, MB of 1,000,000 bytes (what the device or the machine has free)")
    args = door.parse(argv)
    train, model, specaugment, augment, lora, tokenizer = args.sections
    rows = training.select_train(read_manifests(args.paths.train_manifest), train)
    if args.paths.tokenizer_dir:
        tokens = Tokens.load(args.paths.tokenizer_dir)
    else:
        tokens = build_tokens(tokenizer, [row.transcript for row in rows], None)
    setup = TrainingConfig(train, model, specaugment, augment, lora, tokens, rows, rows[:1], args.paths.hparams_file)
    limit = machine_memory() if args.paths.memory_mb is None else args.paths.memory_mb * 1_000_000
    batch_size, peak = run(setup, memory_bytes=limit)
    print(f"batch_size {batch_size}: the longest batch takes {peak / 1e6:.0f} of {limit / 1e6:.0f} MB")


if __name__ == "__main__":
    enter(main)
