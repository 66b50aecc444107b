"""Manifests that exist already (CSV or JSONL, `id,wav,transcript` and further columns), as a source."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.corpus import manifest
from asr.corpus.source import SPLITS, Clip, Shard
from asr.errors import InputError

SHARD_ROWS = 256
SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class ListedSource:
    """Clips of manifests: the audio is read again, checked and brought to 16 kHz.

    Attributes:
        files: split -> manifest.
    """

    files: Mapping[str, str]

    def identity(self) -> dict[str, Any]:
        """A hash of the rows, and of the size and time of change of every audio file."""
        digest = hashlib.sha256()
        for shard in self.shards():
            for row in shard.items:
                found = os.stat(row["wav"]) if os.path.isfile(row["wav"]) else None
                digest.update(repr((shard.split, row, found and (found.st_size, found.st_mtime_ns))).encode())
        return {"corpus": "manifests", "rows": digest.hexdigest()}

    def shards(self) -> list[Shard]:
        """Runs of rows.

        Raises:
            InputError: a manifest is not one.
        """
        shards = []
        for split in SPLITS:
            rows = list(_rows(Path(self.files[split]))) if split in self.files else []
            for index, start in enumerate(range(0, len(rows), SHARD_ROWS)):
                items = rows[start : start + SHARD_ROWS]
                shards.append(Shard(split, index, items, len(items)))
        return shards

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard; a row whose file is missing has no audio."""
        for row in shard.items:
            wav = Path(row["wav"])
            columns = {name: value for name, value in row.items() if name not in manifest.COLUMNS}
            audio = wav.read_bytes() if wav.is_file() else None
            yield Clip(row["id"] or None, audio, None, row["transcript"], columns)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    for _, row in manifest.read_rows(path, ("id", "wav", "transcript")):
        yield {**row, "wav": str((path.parent / row["wav"]).absolute())}


def open_listed(corpus: str, config: str, *, splits: Mapping[str, str | None]) -> ListedSource:
    """The manifests of a folder: `<corpus>/<config>/<split>.csv`, or `<corpus>/<split>.csv`; JSONL as well.

    Args:
        splits: "train", "valid", "test" -> the file's name without its ending, None = not wanted.

    Raises:
        InputError: there is none.
    """
    folder = Path(corpus) / config if (Path(corpus) / config).is_dir() else Path(corpus)
    files = {}
    for split, name in splits.items():
        # a corpus that was exported here calls its files by our names
        for path in (folder / f"{stem}{suffix}" for stem in (name, split) for suffix in SUFFIXES):
            if name and path.is_file():
                files.setdefault(split, str(path))
    if not files:
        asked = ", ".join(f"{name}.csv" for name in splits.values() if name)
        raise InputError(f"{folder}: has no manifest, wanted one of {asked} (or .jsonl)")
    return ListedSource(files)
