"""find_batch: the largest train.batch_size that fits in memory."""

import logging
import math
import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from atc_asr.core import cli, messages
from atc_asr.core.config import Flags, argument
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import read_manifests
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.params import TokenizerParams
from atc_asr.tokenizer.tokens import Tokens, build_tokens
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams

if TYPE_CHECKING:  # the functions import torch and what needs it, so that --help does not
    from atc_asr.training.config import TrainingConfig

log = logging.getLogger(__name__)


class FindBatchFlags(Flags):
    """Find the largest train.batch_size that fits in memory.

    Every trial trains for two updates with the longest batch, in a process of its own, validation and checkpoint
    included. The batch size is doubled until a trial runs out of memory, then bisected. On a CPU a trial must stay
    below memory_mb.

    Reads   train_manifest  CSV or JSONL, one or several
            tokenizer_dir   tokens of stages.tokenizer; built from the train manifest if not given
    Prints  one line: the batch size, its peak memory and the limit
    """

    train_manifest: list[Path] = argument("train manifests, CSV or JSONL")
    tokenizer_dir: Path | None = argument("tokens of stages.tokenizer (built from the train manifest)", None)
    hparams_file: Path | None = argument("HyperPyYAML of the network (atc_asr/model/conformer_ctc.yaml)", None)
    memory_mb: int | None = argument("limit in MB of 1,000,000 bytes (the free memory of the device)", None)


def largest_that_fits(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The largest number from `low` to `high` that fits, if all smaller ones do; 0 if `low` does not fit."""
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


def two_updates(config: "TrainingConfig", batch_size: int) -> int:
    """Trains with the batch of the longest utterances alone; returns the peak memory in bytes."""
    import torch

    from atc_asr.model.batches import DurationBatches
    from atc_asr.training import training

    durations = [row.duration for row in config.train_set]
    seconds = batch_size * sum(durations) / len(durations)
    first = DurationBatches(durations, max_seconds=seconds, seed=None).batches(1)[0]
    rows = [config.train_set[index] for index in first]
    longest, mean = max(row.duration for row in rows), sum(row.duration for row in rows) / len(rows)
    alone = config.train.model_copy(
        update={
            "batch_size": math.ceil(len(rows) * longest / mean),  # all utterances in one batch
            "epochs": 2, "grad_accum": 1, "num_processes": 1, "init_from": None, "audio_cache_mb": 0, "num_workers": 0,
        }
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        training.train(replace(config, train=alone, train_set=rows, valid_set=rows[:1]), Path(folder))
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_memory(config: "TrainingConfig", batch_size: int) -> int | None:
    """Peak memory in bytes of a trial in a new process; None if it ran out of memory or was killed by the system.

    Raises:
        InputError: the trial failed for another reason.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=logging.disable, initargs=(logging.WARNING,)) as pool:
        try:
            return pool.submit(two_updates, config, batch_size).result()
        except (BrokenProcessPool, MemoryError):
            return None
        except (InputError, RuntimeError) as error:
            if "memory" in str(error):
                return None
            raise


def run(config: "TrainingConfig", *, memory_bytes: int) -> tuple[int, int]:
    """The largest batch size that fits, and its peak memory in bytes.

    Raises:
        InputError: not even the smallest batch that holds the longest utterance fits.
    """
    durations = [row.duration for row in config.train_set]
    smallest = math.ceil(max(durations) * len(durations) / sum(durations))
    peaks: dict[int, int | None] = {}

    def fits(batch_size: int) -> bool:
        peak = peaks[batch_size] = peak_memory(config, batch_size)
        log.info(messages.BATCH_TRIED, batch_size, "out of memory" if peak is None else f"{peak / 1e6:.0f} MB")
        return peak is not None and peak <= memory_bytes

    found = largest_that_fits(fits, smallest, max(smallest, len(durations)))
    if found == 0:
        raise InputError(
            f"batch_size {smallest}, the smallest that holds the longest utterance ({max(durations):.1f} s), does not "
            f"fit in {memory_bytes / 1e6:.0f} MB; wanted shorter utterances or a smaller model.*"
        )
    peak = peaks[found]
    assert peak is not None
    return found, peak


def free_memory() -> int:
    """Free memory of the GPU, else of the machine, in bytes."""
    import torch

    from atc_asr.model import network

    device = network.pick_device()
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flags, train, model, specaugment, augment, lora, tokenizer = cli.parse(
        argv, FindBatchFlags, TrainParams, ModelParams, SpecAugmentParams, AugmentParams, LoraParams, TokenizerParams
    )
    from atc_asr.model.network import HPARAMS_FILE
    from atc_asr.training.config import TrainingConfig, select_train

    rows = select_train(read_manifests(flags.train_manifest), train)
    transcripts = [row.transcript for row in rows]
    tokens = Tokens.load(flags.tokenizer_dir) if flags.tokenizer_dir else build_tokens(tokenizer, transcripts, None)
    hparams_file = flags.hparams_file or HPARAMS_FILE
    config = TrainingConfig(train, model, specaugment, augment, lora, tokens, rows, rows[:1], hparams_file)
    limit = free_memory() if flags.memory_mb is None else flags.memory_mb * 1_000_000
    batch_size, peak = run(config, memory_bytes=limit)
    print(f"batch_size {batch_size}: the longest batch takes {peak / 1e6:.0f} of {limit / 1e6:.0f} MB")


if __name__ == "__main__":
    cli.enter(main)
