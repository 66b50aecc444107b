"""The staging folder of a training: named by the training's key, locked by its process, moved to the run folder.

The lock is a file beside the folder. It holds when the training was started first, and the run folder once nearly
everything is there. It is removed last, so that after a kill at any moment the same command continues: it neither
trains again nor makes a second run.
"""

import contextlib
import datetime
import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from atc_asr.core import outputs
from atc_asr.core.errors import InputError
from atc_asr.model import run_folder
from atc_asr.model.run_folder import CARD, CHECKPOINTS, FROZEN, HPARAMS
from atc_asr.tokenizer.tokens import TOKENS_FILE
from atc_asr.tracking.record import json_like

# The files of a run besides checkpoints and hyper-parameters.
RUN_FILES = (
    CARD, run_folder.METRICS, run_folder.README, run_folder.MODEL, run_folder.NORMALIZER, run_folder.TOKENIZER,
    TOKENS_FILE, run_folder.CURVES, run_folder.TRAIN_LOG,
)  # fmt: skip


def staging_parent(parent: Path, dvc_root: Path | None) -> Path:
    """The folder of the staging folders: `parent`, where the run folder will be.

    DVC deletes a queued experiment's copy of the project when its worker ends, so there it is the same folder of the
    project itself, `dvc_root`.
    """
    parent = parent.absolute()
    if dvc_root is None or not parent.is_relative_to(Path.cwd()):
        return parent
    return dvc_root / parent.relative_to(Path.cwd())


def check_run_dir(run_dir: Path) -> None:
    """Checks that a run folder can be published: it is new, an earlier one, or a folder without files of these names.

    Raises:
        InputError: it is not.
    """
    outputs.check_file(run_dir / CARD, json_like(["architecture"]))
    for name in (*RUN_FILES, CHECKPOINTS, HPARAMS):
        if os.path.lexists(run_dir / name) and not (run_dir / CARD).is_file():
            raise InputError(f"{run_dir}: holds {name}, but not {CARD} of a run; wanted a new or an earlier run folder")
    outputs.check_folder(run_dir / CHECKPOINTS, ("CKPT+*", FROZEN))


def lock_of(staging_dir: Path) -> Path:
    """The lock of a staging folder."""
    return staging_dir.with_name(f"{staging_dir.name}.lock")


@contextlib.contextmanager
def locked_staging_dir(parent: Path, key: str) -> Iterator[Path]:
    """The locked staging folder in `parent` for a training by its key (`config.training_key`).

    A second process with the same training gets another folder. A training that fails before its first checkpoint
    leaves no folder.
    """
    folders = (parent / f".training-{key}{f'-{number}' if number > 1 else ''}" for number in itertools.count(1))
    locks = ((folder, outputs.lock_file(lock_of(folder))) for folder in folders)
    folder, lock = next((folder, lock) for folder, lock in locks if lock is not None)
    try:
        folder.mkdir(exist_ok=True)
        yield folder
    except BaseException:
        if not published_to(folder) and not any((folder / CHECKPOINTS).glob("CKPT+*")):
            shutil.rmtree(folder, ignore_errors=True)
            lock_of(folder).unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)


def _started(lock: Path) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(lock.read_text(encoding="utf-8").split("\n")[0])
    except (ValueError, FileNotFoundError):  # empty or cut short, or removed by another process
        return None


def first_started(folder: Path, now: datetime.datetime) -> datetime.datetime:
    """When the training in a locked staging folder was started first, so that a resumed training keeps its name.

    Trainings of one parent folder start at different seconds, because their run folders may be named by them.
    """
    lock = lock_of(folder)
    with outputs.locked_folders({folder.parent}):
        started = _started(lock)
        if started is None:
            others = {f"{other:%c}" for other in map(_started, folder.parent.glob(".training-*.lock")) if other}
            started = now
            while f"{started:%c}" in others:
                started += datetime.timedelta(seconds=1)
            lock.write_text(f"{started.isoformat()}\n", encoding="utf-8")
    return started


def published_to(staging_dir: Path) -> list[str]:
    """The run folders to which all files of a locked staging folder but checkpoints and hyper-parameters were moved."""
    return lock_of(staging_dir).read_text(encoding="utf-8").split("\n")[1:-1]


def can_finish(staging_dir: Path, run_dir: Path) -> bool:
    """Whether a publication that was killed has left everything that `publish` needs to finish it.

    It has not if DVC removed the files in the run folder before it repeated the stage.
    """
    return (
        str(run_dir.absolute()) in published_to(staging_dir)
        and all((run_dir / name).is_file() for name in RUN_FILES)
        and all((run_dir / name).exists() or (staging_dir / name).exists() for name in (CHECKPOINTS, HPARAMS))
    )


def publish(staging_dir: Path, run_dir: Path) -> None:
    """Moves a finished staging folder to `run_dir`, or finishes that. In an existing folder other files stay.

    A run folder without hyper-parameters is refused, so they are removed first and moved last. The checkpoints are
    moved just before them: until then the training resumes from them and writes everything else again.
    """
    lock = lock_of(staging_dir)
    if not can_finish(staging_dir, run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / HPARAMS).unlink(missing_ok=True)
        names = {path.name for path in staging_dir.glob("[!.]*")} - {CHECKPOINTS, HPARAMS}
        for name in sorted(names, key=lambda name: (name != CARD, name)):
            _move(staging_dir / name, run_dir / name)
        with open(lock, "a", encoding="utf-8") as file:
            file.write(f"{run_dir.absolute()}\n")
    for name in (CHECKPOINTS, HPARAMS):
        if (staging_dir / name).exists():
            _move(staging_dir / name, run_dir / name)
    outputs.remove_stale(run_dir)
    shutil.rmtree(staging_dir, ignore_errors=True)
    lock.unlink()


def _move(source: Path, target: Path) -> None:
    try:
        outputs.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = outputs.hidden(target)  # on another disk
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy2(source, copy)
        outputs.rename(copy, target)
        outputs.remove(source)
