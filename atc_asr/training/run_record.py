"""What a training writes down: metrics.json, model_card.json, README.md, DVC's metrics and the sweep's row."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from atc_asr.core import files, text
from atc_asr.core.manifest import STATS_FILE
from atc_asr.model import network
from atc_asr.model.padding import SAMPLE_RATE
from atc_asr.tracking import record
from atc_asr.tracking.params import RecordParams
from atc_asr.training.evaluation import Evaluation
from atc_asr.training.hub_card import hub_card
from atc_asr.training.training import TrainingConfig, TrainingResult

COMPUTE_DTYPE = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}


@dataclass(frozen=True)
class Slicing:
    """How the export cut the data; None: as its stats.json says."""

    train_fraction: float | None
    validation_samples: int | None


@dataclass(frozen=True)
class Run:
    """A finished training with its surroundings."""

    setup: TrainingConfig
    labels: RecordParams
    slicing: Slicing
    outcome: TrainingResult
    scores: Mapping[str, Evaluation]
    run_dir: Path
    started: datetime.datetime


def sliced(slicing: Slicing, manifest: Path) -> Slicing:
    """The slicing as given, else as the stats.json beside the manifest has it, else unknown."""
    stats_path = Path(manifest).parent / STATS_FILE
    stats = json.loads(stats_path.read_text(encoding="utf-8")) if stats_path.is_file() else {}
    recorded = {key: stats.get(key) for key in asdict(slicing)}
    return Slicing(**{key: recorded[key] if value is None else value for key, value in asdict(slicing).items()})


def sweep_row(run: Run) -> dict[str, Any]:
    """The run in the 32 columns of the Whisper sweeps (specification, section 5)."""
    train, lora, labels = run.setup.train, run.setup.lora, run.labels
    device = run.outcome.device
    adapted = lora.peft == "lora"
    valid = run.scores["valid"]
    return {
        "timestamp": record.timestamp(run.started),
        "run_id": record.run_id(labels, run.started),
        "run_stage": labels.run_stage,
        "model": labels.model_name,
        "output_dir": str(run.run_dir),
        "dataset_part": labels.dataset_part,
        "train_fraction": run.slicing.train_fraction,
        "validation_samples": run.slicing.validation_samples,
        "epochs": train.epochs,
        "wer": valid.wer,
        "train_runtime": run.outcome.stats["train_seconds"],
        "train_loss": run.outcome.best["train_loss"],
        "eval_loss": run.outcome.best["valid_loss"],
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "per_device_train_batch_size": train.batch_size,
        "grad_accum": train.grad_accum,
        "effective_batch_size": train.batch_size * train.grad_accum * train.num_processes,
        "lora_r": lora.lora_r if adapted else None,
        "lora_alpha": lora.lora_alpha if adapted else None,
        "lora_dropout": lora.lora_dropout if adapted else None,
        "quant_weights_dtype": "fp32",
        "quant_compute_dtype": COMPUTE_DTYPE[run.outcome.precision],
        "inference_time_sec": valid.seconds,
        # other processes of the training may have needed more than this one
        "peak_memory_mb": max(
            record.peak_memory_mb(network.cuda_peak(device)),
            *(epoch["peak_memory_mb"] for epoch in run.outcome.curves),
        ),
        "save_full_model": labels.save_full_model,
        "language": labels.language,
        "task": labels.task,
        "learning_rate": train.lr,
        "seed": train.seed,
        "eval_strategy": labels.eval_strategy,
        "eval_steps": labels.eval_steps,
    }


def numbers(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a run for `dvc metrics`; WER in per cent, times in seconds; `row` is its `sweep_row`."""
    found = {f"{split}_wer": score.wer for split, score in run.scores.items()}
    found |= {
        f"{split}_{key}": run.outcome.best[f"{split}_{key}"] for split, key in (("train", "loss"), ("valid", "loss"))
    }
    return found | {
        "best_epoch": run.outcome.best["epoch"],
        "peak_memory_mb": row["peak_memory_mb"],
        "inference_time_sec": row["inference_time_sec"],
        **run.outcome.stats,
    }


def full_record(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    """metrics.json of a run folder: the sweep's columns (`row`), all figures, labels and flags."""
    setup = run.setup
    return {
        **row,
        **numbers(run, row),
        "notes": run.labels.notes,
        "adapted": list(run.outcome.adapted),
        "text_version": text.VERSION,
        "git_commit": record.git_commit(Path.cwd()),
        "versions": record.versions(),
        "flags": {
            part.section: asdict(part)
            for part in (setup.train, setup.model, setup.specaugment, setup.augment, setup.lora)
        },
    }


def model_card(run: Run) -> dict[str, Any]:
    """model_card.json: engine, model, tokens, adapters, scores."""
    setup = run.setup
    return {
        "engine": "speechbrain",
        "model": run.labels.model_name,
        "architecture": "Conformer-CTC",
        "parameters": run.outcome.stats["parameters"],
        "trainable_parameters": run.outcome.stats["trainable_parameters"],
        "frame_ms": setup.model.frame_ms,
        "sample_rate": SAMPLE_RATE,
        "language": run.labels.language,
        "dataset_part": run.labels.dataset_part,
        "tokenizer": {"type": setup.tokens.kind, "units": len(setup.tokens), "blank": 0},
        "peft": asdict(setup.lora) | run.outcome.stats.get("adapters", {}) | {"adapted": list(run.outcome.adapted)},
        "init_from": setup.train.init_from,
        "text_version": text.VERSION,
        "wer": {split: score.wer for split, score in run.scores.items()},
        "beam_size": setup.train.beam_size,
    }


def write(work_dir: Path, run: Run, *, metrics_file: Path | None, metrics_csv: Path | None) -> None:
    """Write the records of a finished training into its folder, and its metrics and CSV row where asked for."""
    row = sweep_row(run)
    card = model_card(run)
    record.write_record(work_dir / "model_card.json", card)
    files.write_text(work_dir / "README.md", hub_card(card))
    record.write_record(work_dir / "metrics.json", full_record(run, row))
    if metrics_file is not None:
        record.write_metrics(metrics_file, numbers(run, row))
    if metrics_csv is not None:
        record.append_sweep_row(metrics_csv, row)
