"""Averages of weights: the exponential moving average over updates (EMA), and the mean over epochs.

Only parameters are averaged. Buffers come from the newest checkpoint: the network has no running statistics, and its
tables of positions are computed.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from speechbrain.utils.checkpoints import (
    Checkpoint,
    average_checkpoints,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from torch.optim.swa_utils import get_ema_multi_avg_fn


@register_checkpoint_hooks
class Ema:
    """Exponential moving average of a model's trained weights (Polyak & Juditsky 1992), saved in checkpoints.

    average <- d average + (1 - d) weights after each update n = 1, 2, ..., with d = min(decay, (1 + n) / (10 + n)) as
    in TensorFlow, so that the initial weights lose their influence early.

    Attributes:
        weights: the averages by the names of the parameters.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._num_updates = 0
        self.weights = {name: weight.detach().clone() for name, weight in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Adds the weights to the averages; to be called after each update."""
        self._num_updates += 1
        average = get_ema_multi_avg_fn(min(self._decay, (1 + self._num_updates) / (10 + self._num_updates)))
        average(list(self.weights.values()), list(self._live.values()), self._num_updates)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the model's weights and their averages."""
        for name, weight in self._live.items():
            live = weight.clone()
            weight.copy_(self.weights[name])
            self.weights[name].copy_(live)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Writes the averages and the number of updates."""
        torch.save({"num_updates": self._num_updates, "weights": self.weights}, path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Reads a file of `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self._num_updates = state["num_updates"]
        for name, average in self.weights.items():
            average.copy_(state["weights"][name])


def _ema_weights(path: Path, map_location: str) -> dict[str, torch.Tensor]:
    return torch.load(path, map_location=map_location, weights_only=True)["weights"]


def load_mean(model: torch.nn.Module, checkpoints: Sequence[Checkpoint], *, ema: bool) -> None:
    """Loads the mean weights of checkpoints into a model; with `ema`, the mean of their moving averages.

    Parameters that no checkpoint holds stay as they are.
    """
    newest = max(checkpoints, key=lambda checkpoint: checkpoint.meta["unixtime"])
    state = torch.load(newest.paramfiles["model"], map_location="cpu", weights_only=True)
    if ema:
        mean = average_checkpoints(checkpoints, "ema", parameter_loader=_ema_weights)
    else:
        mean = average_checkpoints(checkpoints, "model")
    means = {name: mean[name] for name, _ in model.named_parameters() if name in mean}
    model.load_state_dict(model.state_dict() | state | means)
