"""One training, from manifests to a run folder's weights: network, batches, weights, Brain, fit, average, save.

A training that was killed resumes from its last checkpoint when exactly the same training is started again in the same
staging folder, which is named by `config.training_key`.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from speechbrain.utils.distributed import ddp_broadcast

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.model import network, run_folder
from atc_asr.training import checkpoints, cpu_fast_path, distributed, launcher, lora
from atc_asr.training.averaging import load_mean
from atc_asr.training.brain import make_brain
from atc_asr.training.checkpoints import make_checkpoints
from atc_asr.training.config import TrainingConfig
from atc_asr.training.data import make_data
from atc_asr.training.initial_weights import init_weights

log = logging.getLogger(__name__)

AUTO_PRECISION = {"cuda": "fp16", "cpu": "fp32"}  # train.precision: auto (specification, section 5)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training."""

    best: dict[str, float]  # row of `curves` of the saved epoch; of several, the first by `train.average_select`
    curves: list[dict[str, float]]  # a row per epoch
    stats: dict[str, Any]  # further numbers for the record of the run: sizes, fractions, seconds
    device: torch.device
    precision: str  # fp32, fp16 or bf16
    adapted: tuple[str, ...]  # names of the encoder's matrices that had adapters; empty without `lora.peft`


def train(config: TrainingConfig, staging_dir: Path) -> TrainingResult:
    """Trains in `train.num_processes` processes and writes the files of a run folder into `staging_dir`.

    Args:
        config: everything that decides the weights.
        staging_dir: an existing folder; the training resumes from the newest checkpoint in it.

    Raises:
        InputError: something in the configuration cannot be used, or a process failed.
    """
    if config.train.num_processes == 1:
        result = fit(config, staging_dir)
    elif distributed.launched():
        result = train_process((config, staging_dir))
    else:
        result = launcher.launch(train_process, ((config, staging_dir),), config.train.num_processes)
    assert result is not None
    return result


def train_process(job: tuple[TrainingConfig, Path] | None) -> TrainingResult | None:
    """Trains in one of several processes with the arguments of `train` in the first process, which gets the result.

    Nothing is trained if they are None in the first process, too.
    """
    with distributed.group():
        job = ddp_broadcast(job)
        if job is None:  # the first process has nothing left to train
            return None
        if isinstance(job, InputError):  # distributed.broadcast_errors
            raise job
        return fit(*job)


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Rounds denormal numbers to 0; a trained network has many, and they slow a CPU down by about 10 per cent."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@flush_denormals()
def fit(config: TrainingConfig, staging_dir: Path) -> TrainingResult | None:
    """Trains in this process; the first process saves the weights and returns the result.

    Raises:
        InputError: something in the configuration cannot be used, or no epoch is within `train.max_guard_wer`.
    """
    params = config.train
    device = network.pick_device()
    precision = AUTO_PRECISION[device.type] if params.precision == "auto" else params.precision
    torch.manual_seed(params.seed)

    values = network.hparams_values(config.model, config.specaugment, len(config.tokens))
    hparams_text = network.fill_placeholders(config.hparams_file, values)
    hparams = network.build(hparams_text, str(config.hparams_file))
    data = make_data(config, hparams, device)
    stats = data.stats | init_weights(config, hparams, data, device)
    hparams.model.to(device)  # before moving averages are made of its weights
    hparams.normalizer.to(device)  # its statistics are no buffers
    if params.cpu_fast_path and device.type == "cpu" and precision == "fp32":
        cpu_fast_path.use_fast_path(hparams.model)

    checkpointer = make_checkpoints(staging_dir / run_folder.CHECKPOINTS, hparams, data.train_loader)
    if distributed.rank() == 0:
        checkpoints.check_space(staging_dir, hparams.model, params)
    brain = make_brain(config, hparams, data, staging_dir, checkpointer, device=device, precision=precision)
    brain.fit(brain.hparams.epoch_counter, data.train_loader, data.valid_loader)
    curves = brain.curves.rows
    stats["train_seconds"] = sum(row["train_seconds"] + row["valid_seconds"] for row in curves)
    stats["updates"], stats["nonfinite"] = brain.optimizer_step, brain.losses.read()[1]
    if distributed.rank():
        return None

    kept, guard = checkpointer.epochs(*brain.hparams.selection), brain.hparams.guard
    if not kept:
        best = min(curves, key=guard.worst)
        raise InputError(
            f"train.max_guard_wer: the lowest WER on the guard corpora is {guard.worst(best):.2f} %, in epoch "
            f"{best['epoch']} of {len(curves)}, wanted at most {guard.max_wer:g} %; nothing is published, curves and "
            f"the last checkpoint are in {staging_dir}"
        )
    load_mean(hparams.model, kept, ema=params.ema_decay > 0)
    if len(kept) > 1 and guard.max_wer is not None:
        recognizer = run_folder.Recognizer(hparams, config.tokens, device)
        if not guard.holds(guard.measure(recognizer, stats["batch_seconds"])):
            log.warning(messages.MEAN_ABOVE_LIMIT, len(kept), kept[0].meta["epoch"])
            kept = kept[:1]
            load_mean(hparams.model, kept, ema=params.ema_decay > 0)
    stats["averaged_epochs"] = len(kept)
    adapted = lora.adapted_names(hparams.conformer)
    lora.merge_adapters(hparams.conformer)
    run_folder.save_weights(staging_dir, hparams_text=hparams_text, hparams=hparams, tokens=config.tokens)
    best = next(row for row in curves if row["epoch"] == kept[0].meta["epoch"])
    return TrainingResult(best, curves, stats, device, precision, adapted)
