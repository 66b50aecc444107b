"""A worker of a sweep: runs one trial at a time with `dvc exp run --temp`.

The DVC queue is not used, because its workers share one environment and cannot be given one GPU each.
"""

import contextlib
import csv
import fcntl
import glob
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from atc_asr.core import messages
from atc_asr.core.errors import InputError

log = logging.getLogger(__name__)

DVC = (sys.executable, "-m", "dvc")
EXPERIMENTS_DIR = Path(".dvc", "tmp", "exps")
SWEEP_LOCK = "sweep.lock"  # in the folder of every study
POLL_SECONDS = 0.5
TERMINATE_SECONDS = 10.0  # between SIGTERM and SIGKILL
CURVE_STEP, CURVE_VALUE = "epoch", "valid_wer"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    import torch  # slow, and needed only here

    return [str(index) for index in range(torch.cuda.device_count())]


def worker_environment(worker: int, num_workers: int, gpus: Sequence[str], num_cores: int) -> dict[str, str]:
    """Environment variables of a worker: a GPU of its own where there are several, and its part of the cores."""
    environment = {"CUDA_VISIBLE_DEVICES": gpus[worker % len(gpus)]} if len(gpus) > 1 else {}
    if num_workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        environment["OMP_NUM_THREADS"] = str(max(1, num_cores // num_workers))
    return environment


@contextlib.contextmanager
def lock_study(study_dir: Path) -> Iterator[None]:
    """Lock a study for this process; waits for trials that a killed sweep left running.

    Raises:
        InputError: another process runs this sweep.
    """
    study_dir.mkdir(parents=True, exist_ok=True)
    with open(study_dir / SWEEP_LOCK, "w") as sweep_lock, open(study_dir / "trials.lock", "w") as trials_lock:
        try:
            fcntl.flock(sweep_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{study_dir}: another process runs this sweep") from error
        try:
            fcntl.flock(trials_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info(messages.WAITING_FOR_TRIALS, study_dir)
            fcntl.flock(trials_lock, fcntl.LOCK_EX)
        os.set_inheritable(trials_lock.fileno(), True)  # trials hold this lock as long as they run
        yield


def run_files(experiment: str) -> Iterator[tuple[Path, Path]]:
    """DVC's files of running experiments of this name: the folder of its `.run` file, and its working folder."""
    # glob.glob, because Path.glob raises when another worker removes a folder meanwhile.
    for run_file in map(Path, glob.glob(str(EXPERIMENTS_DIR / "run" / "*" / "*.run"))):
        with contextlib.suppress(OSError, json.JSONDecodeError):  # DVC is writing or removing it
            content = json.loads(run_file.read_text(encoding="utf-8"))
            if content.get("name") == experiment:
                yield run_file.parent, Path(content["root_dir"])


def remove_run_files(experiment: str) -> None:
    """Remove the files of a killed experiment, which `dvc exp show` would list as running."""
    standalone = (EXPERIMENTS_DIR / "standalone").resolve()
    for run_dir, root_dir in run_files(experiment):
        if root_dir.resolve().parent == standalone:
            shutil.rmtree(root_dir, ignore_errors=True)
        shutil.rmtree(standalone / "run" / run_dir.name, ignore_errors=True)
        shutil.rmtree(run_dir, ignore_errors=True)


def read_curve(experiment: str, pattern: str) -> dict[int, float]:
    """The WER by step in the training curve of a running experiment; an incomplete last line is left out.

    Raises:
        InputError: the curve lacks a column.
    """
    for _, root_dir in run_files(experiment):
        for path in sorted(root_dir.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):  # the experiment has just finished
                content = path.read_text(encoding="utf-8")
                rows = csv.DictReader(content[: content.rfind("\n") + 1].splitlines())
                for column in {CURVE_STEP, CURVE_VALUE} - set(rows.fieldnames or (CURVE_STEP, CURVE_VALUE)):
                    raise InputError(f"{path}: has no column {column}; it has {', '.join(rows.fieldnames or ())}")
                return {int(float(row[CURVE_STEP])): float(row[CURVE_VALUE]) for row in rows if row[CURVE_VALUE]}
    return {}


def run_experiment(
    name: str,
    values: Mapping[str, str],
    environment: Mapping[str, str],
    log_file: Path,
    should_stop: Callable[[], bool],
) -> bool:
    """Run an experiment in a temporary folder, and stop it as soon as `should_stop()` is true.

    `environment` adds environment variables, `log_file` is appended to, `should_stop` is called every `POLL_SECONDS`.

    Returns:
        Whether the experiment was stopped.
    """
    command = [*DVC, "--wait-for-lock", "exp", "run", "--temp", "--name", name]
    command += [f"--set-param={key}={value}" for key, value in values.items()]
    # dvc.yaml runs `python`: make it this interpreter also where the virtual environment is not activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with open(log_file, "ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            close_fds=False,  # inherit the lock of `lock_study`
            start_new_session=True,  # a process group, which includes the stages
        )
    try:
        while process.poll() is None:
            if should_stop():
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
        return False
    finally:  # also when it was killed: its stages may still run
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TERMINATE_SECONDS)
        remove_run_files(name)
