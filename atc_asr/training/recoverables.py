"""What a checkpoint holds besides network, optimiser and averages: random states, training curves, running losses."""

import csv
import functools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks

from atc_asr.core import outputs
from atc_asr.training import distributed


@functools.partial(register_checkpoint_hooks, save_on_main_only=False)
class RandomState:
    """The random generators of every process, so that a resumed training draws the same numbers."""

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Writes the states of torch (including the process's CUDA device), numpy and Python."""
        numpy_state: Any = np.random.get_state()
        state = {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
            "numpy": (numpy_state[0], torch.from_numpy(numpy_state[1].astype(np.int64)), *numpy_state[2:]),
            "python": random.getstate(),
        }
        states = distributed.gather(state)
        if distributed.rank() == 0:
            torch.save(states, path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Reads a file of `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)[distributed.rank()]
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])
        kind, keys, *rest = state["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))


@register_checkpoint_hooks
class Curves:
    """A row of numbers per epoch, saved in checkpoints and written as CSV."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, float]] = []  # the numbers of each finished epoch by name
        self._path = path

    def write(self) -> None:
        """Writes the CSV; only the first process does."""
        if not self.rows or distributed.rank():
            return
        with outputs.new_file(self._path, outputs.ANY) as new, open(new, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Writes the rows as JSON."""
        Path(path).write_text(json.dumps(self.rows), encoding="utf-8")

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Reads a file of `save`."""
        self.rows = json.loads(Path(path).read_text(encoding="utf-8"))


@functools.partial(register_checkpoint_hooks, save_on_main_only=False)
class _Totals:
    """Sums on the device, of which every process has its own."""

    _totals: torch.Tensor

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Writes the sums of every process."""
        totals = distributed.gather(self._totals.cpu())
        if distributed.rank() == 0:
            torch.save(totals, path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Reads a file of `save`."""
        self._totals.copy_(torch.load(path, map_location="cpu", weights_only=True)[distributed.rank()])


class Losses(_Totals):
    """Sums of the losses and gradient norms of an epoch.

    Values that are not finite are left out and counted over the whole training.
    """

    def __init__(self, device: torch.device) -> None:
        # sum and number of losses, sum and number of norms, number of values that are not finite
        self._totals = torch.zeros(5, dtype=torch.float64, device=device)

    def _add(self, place: int, value: torch.Tensor) -> None:
        finite = torch.isfinite(value)
        self._totals[place : place + 2] += torch.stack((torch.where(finite, value, 0.0), finite)).double()

    def add(self, loss: torch.Tensor) -> None:
        """Adds the loss of a batch."""
        self._add(0, loss)

    def add_norm(self, norm: torch.Tensor) -> None:
        """Adds the gradient norm of an update."""
        self._add(2, norm)

    def count_nonfinite(self, value: torch.Tensor) -> torch.Tensor:
        """Counts a loss or norm that is not finite; returns 1.0 for it, else 0.0."""
        nonfinite = (~torch.isfinite(value)).float()
        self._totals[4] += nonfinite
        return nonfinite

    def start_epoch(self) -> None:
        """Resets the sums."""
        self._totals[:4] = 0

    def read(self) -> tuple[float, int]:
        """Waits for the device and reads the losses.

        Returns:
            The epoch's mean loss over all processes (NaN before its first finite loss), and the largest number of
            values that are not finite in one process.
        """
        totals, numbers, _, _, nonfinite = zip(*distributed.gather(self._totals.tolist()), strict=True)
        return sum(totals) / sum(numbers) if any(numbers) else float("nan"), int(max(nonfinite))

    def read_norm(self) -> float:
        """Waits for the device and reads the epoch's mean gradient norm (NaN before its first finite norm)."""
        total, number = self._totals[2:4].tolist()
        return total / number if number else float("nan")


class CorpusLosses(_Totals):
    """Sums of the losses of an epoch's utterances by corpus."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._totals = torch.zeros(2, len(names), dtype=torch.float64, device=device)  # sums and numbers

    def add(self, losses: torch.Tensor, corpora: Sequence[str]) -> None:
        """Adds losses (B,) of utterances with the names of their corpora; without names nothing."""
        if not self._places:
            return
        places = torch.tensor([self._places[name] for name in corpora]).to(losses.device, non_blocking=True)
        finite = torch.isfinite(losses)
        values = torch.stack((torch.where(finite, losses, 0.0), finite)).double()
        self._totals.index_add_(1, places, values)

    def start_epoch(self) -> None:
        """Resets the sums."""
        self._totals.zero_()

    def read(self) -> dict[str, float | None]:
        """Waits for the device; columns `train_loss_<name>`, means over all processes, None for an unused corpus."""
        totals = torch.stack(distributed.gather(self._totals.cpu())).sum(0).T.tolist()
        return {
            f"train_loss_{name}": total / number if number else None
            for name, (total, number) in zip(self._places, totals, strict=True)
        }
