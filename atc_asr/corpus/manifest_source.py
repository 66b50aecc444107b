"""Audio files that a CSV or JSONL file lists, as a source: manifests that exist already, `datasets` audio folders."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atc_asr.core import manifest
from atc_asr.core.errors import InputError
from atc_asr.corpus.source import SPLITS, Clip, Shard

SHARD_ROWS = 256
SUFFIXES = (".csv", ".jsonl")
METADATA_FILES = ("metadata.csv", "metadata.jsonl")


@dataclass(frozen=True)
class ListedSource:
    """Clips that CSV or JSONL files list: the audio is read again, checked and brought to 16 kHz.

    Attributes:
        files: split -> lists.
        id_column: None = the audio file's name.
        audio_column: path of the audio file, from the list.
        text_column: transcript.
        facts: what tells these data from others, besides the lists and the audio files.
    """

    files: Mapping[str, tuple[str, ...]]
    id_column: str | None
    audio_column: str
    text_column: str
    facts: Mapping[str, Any]

    def identity(self) -> dict[str, Any]:
        """A hash of the rows, and of the size and time of change of every audio file."""
        digest = hashlib.sha256()
        for shard in self.shards():
            for row, path in shard.items:
                found = os.stat(path) if os.path.isfile(path) else None
                digest.update(repr((shard.split, row, found and (found.st_size, found.st_mtime_ns))).encode())
        return {**self.facts, "rows": digest.hexdigest()}

    def shards(self) -> list[Shard]:
        """Runs of rows.

        Raises:
            InputError: a list cannot be read or lacks a column.
        """
        shards = []
        for split in SPLITS:
            rows = [row for path in self.files.get(split, ()) for row in self._rows(Path(path))]
            for index, start in enumerate(range(0, len(rows), SHARD_ROWS)):
                items = rows[start : start + SHARD_ROWS]
                shards.append(Shard(split, index, items, len(items)))
        return shards

    def _rows(self, path: Path) -> Iterator[tuple[dict[str, str], str]]:
        wanted = [name for name in (self.id_column, self.audio_column, self.text_column) if name]
        for _, row in manifest.read_rows(path, wanted):
            yield row, str((path.parent / row[self.audio_column]).absolute())

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard; a row whose file is missing has no audio."""
        own = {self.id_column, self.audio_column, self.text_column, "duration"}
        for row, path in shard.items:
            audio = Path(path).read_bytes() if os.path.isfile(path) else None
            own_id = row[self.id_column] if self.id_column else Path(path).stem
            columns = {name: value for name, value in row.items() if name not in own}
            yield Clip(own_id or None, audio, None, row[self.text_column], columns)


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
                files.setdefault(split, (str(path),))
    if not files:
        asked = ", ".join(f"{name}.csv" for name in splits.values() if name)
        raise InputError(f"{folder}: has no manifest, wanted one of {asked} (or .jsonl)")
    return ListedSource(files, "id", "wav", "transcript", {"corpus": "manifests"})


def open_audio_folder(
    files: Mapping[str, Sequence[str]], *, text_column: str, facts: Mapping[str, Any]
) -> ListedSource:
    """An audio folder of `datasets`: each split has metadata.csv or .jsonl with `file_name` and the transcript.

    Args:
        files: split -> all its files.

    Raises:
        InputError: a split has no such file.
    """
    lists = {}
    for split, paths in files.items():
        lists[split] = tuple(path for path in paths if Path(path).name in METADATA_FILES)
        if not lists[split]:
            raise InputError(f"{split}: an audio folder without transcripts, wanted {' or '.join(METADATA_FILES)}")
    return ListedSource(lists, None, "file_name", text_column, facts)
