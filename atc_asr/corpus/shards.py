"""Shards are the unit of parallel work, of atomic writing and of resuming.

A staging folder beside the output holds one folder per finished shard, and the key of the run that wrote them. A
shard's folder gets its name when it is complete, so a killed export leaves only complete shards. The next export
reuses them if its key is the same.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from atc_asr.core import files, messages, outputs
from atc_asr.core.errors import InputError
from atc_asr.corpus import audio, clips
from atc_asr.corpus.checks import Rejection
from atc_asr.corpus.clips import Row
from atc_asr.corpus.params import CheckParams
from atc_asr.corpus.source import Shard, Source

log = logging.getLogger(__name__)

KEY_FILE = "key"
LOCK_FILE = "lock"
ROWS_FILE = "rows.jsonl"
CODE_FOLDERS = ("atc/vocabulary", "core", "corpus")  # as the dependencies of the stage in dvc.yaml


@dataclass(frozen=True)
class Task:
    """One shard to export."""

    source: Source
    shard: Shard
    num_clips: int  # number of its clips to export, from the first
    config: str
    checks: CheckParams
    convention: str  # of the transcripts
    folder: Path  # the finished shard


def make_tasks(
    source: Source,
    shards: Sequence[Shard],
    config: str,
    checks: CheckParams,
    convention: str,
    sizes: Mapping[str, int],
    folder: Path,
) -> list[Task]:
    """The tasks for the first `sizes[split]` clips of each split."""
    left = dict(sizes)
    tasks = []
    for shard in shards:
        num_clips = min(shard.size, left[shard.split])
        left[shard.split] -= num_clips
        if num_clips:
            name = f"{shard.split}-{shard.index:05d}"
            tasks.append(Task(source, shard, num_clips, config, checks, convention, folder / name))
    return tasks


def run_key(
    identity: Mapping[str, Any],
    shards: Sequence[Shard],
    config: str,
    checks: CheckParams,
    convention: str,
    sizes: Mapping[str, int],
) -> str:
    """A hash of everything that the content of a shard depends on, including the code."""
    content = [identity, shards, config, checks.model_dump(), convention, sizes]
    digest = hashlib.sha256(repr(content).encode("utf-8", "surrogatepass"))
    for folder in CODE_FOLDERS:
        for file in sorted(path for path in (Path(__file__).parents[1] / folder).iterdir() if path.is_file()):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def staging_dir(out_dir: Path, part: str | None) -> Path:
    """The staging folder of an export, or of its part I/N."""
    name = f"{out_dir.name}.{part.replace('/', '-of-')}" if part else out_dir.name
    return out_dir.with_name(f".{name}.partial")


def take_over(out_dir: Path, keys: Mapping[str, str]) -> None:
    """Move the shards that exports of parts I/N have finished to the staging folder, and name missing parts in the log.

    Args:
        out_dir: the output folder.
        keys: configuration -> key of the run.

    Raises:
        InputError: a part is still running, or was exported from other data or with other settings.
    """
    pattern = rf"\.{re.escape(out_dir.name)}\.([0-9]+)-of-([0-9]+)\.partial"
    found = [match for name in sorted(os.listdir(out_dir.parent)) if (match := re.fullmatch(pattern, name))]
    for match in found:
        folder = out_dir.with_name(match[0])
        with locked(folder):
            parts = {path.parent.name: path.read_text() for path in folder.glob(f"*/{KEY_FILE}")}
            if parts and parts != keys:
                raise InputError(
                    f"{folder}: --shard {match[1]}/{match[2]} had other data or settings, wanted the same command as "
                    "there, or the folder deleted"
                )
            for config in parts:
                for shard in sorted(path for path in (folder / config).iterdir() if path.is_dir()):
                    target = staging_dir(out_dir, None) / config / shard.name
                    if "." not in shard.name and not target.exists():
                        os.rename(shard, target)
            clear(folder)
    for count in {match[2] for match in found}:
        there = {int(match[1]) for match in found if match[2] == count}
        for index in sorted(set(range(1, int(count) + 1)) - there):
            log.warning(messages.EXPORT_SHARDS_MISSING, f"{index}/{count}")


@contextlib.contextmanager
def locked(staging_dir: Path) -> Iterator[None]:
    """Lock the staging folder against a second export; the lock is released when the process ends.

    Raises:
        InputError: another export holds the lock.
    """
    lock = outputs.lock_file(staging_dir / LOCK_FILE)
    if lock is None:
        raise InputError(f"{staging_dir}: another export is running, wait for it or stop it")
    try:
        yield
    finally:
        if os.listdir(staging_dir) == [LOCK_FILE]:
            shutil.rmtree(staging_dir)
        os.close(lock)


def clear(staging_dir: Path) -> None:
    """Remove everything in a locked staging folder but its lock, which `locked` removes."""
    for entry in staging_dir.iterdir():
        if entry.name != LOCK_FILE:
            remove(entry)


def remove(folder: Path) -> None:
    """Remove a configuration's staging folder, the key first: without it, remaining shards do not count as finished."""
    (folder / KEY_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def prepare(folder: Path, key: str) -> None:
    """Prepare a configuration's staging folder: keep finished shards of the same key, remove everything else."""
    key_file = folder / KEY_FILE
    if not key_file.is_file() or key_file.read_text() != key:
        remove(folder)
        folder.mkdir(parents=True)
        files.write_text(key_file, key)
    for unfinished in folder.glob("*.unfinished-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def export_shard(task: Task) -> int:
    """Write one shard atomically; returns its number of clips."""
    unfinished = task.folder.with_name(f"{task.folder.name}.unfinished-{os.getpid()}")
    unfinished.mkdir()
    try:
        with open(unfinished / ROWS_FILE, "w", encoding="utf-8", errors="replace", newline="\n") as rows:
            for number, clip in enumerate(islice(task.source.read(task.shard), task.num_clips)):
                row, samples = clips.make_row(
                    clip,
                    config=task.config,
                    split=task.shard.split,
                    params=task.checks,
                    convention=task.convention,
                )
                if samples is not None:
                    audio.write_wav(unfinished / f"{number}.wav", samples)
                rows.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        os.rename(unfinished, task.folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return task.num_clips


def read_shard(folder: Path) -> list[tuple[Row, Path]]:
    """The rows of a finished shard, each with the path of its WAV."""
    rows = []
    with open(folder / ROWS_FILE, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file):
            values = json.loads(line)
            values["apostrophes"] = tuple(values["apostrophes"])
            values["removed"] = tuple(map(tuple, values["removed"]))
            values["rejection"] = values["rejection"] and Rejection(**values["rejection"])
            rows.append((Row(**values), folder / f"{number}.wav"))
    return rows
