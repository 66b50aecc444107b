"""Shards: the unit of parallel work, of atomic writing and of resuming.

A work folder beside the output holds one folder a finished shard, and the key of the run that made them. A shard's
folder gets its name when it is complete, so whatever kills the export, the next one finds only whole shards; and it
takes them only when its own key is the same.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from atc_asr.core import files
from atc_asr.core.errors import InputError
from atc_asr.corpus import audio, clips
from atc_asr.corpus.checks import Rejection
from atc_asr.corpus.clips import Row
from atc_asr.corpus.params import CheckParams
from atc_asr.corpus.source import Shard, Source

KEY_FILE = "key"
LOCK_FILE = "lock"
ROWS_FILE = "rows.jsonl"


@dataclass(frozen=True)
class Task:
    """One shard to export.

    Attributes:
        take: number of its clips that are wanted, from the first.
        folder: where the finished shard will be.
    """

    source: Source
    shard: Shard
    take: int
    config: str
    checks: CheckParams
    folder: Path


def plan(source: Source, *, config: str, checks: CheckParams, work: Path, wanted: Mapping[str, int]) -> list[Task]:
    """The tasks of a source, cut to the wanted number of clips of each split."""
    left = dict(wanted)
    tasks = []
    for shard in source.shards():
        take = min(shard.size, left[shard.split])
        left[shard.split] -= take
        if take:
            folder = work / f"{shard.split}-{shard.index:05d}"
            tasks.append(Task(source, shard, take, config, checks, folder))
    return tasks


def run_key(source: Source, *, config: str, checks: CheckParams, wanted: Mapping[str, int]) -> str:
    """A hash of everything that a shard's content depends on, the corpus code included."""
    content = {
        "source": source.identity(),
        "shards": [(shard.split, shard.index, shard.size) for shard in source.shards()],
        "config": config,
        "checks": asdict(checks),
        "wanted": dict(wanted),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
    for module in sorted(Path(__file__).parent.iterdir()):
        if module.is_file():
            digest.update(module.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def locked(work: Path) -> Iterator[None]:
    """Hold the work folder against a second export; the lock goes with the process, however it ends.

    Raises:
        InputError: another export holds it.
    """
    work.mkdir(parents=True, exist_ok=True)
    with open(work / LOCK_FILE, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{work}: another export is writing here, wait for it or stop it") from None
        try:
            yield
        finally:
            if os.listdir(work) == [LOCK_FILE]:
                shutil.rmtree(work)


def clear(work: Path) -> None:
    """Remove everything in a locked work folder but its lock, which the lock's holder removes."""
    for entry in work.iterdir():
        if entry.name != LOCK_FILE:
            shutil.rmtree(entry)


def prepare(work: Path, key: str) -> None:
    """Make the work folder ready: finished shards of the same key stay, everything else goes."""
    key_file = work / KEY_FILE
    if not key_file.is_file() or key_file.read_text() != key:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        files.write_text(key_file, key)
    for unfinished in work.glob("*.unfinished-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def export_shard(task: Task) -> int:
    """Write one shard, whole or not at all; returns its number of clips."""
    unfinished = task.folder.with_name(f"{task.folder.name}.unfinished-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        _fill(task, unfinished)
        os.rename(unfinished, task.folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return task.take


def _fill(task: Task, folder: Path) -> None:
    with open(folder / ROWS_FILE, "w", encoding="utf-8", errors="replace", newline="\n") as rows:
        for number, clip in enumerate(islice(task.source.read(task.shard), task.take)):
            row, samples = clips.make_row(clip, config=task.config, split=task.shard.split, params=task.checks)
            if samples is not None:
                audio.write_wav(folder / f"{number}.wav", samples)
            rows.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def read_shard(folder: Path) -> list[tuple[Row, Path]]:
    """The rows of a finished shard with the place of each one's WAV."""
    with open(folder / ROWS_FILE, encoding="utf-8", newline="\n") as file:
        return [(_row(json.loads(line)), folder / f"{number}.wav") for number, line in enumerate(file)]


def _row(values: dict[str, Any]) -> Row:
    rejection = values["rejection"] and Rejection(**values["rejection"])
    return Row(**values | {"apostrophes": tuple(values["apostrophes"]), "rejection": rejection})


def unfinished_tasks(tasks: Sequence[Task]) -> list[Task]:
    """Those tasks whose shard is not there yet."""
    return [task for task in tasks if not task.folder.is_dir()]
