"""The records of a finished training: metrics.json, model_card.json, README.md, DVC's metrics and the sweep's row."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from atc_asr.core import files, outputs, text
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import STATS_FILE
from atc_asr.model import network, run_folder
from atc_asr.model.network import SAMPLE_RATE
from atc_asr.tracking import record, sweep_csv
from atc_asr.tracking.params import RecordParams
from atc_asr.training.config import TrainingConfig
from atc_asr.training.evaluation import Evaluation
from atc_asr.training.hub_card import hub_card
from atc_asr.training.params import TrainFlags
from atc_asr.training.training import TrainingResult

METRICS_LIKE = record.json_like(["loss", "test_wer", "utterances", "wer"])  # as `dvc_metrics`
COMPUTE_DTYPE = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}


@dataclass(frozen=True)
class Run:
    """A finished training with its configuration, labels and scores."""

    config: TrainingConfig
    labels: RecordParams
    export: Mapping[str, float | None]  # `train_fraction` and `validation_samples` of the exported data
    result: TrainingResult
    scores: Mapping[str, Evaluation]  # by split
    run_dir: Path
    started: datetime.datetime  # when the training was first started, even if it was resumed later
    guard_wers: Mapping[str, float]  # greedy WERs of the guard corpora on valid, named as in the curves


def export_limits(flags: TrainFlags) -> dict[str, float | None]:
    """`train_fraction` and `validation_samples` from the flags, else from the stats.json beside the train manifest,
    else None.

    Raises:
        InputError: stats.json cannot be used.
    """
    path = flags.train_manifest[0].parent / STATS_FILE
    try:
        stats = json.loads(files.read_text(path)) if path.is_file() else {}
        given = {"train_fraction": flags.train_fraction, "validation_samples": flags.validation_samples}
        limits = {key: stats.get(key) if value is None else value for key, value in given.items()}
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: got no JSON object, wanted the statistics of stages.export") from error
    for key, value in limits.items():
        if not isinstance(value, int | float | None):
            raise InputError(f"{path}: {key}: got {value!r}, wanted a number or null")
    return limits


def sweep_row(run: Run) -> dict[str, Any]:
    """The run in the 32 columns of the Whisper sweeps (specification, section 5)."""
    train, labels, result, valid = run.config.train, run.labels, run.result, run.scores["valid"]
    lora = run.config.lora if run.config.lora.peft == "lora" else None
    return {
        "timestamp": record.timestamp(run.started),
        "run_id": record.run_id(labels, run.started),
        "run_stage": labels.run_stage,
        "model": labels.model_name,
        "output_dir": str(run.run_dir),
        "dataset_part": labels.dataset_part,
        **run.export,
        "epochs": train.epochs,
        "wer": valid.wer,
        "train_runtime": result.stats["train_seconds"],
        "train_loss": result.best["train_loss"],
        "eval_loss": result.best["valid_loss"],
        "device": result.device.type,
        "gpu": torch.cuda.get_device_name(result.device) if result.device.type == "cuda" else None,
        "per_device_train_batch_size": train.batch_size,
        "grad_accum": train.grad_accum,
        "effective_batch_size": train.batch_size * train.grad_accum * train.num_processes,
        "lora_r": lora and lora.lora_r,
        "lora_alpha": lora and lora.lora_alpha,
        "lora_dropout": lora and lora.lora_dropout,
        "quant_weights_dtype": "fp32",
        "quant_compute_dtype": COMPUTE_DTYPE[result.precision],
        "inference_time_sec": valid.seconds,
        # The curves have the largest peak of all processes.
        "peak_memory_mb": max(
            record.peak_memory_mb(network.cuda_peak(result.device)), *(row["peak_memory_mb"] for row in result.curves)
        ),
        "save_full_model": labels.save_full_model,
        "language": labels.language,
        "task": labels.task,
        "learning_rate": train.lr,
        "seed": train.seed,
        "eval_strategy": labels.eval_strategy,
        "eval_steps": labels.eval_steps,
    }


def run_metrics(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    """metrics.json of a run folder: the sweep's columns (`row`), all other numbers, labels and parameters."""
    result = run.result
    return {
        **row,
        **{f"{split}_wer": score.wer for split, score in run.scores.items()},
        **run.guard_wers,
        "valid_loss": result.best["valid_loss"],
        "best_epoch": result.best["epoch"],
        **result.stats,
        "notes": run.labels.notes,
        "adapted": list(result.adapted),
        "text_version": text.VERSION,
        "git_commit": record.git_commit(Path.cwd()),
        "versions": record.versions(),
        "flags": run.config.sections(),
    }


def dvc_metrics(run: Run) -> dict[str, Any]:
    """The numbers that `dvc metrics` compares: WER of valid in per cent, its loss per label, train utterances."""
    return {
        "wer": record.rounded(run.scores["valid"].wer),
        "loss": record.rounded(run.result.best["valid_loss"], 3),
        "utterances": run.result.stats["train_utterances"],
        **({"test_wer": record.rounded(run.scores["test"].wer)} if "test" in run.scores else {}),
        **{name: record.rounded(wer) for name, wer in run.guard_wers.items()},
    }


def model_card(run: Run) -> dict[str, Any]:
    """model_card.json: engine, model, tokens, adapters, scores."""
    config, stats = run.config, run.result.stats
    return {
        "engine": "speechbrain",
        "model": run.labels.model_name,
        "architecture": "Conformer-CTC",
        "parameters": stats["parameters"],
        "trainable_parameters": stats["trainable_parameters"],
        "frame_ms": config.model.frame_ms,
        "sample_rate": SAMPLE_RATE,
        "language": run.labels.language,
        "dataset_part": run.labels.dataset_part,
        "tokenizer": {"type": config.tokens.kind, "size": len(config.tokens), "blank": 0},
        "peft": config.lora.model_dump() | stats.get("adapters", {}) | {"adapted": list(run.result.adapted)},
        "init_from": config.train.init_from,
        "text_version": text.VERSION,
        "wer": {split: score.wer for split, score in run.scores.items()},
        "beam_size": config.train.eval_beam_size,
    }


def write(folder: Path, run: Run, *, metrics_file: Path | None, metrics_csv: Path | None) -> None:
    """Writes the records into the run's folder, and the metrics and the CSV row where they are asked for."""
    row = sweep_row(run)
    card = model_card(run)
    record.write_record(folder / run_folder.CARD, card)
    files.write_text(folder / run_folder.README, hub_card(card), outputs.ANY)
    record.write_record(folder / run_folder.METRICS, run_metrics(run, row))
    if metrics_file is not None:
        record.write_metrics(metrics_file, dvc_metrics(run))
    if metrics_csv is not None:
        sweep_csv.append_sweep_row(metrics_csv, row)
