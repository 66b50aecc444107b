"""Where a training lives until it is finished: a folder named by its key, for one process at a time.

The system lets go of the lock when the process that holds it dies, however it dies.
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


def try_lock(folder: Path) -> int | None:
    """Lock a folder, made when it is missing; the open lock file, None when another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:  # finished and moved away just now
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(folder / LOCK)):  # not that of a folder that moved away
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


@contextlib.contextmanager
def locked_staging_dir(parent: Path, key: str) -> Iterator[Path]:
    """The work folder of a training, locked; a second process that wants the same training gets one of its own.

    Args:
        parent: where work folders lie.
        key: name of exactly this training.
    """
    for number in itertools.count(1):
        folder = parent / f".training-{key}{f'-{number}' if number > 1 else ''}"
        lock = try_lock(folder)
        if lock is not None:
            break
    try:
        yield folder
    except BaseException:
        if not any((folder / CHECKPOINTS).glob("CKPT+*")):  # nothing that another call could go on from
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def first_started(folder: Path, now: datetime.datetime) -> datetime.datetime:
    """When the training in a locked_staging_dir work folder was begun: one that was killed goes on as the run it was."""
    lock = folder / LOCK
    try:
        return datetime.datetime.fromisoformat(lock.read_text(encoding="utf-8"))
    except ValueError:  # nothing yet, or cut short
        lock.write_text(now.isoformat(), encoding="utf-8")
        return now


def publish(work_dir: Path, run_dir: Path) -> None:
    """Give a finished run folder its place; in a folder that is there, files that are not a run's own stay."""
    (work_dir / LOCK).unlink(missing_ok=True)
    if not run_dir.exists():
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(work_dir, run_dir)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with files.new_folder(run_dir) as partial:  # another disk
                shutil.copytree(work_dir, partial, dirs_exist_ok=True)
            shutil.rmtree(work_dir)
        return
    # Without its hyper-parameters a run folder is refused, so they leave first and come last; checkpoints come
    # before them, so that after a kill in between nothing has to be trained again.
    (run_dir / HPARAMS).unlink(missing_ok=True)
    for item in sorted(work_dir.iterdir(), key=lambda item: (item.name == HPARAMS, item.name == CHECKPOINTS)):
        if (run_dir / item.name).is_dir():
            shutil.rmtree(run_dir / item.name)
        shutil.move(item, run_dir / item.name)
    work_dir.rmdir()
