"""Records of a run: its id, versions, peak memory, and its JSON files.

No stage of dvc.yaml lists the section `record` among its params, so changing a label retrains nothing.
"""

import datetime
import importlib.metadata
import json
import math
import numbers
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atc_asr.core import files
from atc_asr.tracking.params import RecordParams

RECORDED_PACKAGES = (
    "torch", "torchaudio", "speechbrain", "hyperpyyaml", "dvc", "datasets", "soundfile", "sentencepiece",
)  # fmt: skip

PIPELINE_FILES = (":(exclude)metrics", ":(exclude)dvc.lock")  # as git names them


def run_id(labels: RecordParams, started: datetime.datetime) -> str:
    """The run's name: the label `run_id`, or the start time as `YYYYmmdd_HHMMSS`."""
    return labels.run_id or started.strftime("%Y%m%d_%H%M%S")


def timestamp(moment: datetime.datetime) -> str:
    """ISO 8601 to the second, as in the sweep's CSV: `2026-11-23T07:06:00`."""
    return moment.isoformat(timespec="seconds")


def git_commit(folder: Path) -> str | None:
    """The commit checked out in `folder`; None outside of git.

    `-dirty` is added when tracked files were changed, other than those that the pipeline itself changes.
    """

    def git(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)

    try:
        commit = git("rev-parse", "HEAD")
    except FileNotFoundError:
        return None
    if commit.returncode:
        return None
    is_clean = git("diff", "--quiet", "HEAD", "--", ":/", *PIPELINE_FILES).returncode == 0
    return commit.stdout.strip() + ("" if is_clean else "-dirty")


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on; None for a package that is not installed."""
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
        cuda_bytes: peak of the GPU (`torch.cuda.max_memory_allocated()`); None for the peak of the process.
    """
    if cuda_bytes is not None:
        return cuda_bytes / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB on Linux (getrusage(2))


def to_json_value(value: Any, where: str, *, texts: bool) -> Any:
    """Convert a value for JSON: numbers to int or float, NaN and infinities to None, mappings sorted by key.

    Args:
        value: a number (also of numpy), None, or a mapping or sequence of these.
        where: name of the value for the error message.
        texts: whether str and bool are allowed as well.

    Raises:
        TypeError: the value is of another type.
    """
    if value is None or (texts and isinstance(value, str | bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json_value(value[key], f"{where}.{key}", texts=texts) for key in sorted(value, key=str)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [to_json_value(item, f"{where}[{index}]", texts=texts) for index, item in enumerate(value)]
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"{where}: got {type(value).__name__}, wanted a number{' or a text' if texts else ''}")


def rounded(value: float | None, digits: int = 2) -> float | None:
    """A number of a metrics file: few decimals, so that `dvc metrics show` fits on a screen; None stays None."""
    return None if value is None else round(value, digits)


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write a metrics file for DVC, atomically: numbers only, null for NaN and infinities, sorted by key.

    Raises:
        TypeError: a value is not a number, nor a mapping or list of numbers.
    """
    _write_json(path, to_json_value(metrics, "metrics", texts=False))


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write metrics.json or model_card.json of a run folder: as `write_metrics`, with str and bool allowed."""
    _write_json(path, to_json_value(record, "record", texts=True))


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files.write_text(path, text, json_like(content))


def json_like(keys: Iterable[str]) -> str:
    """Pattern of the beginning of a file of `write_metrics` or `write_record` with some of these keys."""
    return rf'\{{\s*"({"|".join(map(re.escape, keys))})":'
