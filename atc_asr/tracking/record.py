"""What a run leaves behind: its labels, its numbers, and its row in the sweep's CSV.

Labels name a run and never change it: no stage of dvc.yaml lists the section `record` among its params,
so an edit there retrains nothing.
"""

import contextlib
import csv
import datetime
import fcntl
import importlib.metadata
import io
import json
import math
import numbers
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atc_asr.core import files
from atc_asr.core.errors import InputError
from atc_asr.tracking.params import RecordParams

# The header of the Whisper sweeps, word for word (specification, section 5).
SWEEP_COLUMNS = (
    "timestamp",
    "run_id",
    "run_stage",
    "model",
    "output_dir",
    "dataset_part",
    "train_fraction",
    "validation_samples",
    "epochs",
    "wer",
    "train_runtime",
    "train_loss",
    "eval_loss",
    "device",
    "gpu",
    "per_device_train_batch_size",
    "grad_accum",
    "effective_batch_size",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "quant_weights_dtype",
    "quant_compute_dtype",
    "inference_time_sec",
    "peak_memory_mb",
    "save_full_model",
    "language",
    "task",
    "learning_rate",
    "seed",
    "eval_strategy",
    "eval_steps",
)
# Of them what differs when the end of a run that was killed there is repeated; the others tell runs apart.
MEASURED_COLUMNS = ("wer", "train_runtime", "train_loss", "eval_loss", "inference_time_sec", "peak_memory_mb")

RECORDED_PACKAGES = (
    "torch",
    "torchaudio",
    "speechbrain",
    "hyperpyyaml",
    "dvc",
    "datasets",
    "soundfile",
    "sentencepiece",
)


def run_id(labels: RecordParams, started: datetime.datetime) -> str:
    """The run's name: the label, or the time it started at as `YYYYmmdd_HHMMSS`."""
    return labels.run_id or started.strftime("%Y%m%d_%H%M%S")


def timestamp(moment: datetime.datetime) -> str:
    """A moment as the CSV writes it, to the second: `2026-11-23T07:06:00`."""
    return moment.isoformat(timespec="seconds")


def git_commit(folder: Path) -> str | None:
    """The commit checked out in `folder`, with `-dirty` when tracked files differ from it; None outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def versions() -> dict[str, str | None]:
    """Python's version and those of the packages a result depends on; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def peak_memory_mb(cuda_bytes: int | None) -> float:
    """Peak memory so far in MiB.

    Args:
        cuda_bytes: the device's peak (`torch.cuda.max_memory_allocated()`), or None for the process's own.
    """
    if cuda_bytes is not None:
        return cuda_bytes / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # macOS counts bytes, Linux KiB (getrusage(2))


def plain(value: Any, where: str, *, texts: bool) -> Any:
    """A value as JSON can hold it: numbers as int or float, NaN and infinities as None, mappings sorted by key.

    Args:
        value: a number, None, or a mapping or sequence of these; numpy's numbers too.
        where: its name, for the message.
        texts: whether texts and truth values are allowed as well.

    Raises:
        TypeError: the value is of another type.
    """
    if value is None or (texts and isinstance(value, str | bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(value[key], f"{where}.{key}", texts=texts) for key in sorted(value, key=str)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item, f"{where}[{index}]", texts=texts) for index, item in enumerate(value)]
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"{where}: got {type(value).__name__}, wanted a number{' or a text' if texts else ''}")


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all, the same bytes for the same content."""
    files.write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write a metrics file for DVC: numbers only, null for NaN and infinities, sorted by key.

    Raises:
        TypeError: a value is no number (and no mapping or list of numbers).
    """
    write_json(path, plain(metrics, "metrics", texts=False))


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a run's own record (`metrics.json`, `model_card.json`): as `write_metrics`, with texts and truth values."""
    write_json(path, plain(record, "record", texts=True))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the right to change `path`; waits for other holders, and is let go by a process that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lock file of its own: `path` is replaced while the lock is held, and NFS locks no folders.
    with open(path.with_name(f".{path.name}.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def format_cell(value: Any) -> str:
    """A value as the CSV holds it; nothing for None, NaN and infinities."""
    if value is None or (isinstance(value, numbers.Real) and not math.isfinite(value)):
        return ""
    return str(value)


def format_row(row: Mapping[str, Any]) -> list[str]:
    """A row's cells in the order of `SWEEP_COLUMNS`.

    Raises:
        ValueError: the row lacks a column or has one more.
    """
    missing = [name for name in SWEEP_COLUMNS if name not in row]
    unknown = [name for name in row if name not in SWEEP_COLUMNS]
    if missing or unknown:
        raise ValueError(f"sweep row: missing columns {missing}, unknown columns {unknown}")
    return [format_cell(row[name]) for name in SWEEP_COLUMNS]


def read_sweep(path: Path) -> list[list[str]]:
    """The rows of a sweep's CSV without its header; none when there is no file yet.

    Raises:
        InputError: the file has another header, or a row with more or fewer cells than the header.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a CSV in UTF-8: {error}") from error
    if not content:
        return []
    reader = csv.reader(io.StringIO(content, newline=""))
    header = tuple(name.strip() for name in next(reader))
    if header != SWEEP_COLUMNS:
        raise InputError(f"{path}:1: got the header {','.join(header)!r}, wanted {','.join(SWEEP_COLUMNS)!r}")
    rows = []
    for cells in reader:
        if len(cells) not in (0, len(SWEEP_COLUMNS)):
            raise InputError(f"{path}:{reader.line_num}: got {len(cells)} cells, wanted {len(SWEEP_COLUMNS)}")
        rows += [cells] if cells else []
    return rows


def write_sweep(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write header and rows, whole or not at all."""
    content = io.StringIO(newline="")
    csv.writer(content, lineterminator="\n").writerows([SWEEP_COLUMNS, *rows])
    files.write_text(path, content.getvalue())


def names_of_run(cells: Sequence[str]) -> list[str]:
    """A row's cells without what was measured."""
    return [cell for name, cell in zip(SWEEP_COLUMNS, cells, strict=True) if name not in MEASURED_COLUMNS]


def append_sweep_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one run to the sweep's CSV; several processes may do so at once, and one killed leaves no half row.

    A run that is there already, since it was killed after it had come so far, is left as it is.

    Args:
        path: the CSV; made with its header when it is not there.
        row: a value for each of `SWEEP_COLUMNS` and no other; None and NaN make an empty cell.

    Raises:
        InputError: the file is there with another header.
        ValueError: the row lacks a column or has one more.
    """
    cells = format_row(row)
    path = Path(path).resolve()
    with locked(path):
        rows = read_sweep(path)
        if names_of_run(cells) not in map(names_of_run, rows):
            write_sweep(path, [*rows, cells])


def merge_sweep_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Bring rows into the sweep's CSV by their `run_id`: a known one is replaced where it stands, a new one appended.

    Args:
        path: as for `append_sweep_row`.
        rows: as for `append_sweep_row`, each `run_id` once.

    Returns:
        The numbers of rows appended and of rows whose cells changed.

    Raises:
        InputError, ValueError: as `append_sweep_row`.
    """
    column = SWEEP_COLUMNS.index("run_id")
    new = {cells[column]: cells for cells in map(format_row, rows)}
    if len(new) != len(rows):
        raise ValueError("sweep rows: a run_id occurs twice")
    path = Path(path).resolve()
    with locked(path):
        old = read_sweep(path)
        known = {cells[column] for cells in old}
        kept = [new.get(cells[column], cells) for cells in old]
        added = [cells for name, cells in new.items() if name not in known]
        write_sweep(path, kept + added)
    return len(added), sum(before != after for before, after in zip(old, kept, strict=True))
