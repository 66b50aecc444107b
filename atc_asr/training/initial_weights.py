"""The weights that a training starts with: random or pretrained, some of them frozen, with adapters."""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from speechbrain.utils.distributed import MainProcessContext, ddp_broadcast

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.model import network
from atc_asr.training import distributed, lora, optimizer, pretrained
from atc_asr.training.config import TrainingConfig
from atc_asr.training.data import TrainingData
from atc_asr.training.load_pretrained import load_pretrained

log = logging.getLogger(__name__)


def init_weights(
    config: TrainingConfig, hparams: SimpleNamespace, data: TrainingData, device: torch.device
) -> dict[str, Any]:
    """Gives the network (`hparams`, changed in place) its initial weights, feature statistics and adapters.

    Returns:
        Numbers for the record of the run.

    Raises:
        InputError: `train.init_from` cannot be used, has another architecture or provides too few parameters; or
            `train.freeze_layers` or `lora.lora_targets` do not fit the network.
    """
    stats: dict[str, Any] = {}
    if config.train.init_from:
        stats["load_pretrained"] = _load_init_from(config, hparams)
    elif distributed.rank() == 0:
        with MainProcessContext():  # otherwise SpeechBrain waits for the statistics of other processes
            compute_statistics(hparams.normalizer, data, device)
    frozen = _frozen_modules(config, hparams)
    for module in frozen:
        module.requires_grad_(False)
    if config.lora.peft == "lora":
        hparams.front_end.requires_grad_(False)
        adapted = lora.add_adapters(hparams.conformer, config.lora, frozen)
        if not adapted:
            raise InputError(f"lora.lora_targets: {config.lora.lora_targets} have no matrix above train.freeze_layers")
        stats["adapters"] = lora.adapter_stats(adapted)
    stats["parameters"] = network.count_parameters(hparams.model)
    stats["trainable_parameters"] = network.count_parameters(hparams.model, trainable=True)
    broadcast_weights(config.train.seed, hparams)
    return stats


def _load_init_from(config: TrainingConfig, hparams: SimpleNamespace) -> dict[str, float]:
    """Loads the weights of `train.init_from`, and returns the numbers of `load_pretrained`."""
    where = f"train.init_from {config.train.init_from}"
    source = pretrained.load(pretrained.locate(str(config.train.init_from)))
    own = config.model.model_dump()
    different = {key: value for key, value in source.architecture.items() if own[key] != value}
    if different:
        problems = "; ".join(f"model.{key}: got {own[key]}, wanted {value}" for key, value in different.items())
        raise InputError(f"{problems} as in {where}; atc_asr.commands.preset --from_source writes them")
    stats = load_pretrained(
        source.state, hparams.model,
        head=pretrained.HEAD, source_symbols=source.symbols, target_symbols=config.tokens.symbols,
    )  # fmt: skip
    hparams.normalizer._load_statistics_dict(source.statistics)
    fraction = stats["loaded_fraction"]
    log.info(messages.WEIGHTS_LOADED, where, 100 * fraction, stats["tokens_loaded"], len(config.tokens))
    if fraction < config.train.min_loaded_fraction:
        wanted = f"wanted at least train.min_loaded_fraction {config.train.min_loaded_fraction}"
        raise InputError(f"{where}: provides {fraction:.3f} of the parameters, {wanted}")
    return stats


@torch.no_grad()
def compute_statistics(normalizer: torch.nn.Module, data: TrainingData, device: torch.device) -> None:
    """Computes the global mean and deviation of the features, in one pass over the train set."""
    normalizer.to(device).train()
    for batch in data.statistics_loader:
        batch = batch.to(device)
        features = data.features_of(batch)
        num_steps = network.count_steps(batch.num_samples()).to(device)
        normalizer(features, num_steps / features.shape[1], epoch=0)


def _frozen_modules(config: TrainingConfig, hparams: SimpleNamespace) -> list[torch.nn.Module]:
    """The modules that `train.freeze_layers` freezes."""
    count, layers = config.train.freeze_layers, config.model.num_layers
    if count > layers:
        raise InputError(f"train.freeze_layers: got {count}, wanted at most model.num_layers {layers}")
    if count and not config.train.init_from:
        raise InputError(f"train.freeze_layers: got {count}, wanted 0 without train.init_from: the weights are random")
    return optimizer.lowest_layers(hparams.front_end, hparams.conformer, count)


def broadcast_weights(seed: int, hparams: SimpleNamespace) -> None:
    """Sends the weights and statistics of the first process to the others, and seeds each of them differently."""
    if distributed.world_size() == 1:
        return
    hparams.model.load_state_dict(ddp_broadcast(hparams.model.state_dict()))
    hparams.normalizer._load_statistics_dict(ddp_broadcast(hparams.normalizer._statistics_dict()))
    if distributed.rank():
        (drawn,) = np.random.SeedSequence((seed, distributed.rank())).generate_state(1)
        torch.manual_seed(int(drawn))
