"""From manifests and tokens to trained weights: one training, resumable, in a work folder.

A training that was killed goes on from its last checkpoint when exactly the same training is asked for again:
its work folder is named by a hash of everything that decides the weights.
"""

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.utils.distributed import MainProcessContext, ddp_broadcast

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.model import batches, network, run_folder
from atc_asr.model.padding import count_steps
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.training import cpu_fast_path, distributed, features, lora, optimizer, pretrained
from atc_asr.training.augment import Augment, fastest
from atc_asr.training.averaging import Ema, load_mean
from atc_asr.training.brain import BEST, ConformerCTC
from atc_asr.training.checkpoints import FORMAT, Checkpoints, TrainedWeights, file_hash
from atc_asr.training.load_pretrained import LoadReport, load_pretrained
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams
from atc_asr.training.schedule import lr_factor
from atc_asr.training.stopping import Epochs

log = logging.getLogger(__name__)

PRECISION_ON = {"cuda": "fp16", "cpu": "fp32"}  # what `auto` means (specification, section 5)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights of a training."""

    train: TrainParams
    model: ModelParams
    specaugment: SpecAugmentParams
    augment: AugmentParams
    lora: LoraParams
    tokens: Tokens
    train_set: Sequence[Utterance]
    valid_set: Sequence[Utterance]
    hparams_file: Path


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        best: curves row of the epoch whose weights were kept; of several, of the first by `average_select`.
        curves: a row of numbers an epoch.
        stats: what a record of the run should hold besides: sizes, shares, seconds.
        device: where it ran.
        precision: its arithmetic.
        adapted: names of the encoder's matrices that had adapters, none without `lora.peft`.
    """

    best: dict[str, float]
    curves: list[dict[str, float]]
    stats: dict[str, Any]
    device: torch.device
    precision: str
    adapted: tuple[str, ...]


def training_key(setup: TrainingConfig) -> str:
    """A name for exactly this training: its parameters, network, tokens, texts and audio files."""
    sections = ("train", "model", "specaugment", "augment", "lora")
    content: dict[str, Any] = {part: asdict(getattr(setup, part)) for part in sections}
    content["format"] = FORMAT
    content["hparams_file"] = file_hash(setup.hparams_file)
    content["tokens"] = [setup.tokens.symbols, hashlib.sha256(setup.tokens.spm_model or b"").hexdigest()]
    for part in ("train_set", "valid_set"):
        rows = getattr(setup, part)
        with ThreadPoolExecutor() as threads:  # hashing lets other threads run
            audio = threads.map(file_hash, (row.wav for row in rows))
        content[part] = [
            (row.id, row.transcript, row.duration, digest) for row, digest in zip(rows, audio, strict=True)
        ]
    if setup.train.init_from:
        content["init_from"] = pretrained.fingerprint(setup.train.init_from)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def select_train(utterances: Sequence[Utterance], params: TrainParams) -> list[Utterance]:
    """The train rows to use: all, or the first `train_subset`."""
    return list(utterances[: params.train_subset] if params.train_subset else utterances)


def batch_seconds(utterances: Sequence[Utterance], batch_size: int) -> float:
    """Audio of a batch: `batch_size` utterances of mean duration.

    Raises:
        InputError: the longest utterance does not fit.
    """
    seconds = batch_size * sum(row.duration for row in utterances) / len(utterances)
    longest = max(utterances, key=lambda row: row.duration)
    if longest.duration > seconds:
        raise InputError(
            f"{longest.wav} (id {longest.id}): lasts {longest.duration:.2f} s, a batch of batch_size {batch_size} "
            f"holds {seconds:.2f} s; wanted a larger batch_size or a shorter utterance"
        )
    return seconds


def split_alignable(
    utterances: Sequence[Utterance], tokens: Tokens, frame_ms: int, sample_rate: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances whose tokens fit their frames, and those that CTC cannot align."""
    fits, too_dense = [], []
    for row in utterances:
        num_frames = network.count_frames(round(row.duration * sample_rate), frame_ms)
        fitting = batches.needed_frames(tokens.encode(row.transcript)) <= num_frames
        (fits if fitting else too_dense).append(row)
    return fits, too_dense


def make_dataset(
    utterances: Sequence[Utterance], setup: TrainingConfig, sample_rate: int, encode, device: torch.device
) -> batches.ManifestDataset:
    """The utterances with their audio in memory where `train.audio_cache_mb` allows it, else read when asked for."""
    dataset = batches.ManifestDataset(utterances, sample_rate=sample_rate, encode=encode)
    return batches.cache_audio(dataset, max_bytes=setup.train.audio_cache_mb * 1_000_000, device=device)


def make_loader(
    dataset: batches.ManifestDataset, sampler: batches.DurationBatches | batches.Share, num_workers: int
) -> SaveableDataLoader:
    """A loader whose position in an epoch is part of a checkpoint; processes only where audio has to be read."""
    if isinstance(dataset, batches.CachedDataset):
        num_workers = 0
    return SaveableDataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=batches.collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        generator=torch.Generator(),  # its own, so that opening the loader draws nothing from the training's
        pin_memory=torch.cuda.is_available() and not isinstance(dataset, batches.CachedDataset),
    )


@torch.no_grad()
def take_statistics(
    normalizer: torch.nn.Module,
    features_of: Callable[[batches.Batch], torch.Tensor],
    loader: SaveableDataLoader,
    device: torch.device,
) -> None:
    """Global mean and deviation of the features over one pass, into the normaliser."""
    normalizer.to(device).train()
    for batch in loader:
        batch = batch.to(device)
        features = features_of(batch)
        normalizer(features, count_steps(batch.num_samples()).to(device) / features.shape[1], epoch=0)


def make_features(
    setup: TrainingConfig, compute_features: torch.nn.Module, dataset: batches.ManifestDataset, device: torch.device
) -> Callable[[batches.Batch], torch.Tensor]:
    """Features of a train batch; on a CPU, which they cost a twentieth of its time, computed once where that can be."""
    compute_features.to(device)
    max_bytes = setup.train.audio_cache_mb * 1_000_000
    if device.type == "cpu" and features.can_cache(compute_features, dataset, setup.augment, max_bytes):
        return features.CachedFeatures(compute_features)
    return lambda batch: compute_features(batch.wavs)


def start_from(setup: TrainingConfig, hparams: SimpleNamespace) -> LoadReport:
    """Fill the network from `train.init_from`.

    Raises:
        InputError: the source cannot be used, is another architecture, or too little of it fits.
    """
    where = f"train.init_from {setup.train.init_from}"
    source = pretrained.load(pretrained.locate(setup.train.init_from))
    here = asdict(setup.model)
    others = [f"model.{key}: got {here[key]}, wanted {there}" for key, there in source.architecture.items()
              if here[key] != there]  # fmt: skip
    if others:
        raise InputError(f"{'; '.join(others)} as in {where}; atc_asr.commands.preset --from_source writes them")
    report = load_pretrained(
        source.state,
        hparams.model,
        head=pretrained.HEAD,
        source_symbols=source.symbols,
        target_symbols=setup.tokens.symbols,
    )
    hparams.normalizer._load_statistics_dict(source.statistics)
    units = f"{report.rows_taken} of {len(setup.tokens)} units"
    log.info("%s: took %.1f %% of the parameters, %s", where, 100 * report.share, units)
    if report.share < setup.train.min_loaded_fraction:
        raise InputError(f"{where}: {report.share:.3f} of the parameters fit, wanted {setup.train.min_loaded_fraction}")
    return report


def load_stats(report: LoadReport) -> dict[str, Any]:
    """A load_pretrained in numbers, for a record."""
    return {
        "tensors_taken": len(report.taken),
        "tensors_new": len(report.new),
        "tensors_ignored": len(report.ignored),
        "parameters_taken": report.parameters_taken,
        "parameters_new": report.parameters_new,
        "parameters_ignored": report.parameters_ignored,
        "units_taken": report.rows_taken,
        "share": report.share,
    }


def alignable_set(setup: TrainingConfig, sample_rate: int) -> list[Utterance]:
    """The train rows that CTC can align; what is left out is said.

    Raises:
        InputError: none is left.
    """
    fits, too_dense = split_alignable(setup.train_set, setup.tokens, setup.model.frame_ms, sample_rate)
    if not fits:
        raise InputError("train manifest: no transcript fits its frames, wanted a smaller model.frame_ms")
    if too_dense:
        left_out = f"{len(too_dense)} of {len(setup.train_set)} train utterances"
        log.warning("%s have more tokens than frames and are left out, first: %s", left_out, too_dense[0].id)
    sped_up = [replace(row, duration=row.duration / fastest(setup.augment)) for row in fits]
    _, too_fast = split_alignable(sped_up, setup.tokens, setup.model.frame_ms, sample_rate)
    if too_fast:
        log.warning(
            "%d train utterances have more tokens than frames at the highest speed: no loss there", len(too_fast)
        )
    return fits


def start_weights(
    setup: TrainingConfig,
    hparams: SimpleNamespace,
    features_of: Callable[[batches.Batch], torch.Tensor],
    loader: SaveableDataLoader,
    device: torch.device,
) -> dict:
    """Give the network its first weights, statistics and adapters; returns what a record should say of them.

    Args:
        setup: what to train.
        hparams: the network's objects, changed in place.
        features_of: features of a train batch.
        loader: the train set. It is used up here: a loader that was iterated takes up no checkpoint's position.
        device: where features are computed.
    """
    stats: dict[str, Any] = {}
    if setup.train.init_from:
        stats["load_pretrained"] = load_stats(start_from(setup, hparams))
    elif distributed.rank() == 0:
        with MainProcessContext():  # without it, SpeechBrain would wait for other processes' statistics
            take_statistics(hparams.normalizer, features_of, loader, device)
    frozen = frozen_layers(setup, hparams)
    for module in frozen:
        module.requires_grad_(False)
    if setup.lora.peft == "lora":
        hparams.front_end.requires_grad_(False)
        adapted = lora.add_adapters(hparams.conformer, setup.lora, frozen)
        if not adapted:
            raise InputError(f"lora.lora_targets: {setup.lora.lora_targets} have no matrix above train.freeze_layers")
        stats["adapters"] = lora.adapter_stats(adapted)
    stats["parameters"] = network.count_parameters(hparams.model)
    stats["trainable_parameters"] = network.count_parameters(hparams.model, trainable=True)
    return stats


def share_start(setup: TrainingConfig, hparams: SimpleNamespace) -> None:
    """The first process's weights and statistics for all, and draws of its own for each of the others."""
    if distributed.count() == 1:
        return
    hparams.model.load_state_dict(ddp_broadcast(hparams.model.state_dict()))
    hparams.normalizer._load_statistics_dict(ddp_broadcast(hparams.normalizer._statistics_dict()))
    if distributed.rank():
        (drawn,) = np.random.SeedSequence((setup.train.seed, distributed.rank())).generate_state(1)
        torch.manual_seed(int(drawn))


def frozen_layers(setup: TrainingConfig, hparams: SimpleNamespace) -> list[torch.nn.Module]:
    """The modules that `train.freeze_layers` keeps as they are.

    Raises:
        InputError: there are not as many layers, or nothing was learnt that could be kept.
    """
    count, layers = setup.train.freeze_layers, setup.model.num_layers
    if count > layers:
        raise InputError(f"train.freeze_layers: got {count}, wanted at most model.num_layers {layers}")
    if count and not setup.train.init_from:
        raise InputError(f"train.freeze_layers: got {count}, wanted 0 without train.init_from: the weights are random")
    return optimizer.lowest_layers(hparams.front_end, hparams.conformer, count)


def lr_schedule(params: TrainParams, sampler: batches.DurationBatches | batches.Share) -> Callable[[int], float]:
    """Learning rate of an update, counted from 0.

    Raises:
        InputError: an epoch has fewer batches than an update needs.
    """
    sizes = [len(sampler.batches(epoch)) for epoch in range(1, params.epochs + 1)]
    if min(sizes) < params.grad_accum:
        each = f" of each of {params.num_processes} processes" if params.num_processes > 1 else ""
        raise InputError(
            f"train.grad_accum: got {params.grad_accum}, wanted at most the {min(sizes)} batches of an epoch{each}"
        )
    total_steps = sum(size // params.grad_accum for size in sizes)  # SpeechBrain drops an epoch's unfinished update
    warmup_steps = params.warmup_steps
    if warmup_steps is None:
        warmup_steps = round(params.warmup_epochs * total_steps / params.epochs)
    return lambda step: (
        params.lr * lr_factor(step, kind=params.schedule, warmup_steps=warmup_steps, total_steps=total_steps)
    )


def make_brain(
    params: TrainParams, hparams: SimpleNamespace, *, device: torch.device, precision: str, checkpointer: Checkpoints
) -> ConformerCTC:
    """SpeechBrain's loop around the network."""
    return ConformerCTC(
        modules=hparams.modules,
        opt_class=lambda _: optimizer.make_adamw(
            optimizer.parameter_groups(hparams.model, hparams.ctc_head, params.encoder_lr),
            lr=params.lr,
            weight_decay=params.weight_decay,
        ),
        run_opts={
            "device": str(device),
            "precision": precision,
            "eval_precision": precision,
            "max_grad_norm": params.max_grad_norm,
            "grad_accumulation_factor": params.grad_accum,
            "ckpt_interval_minutes": params.checkpoint_minutes,
            "noprogressbar": not sys.stderr.isatty(),
        },
        checkpointer=checkpointer,
    )


def train(setup: TrainingConfig, work_dir: Path) -> TrainingResult:
    """Train to the end in `work_dir` and leave a run folder's own files there.

    Args:
        setup: what to train.
        work_dir: an existing folder; a former, unfinished call's checkpoints in it are taken up.

    Raises:
        InputError: something in the setup cannot be used.
    """
    if setup.train.num_processes == 1:
        return fit_fast(setup, work_dir)
    if distributed.launched():
        return train_together((setup, work_dir))
    return distributed.start(train_together, ((setup, work_dir),), setup.train.num_processes)


def train_together(job: tuple[TrainingConfig, Path] | None) -> TrainingResult | None:
    """The part of one of several processes in a training.

    Args:
        job: arguments of `train`; None: those of the first process.

    Returns:
        In the first process the outcome, else None.
    """
    with distributed.group():
        return fit_fast(*ddp_broadcast(job))


def fit_fast(setup: TrainingConfig, work_dir: Path) -> TrainingResult | None:
    """`fit` in a faster arithmetic mode."""
    # Probabilities near 0 underflow in a trained network, and a CPU is slow on such numbers: a tenth of the time here.
    torch.set_flush_denormal(True)
    try:
        return fit(setup, work_dir)
    finally:
        torch.set_flush_denormal(False)


def fit(setup: TrainingConfig, work_dir: Path) -> TrainingResult | None:
    """This process's part in a training; the outcome is the first one's to write."""
    params = setup.train
    device = network.pick_device()
    precision = PRECISION_ON[device.type] if params.precision == "auto" else params.precision
    torch.manual_seed(params.seed)
    values = network.hparams_values(setup.model, setup.specaugment, len(setup.tokens))
    hparams_text = network.fill_placeholders(setup.hparams_file, values)
    hparams = network.build(hparams_text, str(setup.hparams_file))

    train_set = alignable_set(setup, hparams.sample_rate)
    durations = [row.duration for row in train_set]
    valid_durations = [row.duration for row in setup.valid_set]
    seconds = batch_seconds(train_set, params.batch_size)
    train_batches = batches.DurationBatches(durations, max_seconds=seconds, seed=params.seed)
    valid_batches = batches.DurationBatches(valid_durations, max_seconds=max(seconds, *valid_durations), seed=None)

    dataset = make_dataset(train_set, setup, hparams.sample_rate, setup.tokens.encode, device)
    valid_dataset = make_dataset(
        setup.valid_set, setup, hparams.sample_rate, lambda text: batches.known_tokens(setup.tokens, text), device
    )
    place = (distributed.rank(), distributed.count())
    train_share = batches.Share(train_batches, *place, equal=True)
    valid_fraction = batches.Share(valid_batches, *place, equal=False)
    train_loader = make_loader(dataset, train_share, params.num_workers)
    valid_loader = make_loader(valid_dataset, valid_fraction, params.num_workers)
    stats = {
        "train_utterances": len(train_set),
        "train_too_dense": len(setup.train_set) - len(train_set),
        "train_hours": sum(durations) / 3600,
        "padding_fraction": batches.padding_fraction(durations, train_batches.batches(1)),
        "batch_seconds": seconds,
    }
    features_of = make_features(setup, hparams.compute_features, dataset, device)
    stats |= start_weights(setup, hparams, features_of, make_loader(dataset, train_batches, params.num_workers), device)
    share_start(setup, hparams)
    hparams.normalizer.to(device)

    model = hparams.model
    if stats["trainable_parameters"] < stats["parameters"]:
        model = TrainedWeights(hparams.model)
        model.write_frozen(work_dir / run_folder.CHECKPOINTS / run_folder.FROZEN)
    checkpointer = Checkpoints(
        work_dir / run_folder.CHECKPOINTS,
        {"model": model, "normalizer": hparams.normalizer, "loader": train_loader},
    )
    if device.type == "cpu" and precision == "fp32":
        cpu_fast_path.use_fast_path(hparams.model)
    brain = make_brain(params, hparams, device=device, precision=precision, checkpointer=checkpointer)
    brain.prepare(
        tokens=setup.tokens,
        batches=train_share,
        features_of=features_of,
        lr_of_step=lr_schedule(params, train_share),
        log_file=work_dir / run_folder.TRAIN_LOG,
        curves_file=work_dir / run_folder.CURVES,
        inter_ctc=params.inter_ctc,
        max_nonfinite=params.max_nonfinite,
        augment=Augment(setup.augment, hparams.sample_rate, device),
        ema=Ema(hparams.model, params.ema_decay) if params.ema_decay else None,
        num_kept=params.average_checkpoints,
        kept_by=BEST if params.average_select == "best" else None,
    )
    epochs = Epochs(params.epochs, patience=params.patience, errors=lambda: [row[BEST] for row in brain.curves.rows])
    checkpointer.add_recoverable("epochs", epochs)
    brain.fit(epochs, train_loader, valid_loader)
    curves = brain.curves.rows
    stats["train_seconds"] = sum(row["train_seconds"] + row["valid_seconds"] for row in curves)
    stats["updates"] = brain.optimizer_step
    stats["nonfinite"] = brain.losses.read()[1]
    if distributed.rank():
        return None

    kept = brain.kept_epochs()
    stats["averaged_epochs"] = len(kept)
    load_mean(hparams.model, kept, ema=params.ema_decay > 0)
    adapted = lora.adapted_names(hparams.conformer)
    lora.merge_adapters(hparams.conformer)
    run_folder.save_weights(work_dir, hparams_text=hparams_text, hparams=hparams, tokens=setup.tokens)
    best = next(row for row in curves if row["epoch"] == kept[0].meta["epoch"])
    return TrainingResult(best, curves, stats, device, precision, adapted)
