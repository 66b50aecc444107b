"""Reads audio files listed in CSV or JSONL files: existing manifests and audio folders of `datasets`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atc_asr.core import manifest
from atc_asr.core.errors import InputError
from atc_asr.corpus.source import SPLITS, Clip, Shard, make_shards

SHARD_ROWS = 256
SUFFIXES = (".csv", ".jsonl")
METADATA_FILES = ("metadata.csv", "metadata.jsonl")


@dataclass(frozen=True)
class ManifestSource:
    """Clips listed in CSV or JSONL files."""

    files: Mapping[str, tuple[str, ...]]  # split -> lists
    id_column: str | None  # None = the stem of the audio file's name
    audio_column: str  # path of the audio file, relative to the list
    text_column: str  # transcript
    info: Mapping[str, Any]  # identifies the corpus beside its rows

    def identity(self) -> Mapping[str, Any]:
        return self.info

    def shards(self) -> list[Shard]:
        """Up to `SHARD_ROWS` rows per shard; an item is (row, path of the audio, its size and modification time).

        Raises:
            InputError: a list cannot be read or lacks a column.
        """
        shards = []
        for split in SPLITS:
            rows = [row for path in self.files.get(split, ()) for row in self._rows(Path(path))]
            shards += make_shards(split, rows, SHARD_ROWS)
        return shards

    def _rows(self, path: Path) -> Iterator[tuple[dict[str, str], str, tuple[int, int] | None]]:
        required = [name for name in (self.id_column, self.audio_column, self.text_column) if name]
        for _, row in manifest.read_rows(path, required):
            audio = str((path.parent / row[self.audio_column]).absolute())
            status = os.stat(audio) if os.path.isfile(audio) else None
            yield row, audio, (status.st_size, status.st_mtime_ns) if status else None

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard; a clip whose file is missing has no audio."""
        used = {self.id_column, self.audio_column, self.text_column, "duration"}
        for row, path, _ in shard.items:
            audio = Path(path).read_bytes() if os.path.isfile(path) else None
            clip_id = row[self.id_column] if self.id_column else Path(path).stem
            columns = {name: value for name, value in row.items() if name not in used}
            yield Clip(clip_id or None, audio, None, row[self.text_column], columns)


def open_manifests(corpus: str, config: str, *, splits: Mapping[str, str | None]) -> ManifestSource:
    """Open the manifests of a folder: `<corpus>/<config>/<split>.csv` or `<corpus>/<split>.csv`, or `.jsonl`.

    Args:
        splits: "train", "valid", "test" -> the file's name without suffix; None = not wanted.

    Raises:
        InputError: there is no manifest.
    """
    folder = Path(corpus) / config if (Path(corpus) / config).is_dir() else Path(corpus)
    files: dict[str, tuple[str, ...]] = {}
    for split, name in splits.items():
        # An export of this project names its manifests train, valid and test.
        for path in (folder / f"{stem}{suffix}" for stem in (name, split) for suffix in SUFFIXES):
            if name and path.is_file():
                files.setdefault(split, (str(path),))
    if not files:
        names = ", ".join(f"{name}.csv" for name in splits.values() if name)
        raise InputError(f"{folder}: has no manifest, wanted one of {names} (or .jsonl)")
    return ManifestSource(files, "id", "wav", "transcript", {"corpus": "manifests"})


def open_audio_folder(
    files: Mapping[str, Sequence[str]], *, text_column: str, info: Mapping[str, Any]
) -> ManifestSource:
    """Open an audio folder of `datasets`: each split has metadata.csv or .jsonl with `file_name` and the transcript.

    Raises:
        InputError: a split has no metadata file.
    """
    lists = {}
    for split, paths in files.items():
        lists[split] = tuple(path for path in paths if Path(path).name in METADATA_FILES)
        if not lists[split]:
            raise InputError(f"{split}: an audio folder without transcripts, wanted {' or '.join(METADATA_FILES)}")
    return ManifestSource(lists, None, "file_name", text_column, info)
