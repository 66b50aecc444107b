"""The sweep's CSV: one row per run in the 32 columns of the Whisper sweeps."""

import contextlib
import csv
import fcntl
import io
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atc_asr.core import files, outputs
from atc_asr.core.errors import InputError

# The header of the Whisper sweeps (specification, section 5).
SWEEP_COLUMNS = (
    "timestamp", "run_id", "run_stage", "model", "output_dir", "dataset_part", "train_fraction", "validation_samples",
    "epochs", "wer", "train_runtime", "train_loss", "eval_loss", "device", "gpu", "per_device_train_batch_size",
    "grad_accum", "effective_batch_size", "lora_r", "lora_alpha", "lora_dropout", "quant_weights_dtype",
    "quant_compute_dtype", "inference_time_sec", "peak_memory_mb", "save_full_model", "language", "task",
    "learning_rate", "seed", "eval_strategy", "eval_steps",
)  # fmt: skip
# Measured columns; ignored when a repeated row is detected.
MEASURED_COLUMNS = ("wer", "train_runtime", "train_loss", "eval_loss", "inference_time_sec", "peak_memory_mb")
RUN_ID = SWEEP_COLUMNS.index("run_id")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock for changes of `path`; the operating system releases it when the process dies."""
    if outputs.is_stream(path):
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # The lock is a file of its own because `path` is replaced while the lock is held.
    with open(path.with_name(f".{path.name}.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _format_cell(value: Any) -> str:
    """A value as text; an empty cell for None, NaN and infinities."""
    if value is None or (isinstance(value, numbers.Real) and not math.isfinite(value)):
        return ""
    return str(value)


def _format_row(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row in the order of `SWEEP_COLUMNS`."""
    missing = [name for name in SWEEP_COLUMNS if name not in row]
    unknown = [name for name in row if name not in SWEEP_COLUMNS]
    if missing or unknown:
        raise ValueError(f"sweep row: missing columns {missing}, unknown columns {unknown}")
    return [_format_cell(row[name]) for name in SWEEP_COLUMNS]


def _identity(cells: Sequence[str]) -> list[str]:
    """The cells that identify a run: all but the measured ones."""
    return [cell for name, cell in zip(SWEEP_COLUMNS, cells, strict=True) if name not in MEASURED_COLUMNS]


def read_sweep(path: Path) -> list[list[str]]:
    """The rows of a sweep's CSV without its header; an empty list when the file does not exist, or is a device or pipe.

    Raises:
        InputError: the file has another header, or a row whose number of cells differs from the header's, or it cannot
            be written.
    """
    outputs.check_file(path, outputs.ANY)
    content = files.read_text(path) if path.is_file() else ""
    if not content:
        return []
    reader = csv.reader(io.StringIO(content, newline=""))
    rows = []
    try:
        header = tuple(name.strip() for name in next(reader))
        if header != SWEEP_COLUMNS:
            raise InputError(f"{path}:1: got the header {','.join(header)!r}, wanted {','.join(SWEEP_COLUMNS)!r}")
        for cells in reader:
            if len(cells) not in (0, len(SWEEP_COLUMNS)):
                raise InputError(f"{path}:{reader.line_num}: got {len(cells)} cells, wanted {len(SWEEP_COLUMNS)}")
            rows += [[files.cell_text(cell) for cell in cells]] if cells else []
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: is not CSV: {error}") from error
    return rows


def append_sweep_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a run to the sweep's CSV, atomically and safely with several processes.

    A run whose row is already there is not appended again: a training that was killed after writing its row and
    then resumed writes it once.

    Args:
        path: the CSV; created with its header when it does not exist.
        row: a value for each of `SWEEP_COLUMNS` and no other; None and NaN give an empty cell.

    Raises:
        InputError: the file has another header.
        ValueError: the row lacks a column or has an unknown one.
    """
    cells = _format_row(row)
    path = outputs.find_target(path)
    with _locked(path):
        rows = read_sweep(path)
        if _identity(cells) not in map(_identity, rows):
            files.write_csv(path, SWEEP_COLUMNS, [*rows, cells], outputs.ANY)


def merge_sweep_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Merge rows into the sweep's CSV by `run_id`: a known run is updated in place, a new one appended.

    Args:
        path: as for `append_sweep_row`.
        rows: as for `append_sweep_row`, each `run_id` once.

    Returns:
        The number of rows appended and the number of rows changed.

    Raises:
        InputError, ValueError: as `append_sweep_row`.
    """
    new = {cells[RUN_ID]: cells for cells in map(_format_row, rows)}
    if len(new) != len(rows):
        raise ValueError("sweep rows: a run_id occurs twice")
    path = outputs.find_target(path)
    with _locked(path):
        old = read_sweep(path)
        merged = [new.get(cells[RUN_ID], cells) for cells in old]
        known = {cells[RUN_ID] for cells in old}
        added = [cells for run_id, cells in new.items() if run_id not in known]
        files.write_csv(path, SWEEP_COLUMNS, merged + added, outputs.ANY)
    return len(added), sum(before != after for before, after in zip(old, merged, strict=True))
