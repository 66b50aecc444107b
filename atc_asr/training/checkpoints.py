"""Checkpoints that outlive a kill at any moment: what is not whole is never taken up.

SpeechBrain fills a checkpoint's folder in place and empties it in place, so a kill can leave half of one under its
final name. Here a list of the files with their hashes is written last; a folder that does not match its list goes.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier, main_process_only

from atc_asr.core import files
from atc_asr.core.errors import InputError
from atc_asr.model.run_folder import torch_saves
from atc_asr.training import distributed

log = logging.getLogger(__name__)

FORMAT = 2  # of what a checkpoint holds; those of another are not taken up
FILES = "files.json"  # name -> SHA-256 of every other file of a checkpoint


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        InputError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while part := file.read(1 << 20):  # a checkpoint can be larger than the memory
                digest.update(part)
        return digest.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def finalize(folder: Path) -> None:
    """Declare a checkpoint's folder complete: its files are on the disk before the list that names them."""
    for path in folder.iterdir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    files.write_text(folder / FILES, json.dumps({path.name: file_hash(path) for path in sorted(folder.iterdir())}))


def find_corruption(folder: Path) -> str | None:
    """What is wrong with a checkpoint's folder; None: it is as it was written."""
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
    """The parameters of a network that are trained, as part of a checkpoint; those that never change lie beside it."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network

    def names(self) -> set[str]:
        """Names of the parameters that are trained."""
        return {name for name, weight in self._network.named_parameters() if weight.requires_grad}

    @main_process_only
    def write_frozen(self, path: Path) -> None:
        """Write everything else of the network once: with it, a checkpoint makes the whole."""
        if not path.exists():
            names = self.names()
            state = {name: tensor for name, tensor in self._network.state_dict().items() if name not in names}
            with files.new_file(path) as partial:
                torch.save(state, partial)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write the trained parameters."""
        names = self.names()
        torch.save({name: tensor for name, tensor in self._network.state_dict().items() if name in names}, path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Read what `save` wrote."""
        del end_of_epoch
        state = torch.load(path, map_location="cpu", weights_only=True)
        if set(state) != self.names():
            raise InputError(f"{path}: holds other parameters than those that are trained")
        self._network.load_state_dict(state, strict=False)


class Checkpoints(Checkpointer):
    """SpeechBrain's Checkpointer over whole checkpoints only; others are removed when it is made, with a warning.

    Of several processes the first one alone has files, and sends to the others what they take up: they may be on
    machines that do not see its disk.
    """

    def __init__(self, folder: Path, recoverables: Mapping[str, Any]) -> None:
        # SpeechBrain makes the folder it is given; in the other processes it is never looked at
        super().__init__(tempfile.gettempdir() if distributed.rank() else folder, recoverables)
        self._remove_broken()

    @main_process_only
    def _remove_broken(self) -> None:
        for folder in sorted(self.checkpoints_dir.glob("CKPT+*")):
            trouble = find_corruption(folder)
            if trouble:
                log.warning("%s: %s; removed, the training goes on from the checkpoint before it", folder, trouble)
                shutil.rmtree(folder)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        """As SpeechBrain's, and sealed; one that cannot be written leaves nothing."""
        try:
            with torch_saves(self.checkpoints_dir):
                checkpoint = super().save_checkpoint(*args, **kwargs)
            if checkpoint is not None:  # None in all processes but the main one
                finalize(checkpoint.path)
        except OSError:
            for folder in [] if distributed.rank() else self.checkpoints_dir.glob("CKPT+*"):
                if not (folder / FILES).exists():
                    shutil.rmtree(folder)
            raise
        ddp_barrier()  # it is whole in the first process before another one goes on
        return checkpoint

    @main_process_only
    def delete_checkpoints(self, **kwargs: Any) -> None:
        """As SpeechBrain's, where the files are."""
        super().delete_checkpoints(**kwargs)

    @main_process_only
    def _newest_files(self) -> dict[str, bytes] | None:
        newest = self.find_checkpoint()
        return newest and {path.name: path.read_bytes() for path in newest.path.iterdir()}

    def recover_if_possible(self) -> Checkpoint | None:
        """As SpeechBrain's, in every process from the newest checkpoint of the first one."""
        if distributed.count() == 1:
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

    def epochs(self, number: int, lowest: str | None) -> list[Checkpoint]:
        """Checkpoints of ends of epochs: the `number` newest, or those whose meta has the lowest value under a key,
        of equal ones the newest first."""
        order = {"min_key": lowest} if lowest else {}
        return self.find_checkpoints(
            ckpt_predicate=lambda checkpoint: checkpoint.meta["end-of-epoch"], max_num_checkpoints=number, **order
        )

    @main_process_only
    def keep(self, number: int, lowest: str | None) -> None:
        """Delete all but the newest checkpoint and those that `epochs` finds."""
        needed = {checkpoint.path for checkpoint in (self.find_checkpoint(), *self.epochs(number, lowest))}
        self.delete_checkpoints(num_to_keep=0, ckpt_predicate=lambda checkpoint: checkpoint.path not in needed)
