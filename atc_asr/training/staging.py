"""The staging folder of a training: named by the training's key, locked by its process, moved when it is finished.

The operating system releases the lock when the process ends, even if it is killed.
"""

import contextlib
import datetime
import errno
import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from atc_asr.core import files
from atc_asr.model.run_folder import CHECKPOINTS, HPARAMS

LOCK = ".lock"


def staging_parent(parent: Path, dvc_root: Path | None) -> Path:
    """The folder of the staging folders: `parent`, where the run folder will be.

    DVC deletes a queued experiment's copy of the project when its worker ends, so there it is the same folder of the
    project itself, `dvc_root`.
    """
    parent = parent.absolute()
    if dvc_root is None or not parent.is_relative_to(Path.cwd()):
        return parent
    return dvc_root / parent.relative_to(Path.cwd())


def _try_lock(folder: Path) -> int | None:
    """Creates and locks a folder; returns the lock file's descriptor, None if another process holds the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:  # another process has just moved the folder
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(folder / LOCK)):  # not the lock of a folder that was moved
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


@contextlib.contextmanager
def locked_staging_dir(parent: Path, key: str) -> Iterator[Path]:
    """The locked staging folder in `parent` for a training by its key (`config.training_key`).

    A second process with the same training gets another folder. A training that fails before its first checkpoint
    leaves no folder.
    """
    folders = (parent / f".training-{key}{f'-{number}' if number > 1 else ''}" for number in itertools.count(1))
    folder, lock = next((folder, lock) for folder in folders if (lock := _try_lock(folder)) is not None)
    try:
        yield folder
    except BaseException:
        if not any((folder / CHECKPOINTS).glob("CKPT+*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def first_started(folder: Path, now: datetime.datetime) -> datetime.datetime:
    """When the training in a locked staging folder was started first, so that a resumed training keeps its name."""
    lock = folder / LOCK
    try:
        return datetime.datetime.fromisoformat(lock.read_text(encoding="utf-8"))
    except ValueError:  # empty or cut short
        lock.write_text(now.isoformat(), encoding="utf-8")
        return now


def publish(staging_dir: Path, run_dir: Path) -> None:
    """Moves a finished staging folder to `run_dir`. In an existing folder, other files than a run's stay."""
    (staging_dir / LOCK).unlink(missing_ok=True)
    if not run_dir.exists():
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(staging_dir, run_dir)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with files.new_folder(run_dir) as partial:  # on another disk
                shutil.copytree(staging_dir, partial, dirs_exist_ok=True)
            shutil.rmtree(staging_dir)
        return
    # A run folder without hyper-parameters is refused, so they are removed first and moved last. The checkpoints are
    # moved just before them, so that a kill in between does not lose the training.
    (run_dir / HPARAMS).unlink(missing_ok=True)
    for item in sorted(staging_dir.iterdir(), key=lambda item: (item.name == HPARAMS, item.name == CHECKPOINTS)):
        if (run_dir / item.name).is_dir():
            shutil.rmtree(run_dir / item.name)
        shutil.move(item, run_dir / item.name)
    staging_dir.rmdir()
