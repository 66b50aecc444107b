"""One run of a sweep: `dvc exp run` in a folder of its own, watched while it trains."""

import contextlib
import csv
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from atc_asr.core.errors import InputError

log = logging.getLogger(__name__)

EXPERIMENTS_FOLDER = Path(".dvc", "tmp", "exps")
POLL_SECONDS = 0.5
SECONDS_TO_DIE = 10.0


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by the name CUDA_VISIBLE_DEVICES knows them by."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    try:
        answer = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return [str(index) for index, _ in enumerate(answer.stdout.splitlines())] if answer.returncode == 0 else []


def worker_environment(worker: int, num_workers: int, gpus: Sequence[str], num_cores: int) -> dict[str, str]:
    """Variables that give a worker its share of the machine: cores, and a GPU of its own where there are several."""
    share = {"CUDA_VISIBLE_DEVICES": gpus[worker % len(gpus)]} if len(gpus) > 1 else {}
    if num_workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        share["OMP_NUM_THREADS"] = str(max(1, num_cores // num_workers))
    return share


def information_of(root: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """DVC's notes about runs of this name: its own folder for the note, and the folder the run works in."""
    for note in (root / EXPERIMENTS_FOLDER / "run").glob("*/*.run"):
        try:
            content = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):  # being written or removed at this moment
            continue
        if content.get("name") == name:
            yield note.parent, Path(content["root_dir"])


def remove_remains(root: Path, name: str) -> None:
    """Remove what a killed run left: `dvc exp show` would show it as running for ever beside its repetition."""
    standalone = (root / EXPERIMENTS_FOLDER / "standalone").resolve()
    for note, folder in information_of(root, name):
        if folder.resolve().parent == standalone:
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(standalone / "run" / note.name, ignore_errors=True)
        shutil.rmtree(note, ignore_errors=True)


def read_curve(path: Path, step: str, value: str) -> list[tuple[int, float]]:
    """The points of a training curve so far; a line still being written is left for the next look.

    Raises:
        InputError: the curve has no such columns.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = csv.DictReader(content[: content.rfind("\n") + 1].splitlines())
    for column in (step, value):
        if lines.fieldnames is not None and column not in lines.fieldnames:
            raise InputError(f"{path}: has no column {column}; it has {', '.join(lines.fieldnames)}")
    return [(int(float(line[step])), float(line[value])) for line in lines if line[value]]


def stop(process: subprocess.Popen) -> None:
    """End a run with everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_DIE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Be the only process that drives the sweep of a folder.

    Raises:
        InputError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "driver.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder}: another process drives this sweep") from error
        yield


@contextlib.contextmanager
def runs_lock(folder: Path) -> Iterator[int]:
    """A lock that every run inherits, so that a new driver waits for the runs of one that was killed.

    Yields:
        The lock's descriptor, for `Popen(pass_fds=…)`.
    """
    with open(folder / "runs.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: waiting for the runs that an earlier, killed sweep left at work", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def start(
    root: Path, name: str, overrides: Mapping[str, str], share: Mapping[str, str], log_file: Path, lock: int
) -> subprocess.Popen:
    """Start one experiment in a folder of its own.

    Args:
        root: the repository.
        name: the experiment's name.
        overrides: values by parameter.
        share: environment variables of the worker.
        log_file: what the run prints goes here, after what earlier attempts printed.
        lock: descriptor the run inherits.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name]
    for parameter, value in overrides.items():
        command += ["--set-param", f"{parameter}={value}"]
    # dvc.yaml says `python`: the one that runs the sweep, also where its environment is not activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with open(log_file, "ab") as output:
        return subprocess.Popen(
            command,
            cwd=root,
            env=os.environ | share | {"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,  # a group of its own, so that it can be ended with all it started
        )


def attend(process: subprocess.Popen, look: Callable[[], bool]) -> int | None:
    """Wait for a run and look at it now and then; its exit status, or None when `look` asked to end it."""
    try:
        while process.poll() is None:
            if look():
                return None
            time.sleep(POLL_SECONDS)
        return process.returncode
    finally:
        stop(process)  # of a run that was killed, what it started may still be at work
