"""Reads Hub datasets and local folders that `datasets` can load: parquet and Arrow files, audio folders.

`datasets` finds and downloads the files. The rows are read directly from the parquet or Arrow files, a few at a time,
so that worker processes need neither `datasets` nor a token nor a network.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import TOKEN_VARIABLES, one_line, read_token, silence_http_log
from atc_asr.corpus.manifest_source import open_audio_folder
from atc_asr.corpus.source import SPLITS, Clip, Shard, Source

log = logging.getLogger(__name__)

SHARD_ROWS = 256  # row groups are joined up to this many rows, about a second of work
MAX_SHARD_ROWS = 4096  # larger row groups are split; every part is read from the start of the group
BATCH_ROWS = 16  # rows in memory at a time
LAYOUTS = ("parquet", "arrow", "audiofolder")
BARE_AUDIO = (pa.binary(), pa.large_binary(), pa.binary_view(), pa.null())
ID_FROM_PATH = "path"
ID_FROM_CONTENT = "content"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Columns:
    """The columns of a dataset."""

    audio: str  # a struct of bytes and path
    text: str  # the transcript
    id: str  # a column, "path" (the audio file's name) or "content" (a hash)
    extra: tuple[str, ...]  # further columns to keep

    @property
    def required(self) -> list[str]:
        """Columns to read."""
        id_column = [] if self.id in (ID_FROM_PATH, ID_FROM_CONTENT) else [self.id]
        return list(dict.fromkeys([self.audio, self.text, *id_column, *self.extra]))


@dataclass(frozen=True)
class RowRange:
    """Rows `start` to `stop` of the given row groups of a parquet file, or record batches of an Arrow file."""

    path: str
    groups: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class HubSource:
    """Clips from local parquet or Arrow files."""

    name: str  # the dataset's name, for messages
    files: Mapping[str, tuple[str, ...]]  # split -> its files, in order
    columns: Columns
    info: Mapping[str, Any]  # identifies the dataset beside its files

    def identity(self) -> dict[str, Any]:
        """Name and revision of the dataset; name, size and modification time of each file."""
        files = {split: [_file_identity(path) for path in paths] for split, paths in self.files.items()}
        return {**self.info, "columns": self.columns.required, "id": self.columns.id, "files": files}

    def shards(self) -> list[Shard]:
        """Whole row groups where they are small, parts of row groups where they are large."""
        shards = []
        for split in SPLITS:
            ranges = [rows for path in self.files.get(split, ()) for rows in split_file(path, self.columns)]
            shards += [Shard(split, index, rows, rows.stop - rows.start) for index, rows in enumerate(ranges)]
        return shards

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard.

        Raises:
            InputError: the file is damaged.
        """
        try:
            for row in read_rows(shard.items, self.columns):
                yield to_clip(row, self.columns)
        except pa.ArrowException as error:
            raise InputError(f"{self.name}: {shard.items.path}: cannot be read: {one_line(error)}") from error


def to_clip(row: Mapping[str, Any], columns: Columns) -> Clip:
    """A clip from a row in the Hub's schema."""
    value = row[columns.audio]
    path = value.get("path") if isinstance(value, dict) else None
    audio = value.get("bytes") if isinstance(value, dict) else value
    if audio is None and path and Path(path).is_file():
        audio = Path(path).read_bytes()
    if columns.id == ID_FROM_PATH:
        clip_id = Path(path).stem if path else None
    else:
        clip_id = None if columns.id == ID_FROM_CONTENT else _text(row[columns.id])
    return Clip(
        id=clip_id or None,
        audio=audio if isinstance(audio, bytes) else None,
        sample_rate=None,
        text=_text(row[columns.text]) or None,
        columns={name: _text(row[name]) for name in columns.extra},
        path=path or "",
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def split_file(path: str, columns: Columns) -> list[RowRange]:
    """Divide a file into ranges of about `SHARD_ROWS` rows.

    Raises:
        InputError: the file is not parquet or Arrow, lacks a column, or has no audio in the audio column.
    """
    try:
        if path.endswith(".arrow"):
            with pa.memory_map(path) as file:
                reader = pa.ipc.open_stream(file)
                schema, sizes = reader.schema, [batch.num_rows for batch in reader]
        else:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read: {one_line(error)}") from error
    for column in columns.required:
        if column not in schema.names:
            raise InputError(f"{path}: has no column {column}, got {', '.join(schema.names)}")
    kind = schema.field(columns.audio).type
    is_struct = pa.types.is_struct(kind)
    if kind.get_field_index("bytes") < 0 if is_struct else kind not in BARE_AUDIO:
        raise InputError(f"{path}: column {columns.audio} holds {kind}, wanted encoded audio (a struct with bytes)")
    return [
        RowRange(path, groups, start, min(start + MAX_SHARD_ROWS, size))
        for groups, size in _join_groups(sizes)
        for start in range(0, size, MAX_SHARD_ROWS)
    ]


def _join_groups(sizes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Join neighbouring row groups up to `SHARD_ROWS` rows: (groups, rows)."""
    groups: list[int] = []
    rows = 0
    for group, size in enumerate(sizes):
        if groups and rows + size > SHARD_ROWS:
            yield tuple(groups), rows
            groups, rows = [], 0
        groups.append(group)
        rows += size
    if rows:
        yield tuple(groups), rows


def read_rows(rows: RowRange, columns: Columns) -> Iterator[dict[str, Any]]:
    """The rows of a range as dicts, `BATCH_ROWS` in memory at a time."""
    position = 0
    for batch in _batches(rows, columns.required):
        first, last = max(rows.start - position, 0), min(rows.stop - position, batch.num_rows)
        position += batch.num_rows
        for start in range(first, last, BATCH_ROWS):
            yield from batch.slice(start, min(BATCH_ROWS, last - start)).to_pylist()
        if position >= rows.stop:
            return


def _batches(rows: RowRange, names: list[str]) -> Iterator[pa.RecordBatch]:
    if rows.path.endswith(".arrow"):
        with pa.memory_map(rows.path) as file:
            for group, batch in enumerate(pa.ipc.open_stream(file)):
                if group in rows.groups:
                    yield batch.select(names)
        return
    # A small buffer without read-ahead, so that large row groups are never in memory as a whole.
    with pq.ParquetFile(rows.path, pre_buffer=False, buffer_size=1 << 20) as file:
        yield from file.iter_batches(BATCH_ROWS, row_groups=list(rows.groups), columns=names, use_threads=False)


def _file_identity(path: str) -> list[Any]:
    status = os.stat(path)
    return [Path(path).name, status.st_size, status.st_mtime_ns]


def open_hub(
    corpus: str, config: str, *, revision: str | None, splits: Mapping[str, str | None], columns: Columns
) -> Source:
    """Open one configuration of a Hub dataset, downloading it if necessary, or of a local folder.

    Args:
        splits: "train", "valid", "test" -> the corpus's name ("train+test" joins two); None = not wanted.

    Raises:
        InputError: the corpus cannot be loaded or has none of the splits; the message never contains the token.
    """
    local = corpus != "" and Path(corpus).exists()
    if local and revision:
        raise InputError(
            f"export.revision: got {revision}, but {corpus} is a local path without revisions; wanted null"
        )
    if not local and not _HUB_NAME.fullmatch(corpus):
        raise InputError(f"export.corpus: {corpus} is neither a local folder nor a Hub name (owner/name)")
    token = None if local else read_token()
    name = f"{corpus} ({config})"
    try:
        layout, found, info = _find_files(corpus, config, revision, token)
    except Exception as error:  # `datasets` passes on exceptions of httpx, fsspec, pyarrow and huggingface_hub
        message = f"{name}: cannot be loaded: {type(error).__name__}: {one_line(error, token)}"
        if not local and not token:
            message += f"; no token: a gated dataset needs {' or '.join(TOKEN_VARIABLES)} in the environment or in .env"
        raise InputError(message) from None
    if layout not in LAYOUTS:
        raise InputError(f"{name}: its files are of type {layout}, wanted {', '.join(LAYOUTS)}")
    files = choose_files(name, found, splits)
    info = {"corpus": corpus, "config": config, **info}
    if layout == "audiofolder":
        return open_audio_folder(files, audio_column=columns.audio, text_column=columns.text, info=info)
    return HubSource(name, files, columns, info)


def choose_files(
    name: str, found: Mapping[str, Sequence[str]], splits: Mapping[str, str | None]
) -> dict[str, tuple[str, ...]]:
    """Map our split -> files, from the corpus's split -> files; splits without files are left out.

    Raises:
        InputError: no split has files, or a name in `splits` is probably misspelt.
    """
    parts = {split: theirs.split("+") for split, theirs in splits.items() if theirs}
    asked = {part for names in parts.values() for part in names}
    missing, unused = sorted(asked - set(found)), sorted(set(found) - asked)
    if missing and unused:  # part2 and part3 of ATC0 have no test; a misspelt name leaves another one unused
        raise InputError(
            f"{name}: has no split {', '.join(missing)}, and its {', '.join(unused)} is not used; "
            "wanted its own names in export.train_split, valid_split and test_split, or null"
        )
    for part in missing:
        log.info(messages.NO_SUCH_SPLIT, name, part)
    files = {split: tuple(path for part in names for path in found.get(part, ())) for split, names in parts.items()}
    files = {split: paths for split, paths in files.items() if paths}
    if not files:
        raise InputError(f"{name}: has splits {', '.join(found)}, wanted one of {', '.join(sorted(asked)) or 'them'}")
    return files


def _find_files(
    corpus: str, config: str, revision: str | None, token: str | None
) -> tuple[str, dict[str, list[str]], dict[str, Any]]:
    """The file type, the corpus's split -> local files, and the revision's identity."""
    if Path(corpus).is_file():
        return Path(corpus).suffix.removeprefix("."), {"train": [corpus]}, {}
    import datasets  # imported here because it takes two seconds

    silence_http_log()
    if (Path(corpus) / "dataset_dict.json").is_file() or (Path(corpus) / "state.json").is_file():
        saved = datasets.load_from_disk(corpus)
        splits = saved if isinstance(saved, datasets.DatasetDict) else {"train": saved}
        return "arrow", {split: [entry["filename"] for entry in rows.cache_files] for split, rows in splits.items()}, {}
    builder = datasets.load_dataset_builder(corpus, config, revision=revision, token=token)
    manager = datasets.DownloadManager(download_config=datasets.DownloadConfig(token=token))
    data_files = builder.config.data_files or {}
    files = {str(split): manager.download([str(path) for path in paths]) for split, paths in data_files.items()}
    parquet = all(path.endswith(".parquet") for paths in files.values() for path in paths)
    return "parquet" if parquet else builder.name, files, {"hash": builder.hash, "revision": revision}
