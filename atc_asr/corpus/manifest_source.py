"""Reads audio files listed in CSV, JSONL or parquet: manifests, also NVIDIA NeMo's, and audio folders of `datasets`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from atc_asr.core import manifest
from atc_asr.core.errors import InputError
from atc_asr.corpus.segments import SHARD_SEGMENTS, Segment, config_folder, to_clip, with_status
from atc_asr.corpus.source import SPLITS, Clip, Shard, make_shards

SUFFIXES = (".csv", ".jsonl", ".json")
METADATA_FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


class Names(NamedTuple):
    """Columns of a list: id (None = from the audio file's name), path of the audio file, transcript."""

    id: str | None
    audio: str
    text: str


OWN = Names("id", "wav", "transcript")
NEMO = Names(None, "audio_filepath", "text")  # and `offset`, seconds, of a part of a file; with `duration`


@dataclass(frozen=True)
class ManifestSource:
    """Clips listed in files; paths of audio files are relative to the list."""

    files: Mapping[str, tuple[str, ...]]  # split -> lists
    names: tuple[Names, ...]  # of a row the first ones are used whose audio column it has
    info: Mapping[str, Any]  # identifies the corpus beside its rows

    def identity(self) -> Mapping[str, Any]:
        return self.info

    def shards(self) -> list[Shard]:
        """An item is (segment, size and modification time of its file).

        Raises:
            InputError: a list cannot be read or lacks a column.
        """
        shards = []
        for split in SPLITS:
            segments = [one for path in self.files.get(split, ()) for one in self._segments(Path(path))]
            shards += make_shards(split, with_status(segments), SHARD_SEGMENTS)
        return shards

    def _segments(self, path: Path) -> Iterator[Segment]:
        for line, row in read_list(path):
            names = next((names for names in self.names if names.audio in row), self.names[0])
            for name in names:
                if name and row.get(name) is None:
                    where = f"{path}:{line} (id {row.get('id')})"
                    raise InputError(f"{where}: column {name} is missing, got {','.join(row) or 'nothing'}")
            yield to_segment(path.parent, row, names)

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard; a clip whose file is missing has no audio."""
        for segment, _ in shard.items:
            yield to_clip(segment)


def read_list(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line or row number, row) of a list.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix != ".parquet":
        yield from manifest.read_rows(path, ())
        return
    import pyarrow as pa  # imported here because it takes long
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    for number, row in enumerate(rows, start=1):
        yield number, {name: str(value) for name, value in row.items() if value is not None}


def to_segment(folder: Path, row: Mapping[str, str], names: Names) -> Segment:
    """A row as a segment: a whole file, or the part that NeMo's `offset` and `duration` name."""
    path = manifest.audio_path(folder, row[names.audio]).absolute()
    columns = {name: value for name, value in row.items() if name not in (*names, "duration")}
    name = row[names.id] if names.id else path.stem
    if names != NEMO or "offset" not in row:
        return Segment(name or None, str(path), row[names.text], columns)
    offset = columns.pop("offset")
    try:
        start = float(offset)
        end = start + float(row.get("duration", ""))
    except ValueError:
        problem = f"offset and duration are {offset!r} and {row.get('duration')!r}, wanted seconds"
        return Segment(name, str(path), row[names.text], columns, problem=problem)
    return Segment(f"{name}_{round(start * 1000):09d}", str(path), row[names.text], columns, start, end)


def open_manifests(corpus: str, config: str, *, splits: Mapping[str, str | None]) -> ManifestSource:
    """Open the manifests of a folder: `<corpus>/<config>/<split>.csv` or `<corpus>/<split>.csv`, or `.jsonl`, `.json`.

    Args:
        splits: "train", "valid", "test" -> the file's name without suffix; None = not wanted.

    Raises:
        InputError: there is no manifest.
    """
    folder = config_folder(corpus, config)
    files: dict[str, tuple[str, ...]] = {}
    for split, name in splits.items():
        # An export of this project names its manifests train, valid and test.
        for path in (folder / f"{stem}{suffix}" for stem in (name, split) for suffix in SUFFIXES):
            if name and path.is_file():
                files.setdefault(split, (str(path),))
    if not files:
        names = ", ".join(f"{name}.csv" for name in splits.values() if name)
        raise InputError(f"{folder}: has no manifest, wanted one of {names} (or .jsonl, .json)")
    return ManifestSource(files, (OWN, NEMO), {"corpus": "manifests"})


def open_audio_folder(
    files: Mapping[str, Sequence[str]], *, audio_column: str, text_column: str, info: Mapping[str, Any]
) -> ManifestSource:
    """Open an audio folder of `datasets`: each split has a metadata file with the audio's name and the transcript.

    The name is in the column `file_name` or, for a data set with several files per row, `<audio column>_file_name`.

    Raises:
        InputError: a split has no metadata file.
    """
    lists = {}
    for split, paths in files.items():
        lists[split] = tuple(path for path in paths if Path(path).name in METADATA_FILES)
        if not lists[split]:
            raise InputError(f"{split}: an audio folder without transcripts, wanted one of {', '.join(METADATA_FILES)}")
    columns = ("file_name", f"{audio_column}_file_name")
    return ManifestSource(lists, tuple(Names(None, column, text_column) for column in columns), info)
