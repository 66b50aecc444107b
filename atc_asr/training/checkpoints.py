"""Checkpoints that survive a kill at any moment.

SpeechBrain fills and empties the folder of a checkpoint in place, so that a kill can leave half of one under its final
name. Here a list of the files with their hashes is written last, and a folder that does not match its list is removed.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier, main_process_only

from atc_asr.core import files, messages, outputs
from atc_asr.core.errors import InputError
from atc_asr.model.run_folder import FROZEN
from atc_asr.training import distributed
from atc_asr.training.params import TrainParams

log = logging.getLogger(__name__)

FORMAT = 4  # version of a checkpoint's content; part of the training's key
FILES = "files.json"  # name -> SHA-256 of every other file of a checkpoint
WRITER_ERRORS = ("inline_container", "PytorchStreamWriter", "iostream error")  # in torch.save's message on a full disk


@contextlib.contextmanager
def torch_saves(path: Path) -> Iterator[None]:
    """Context of torch.save to a path: its RuntimeError on a full disk becomes an OSError."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in WRITER_ERRORS):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in parts because a checkpoint can be larger than the memory.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
        return digest.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def finalize(folder: Path) -> None:
    """Marks a checkpoint as complete: flushes its files to the disk, then writes the list with their hashes."""
    for path in folder.iterdir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    hashes = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
    files.write_text(folder / FILES, json.dumps(hashes))


def find_corruption(folder: Path) -> str | None:
    """Compares a checkpoint with its list; returns the first problem, or None."""
    try:
        wanted = json.loads((folder / FILES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "was not finished"
    except ValueError:
        return f"{FILES} is damaged"
    for name, digest in wanted.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if file_hash(folder / name) != digest:
            return f"{name} is damaged"
    return None


@register_checkpoint_hooks
class TrainedWeights:
    """The trained parameters of a network, saved in checkpoints; everything else is written once beside them."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network
        self._names = {name for name, weight in network.named_parameters() if weight.requires_grad}

    def _state(self, *, trained: bool) -> dict[str, torch.Tensor]:
        return {name: value for name, value in self._network.state_dict().items() if (name in self._names) == trained}

    @main_process_only
    def write_frozen(self, path: Path) -> None:
        """Writes everything that is not trained, unless the file exists."""
        if not path.exists():
            with outputs.new_file(path) as partial:
                torch.save(self._state(trained=False), partial)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Writes the trained parameters."""
        torch.save(self._state(trained=True), path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Reads a file of `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if set(state) != self._names:
            raise InputError(f"{path}: holds other parameters than those that are trained")
        self._network.load_state_dict(state, strict=False)


class Checkpoints(Checkpointer):
    """SpeechBrain's Checkpointer that removes incomplete and damaged checkpoints when it is made, with a warning.

    Of several processes only the first one has files. It sends the others the checkpoint to resume from, because they
    may be on machines that do not see its disk.
    """

    def __init__(self, folder: Path, recoverables: Mapping[str, Any]) -> None:
        # SpeechBrain creates the folder; the other processes do not use it.
        super().__init__(tempfile.gettempdir() if distributed.rank() else folder, recoverables)
        self._remove_corrupt()

    @main_process_only
    def _remove_corrupt(self) -> None:
        for folder in sorted(self.checkpoints_dir.glob("CKPT+*")):
            if problem := find_corruption(folder):
                log.warning(messages.CHECKPOINT_REMOVED, folder, problem)
                shutil.rmtree(folder)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        """As SpeechBrain's, and marked as complete. If it cannot be written, nothing is left."""
        try:
            with torch_saves(self.checkpoints_dir):
                checkpoint = super().save_checkpoint(*args, **kwargs)
            if checkpoint is not None:  # None in all processes but the first one
                finalize(checkpoint.path)
        except OSError:
            for folder in [] if distributed.rank() else self.checkpoints_dir.glob("CKPT+*"):
                if not (folder / FILES).exists():
                    shutil.rmtree(folder)
            raise
        ddp_barrier()  # the checkpoint is complete before any process continues
        return checkpoint

    @main_process_only
    def delete_checkpoints(self, **kwargs: Any) -> None:
        """As SpeechBrain's, in the first process."""
        super().delete_checkpoints(**kwargs)

    @main_process_only
    def _newest_files(self) -> dict[str, bytes] | None:
        newest = self.find_checkpoint()
        return newest and {path.name: path.read_bytes() for path in newest.path.iterdir()}

    def recover_if_possible(self) -> Checkpoint | None:
        """As SpeechBrain's; every process loads the newest checkpoint of the first one."""
        if distributed.world_size() == 1:
            return super().recover_if_possible()
        files = self._newest_files()
        if files is None:
            return None
        with tempfile.TemporaryDirectory() as folder:  # SpeechBrain loads from files
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            (checkpoint,) = self._construct_checkpoint_objects([Path(folder)])
            self.load_checkpoint(checkpoint)
        return checkpoint

    def epochs(
        self, number: int, min_key: str | None, holds: Callable[[Mapping[str, Any]], bool] = lambda meta: True
    ) -> list[Checkpoint]:
        """Checkpoints of finished epochs: the `number` newest, or those with the lowest values of `min_key` in their
        meta; only those for whose meta `holds` is true. Of equal ones the newest comes first."""
        order = {"min_key": min_key} if min_key else {}
        return self.find_checkpoints(
            ckpt_predicate=lambda checkpoint: checkpoint.meta["end-of-epoch"] and holds(checkpoint.meta),
            max_num_checkpoints=number,
            **order,
        )

    @main_process_only
    def keep(self, *selection: Any) -> None:
        """Deletes all checkpoints but the newest one and those of `epochs(*selection)`."""
        needed = {checkpoint.path for checkpoint in (self.find_checkpoint(), *self.epochs(*selection))}
        self.delete_checkpoints(num_to_keep=0, ckpt_predicate=lambda checkpoint: checkpoint.path not in needed)


def check_space(folder: Path, network: torch.nn.Module, params: TrainParams) -> None:
    """Checks that the disk of a staging folder has space for a training.

    There are the kept checkpoints, the newest and one more before the oldest is deleted. A checkpoint has the trained
    weights, AdamW's two moments and moving averages, the final weights and the frozen ones are written once.

    Raises:
        InputError: it has not.
    """
    weights = list(network.parameters())
    trained = sum(weight.nbytes for weight in weights if weight.requires_grad)
    num_checkpoints = min(params.average_checkpoints, params.epochs) + 2
    needed = 2 * sum(weight.nbytes for weight in weights) + num_checkpoints * (4 if params.ema_decay else 3) * trained
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free + written
    if free < needed:
        raise InputError(
            f"{folder.parent}: got {free / 1e6:.0f} MB of free space, wanted {needed / 1e6:.0f} MB for checkpoints"
        )


def make_checkpoints(folder: Path, hparams: SimpleNamespace, loader: SaveableDataLoader) -> Checkpoints:
    """Checkpoints of a network and the position of its train loader; only of the trained weights if some are frozen."""
    model = hparams.model
    if not all(weight.requires_grad for weight in model.parameters()):
        model = TrainedWeights(hparams.model)
        model.write_frozen(folder / FROZEN)
    return Checkpoints(folder, {"model": model, "normalizer": hparams.normalizer, "loader": loader})
