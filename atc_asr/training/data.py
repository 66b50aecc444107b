"""The data of a training: the utterances that CTC can align, batches, loaders and features."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from speechbrain.dataio.dataloader import SaveableDataLoader

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.model import batches, network
from atc_asr.model.batches import Batch, CachedDataset, DurationBatches, ManifestDataset
from atc_asr.training import cpu_fast_path, distributed
from atc_asr.training.augment import fastest
from atc_asr.training.config import TrainingConfig
from atc_asr.training.distributed import DistributedBatches
from atc_asr.training.mixture import WeightedDraw, audio_shares

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """The data of one process."""

    batches: DistributedBatches  # sampler of `train_loader`
    train_loader: SaveableDataLoader  # its position in an epoch is saved in checkpoints
    valid_loader: SaveableDataLoader
    statistics_loader: SaveableDataLoader  # the whole train set, for one pass before the training
    features_of: Callable[[Batch], torch.Tensor]  # computes the features (B, steps, F) of a train batch
    stats: dict[str, Any]  # for the record of the run; `batch_seconds` is the longest train batch, padding included


def make_data(config: TrainingConfig, hparams: SimpleNamespace, device: torch.device) -> TrainingData:
    """Makes the data sets, batches and loaders of this process.

    Raises:
        InputError: no utterance can be aligned, or one is longer than a batch.
    """
    params, sample_rate = config.train, hparams.sample_rate
    train_set = alignable(config, sample_rate)
    seconds = batch_seconds(train_set, params.batch_size)
    durations = [row.duration for row in train_set]
    valid_durations = [row.duration for row in config.valid_set]
    rank, world_size = distributed.rank(), distributed.world_size()
    draw = WeightedDraw(train_set, config.corpora, params.seed) if config.corpora else None
    all_batches = DurationBatches(durations, max_seconds=seconds, seed=params.seed)
    train_batches = DistributedBatches(
        durations, max_seconds=seconds, seed=params.seed, rank=rank, world_size=world_size, equal=True, draw=draw
    )
    valid_batches = DistributedBatches(
        valid_durations, max_seconds=max(seconds, *valid_durations), seed=None, rank=rank, world_size=world_size,
        equal=False,
    )  # fmt: skip

    def dataset(rows: Sequence[Utterance], encode: Callable[[str], list[int]]) -> ManifestDataset:
        data = ManifestDataset(rows, sample_rate=sample_rate, encode=encode)
        return batches.cache_audio(data, max_bytes=params.audio_cache_mb * 1_000_000, device=device)

    train_data = dataset(train_set, config.tokens.encode)
    valid_data = dataset(config.valid_set, lambda text: batches.known_tokens(config.tokens, text))
    return TrainingData(
        batches=train_batches,
        train_loader=make_loader(train_data, train_batches, params.num_workers),
        valid_loader=make_loader(valid_data, valid_batches, params.num_workers),
        statistics_loader=make_loader(train_data, all_batches, params.num_workers),
        features_of=make_features(config, hparams.compute_features, train_data, device),
        stats={
            "train_utterances": len(train_set),
            "train_too_dense": len(config.train_set) - len(train_set),
            "train_hours": sum(durations) / 3600,
            "padding_fraction": batches.padding_fraction(durations, all_batches.batches(1)),
            **({"corpus_shares": audio_shares(train_set, draw(1))} if draw else {}),
            "batch_seconds": seconds,
        },
    )


def alignable(config: TrainingConfig, sample_rate: int) -> list[Utterance]:
    """The train utterances whose tokens fit their frames. The others are left out, with a warning.

    Raises:
        InputError: none is left.
    """

    def fits(row: Utterance, speed: float = 1.0) -> bool:
        num_frames = network.count_frames(round(row.duration / speed * sample_rate), config.model.frame_ms)
        return batches.needed_frames(config.tokens.encode(row.transcript)) <= num_frames

    kept = [row for row in config.train_set if fits(row)]
    if not kept:
        raise InputError("train manifest: no transcript fits its frames, wanted a smaller model.frame_ms")
    if len(kept) < len(config.train_set):
        first = next(row for row in config.train_set if not fits(row))
        left_out = len(config.train_set) - len(kept)
        log.warning(messages.TOO_MANY_TOKENS, left_out, len(config.train_set), first.id)
    too_fast = sum(not fits(row, fastest(config.augment)) for row in kept)
    if too_fast:
        log.warning(messages.TOO_MANY_TOKENS_AT_SPEED, too_fast)
    return kept


def batch_seconds(utterances: Sequence[Utterance], batch_size: int) -> float:
    """Duration of a batch in seconds: `batch_size` utterances of mean duration.

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


def make_loader(dataset: ManifestDataset, sampler: DurationBatches, num_workers: int) -> SaveableDataLoader:
    """A loader whose position is saved in checkpoints; worker processes only where audio is read from disk."""
    cached = isinstance(dataset, CachedDataset)
    return SaveableDataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=batches.collate,
        num_workers=0 if cached else num_workers,
        persistent_workers=num_workers > 0 and not cached,
        generator=torch.Generator(),  # so that opening the loader does not draw from the training's generator
        pin_memory=torch.cuda.is_available() and not cached,
    )


def make_features(
    config: TrainingConfig, compute_features: torch.nn.Module, dataset: ManifestDataset, device: torch.device
) -> Callable[[Batch], torch.Tensor]:
    """The function that computes the features of a train batch; on a CPU it keeps features that never change."""
    compute_features.to(device)
    max_bytes = config.train.audio_cache_mb * 1_000_000
    fast = config.train.cpu_fast_path and device.type == "cpu"
    if fast and cpu_fast_path.can_cache_features(compute_features, dataset, config.augment, max_bytes):
        return cpu_fast_path.CachedFeatures(compute_features)
    return lambda batch: compute_features(batch.wavs)
