"""A Hub data set, or a local folder that `datasets` can load: parquet, audio folders, anything in the Hub's schema.

`datasets` finds the files and downloads them; the rows are read straight from the parquet or Arrow files, a few at a
time, so that workers need neither `datasets`, nor a token, nor a network.
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

from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import TOKEN_VARIABLES, one_line, read_token
from atc_asr.corpus.manifest_source import open_audio_folder
from atc_asr.corpus.source import SPLITS, Clip, Shard, Source

log = logging.getLogger(__name__)

SHARD_ROWS = 256  # a shard is whole row groups up to this many rows, about a second of work
LARGEST_SHARD = 4096  # rows of one row group at most; a part of a row group must read what is before it
BATCH_ROWS = 16  # rows in memory at a time
LAYOUTS = ("parquet", "arrow", "audiofolder")
ID_FROM_PATH = "path"
ID_FROM_CONTENT = "content"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Columns:
    """Which columns of a data set mean what.

    Attributes:
        audio: a struct of bytes and path.
        text: the transcript.
        id: a column, "path" (the audio file's name) or "content" (a hash).
        extra: kept as further columns of the manifest.
    """

    audio: str
    text: str
    id: str
    extra: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """Columns to read."""
        own_id = [] if self.id in (ID_FROM_PATH, ID_FROM_CONTENT) else [self.id]
        return list(dict.fromkeys([self.audio, self.text, *own_id, *self.extra]))


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` of some row groups of a parquet file, or of some record batches of an Arrow file."""

    path: str
    groups: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class HubSource:
    """Clips of the rows of parquet or Arrow files on this machine.

    Attributes:
        name: the data set's, for messages.
        files: split -> files of its rows, in order.
        facts: what tells these data from others.
    """

    name: str
    files: Mapping[str, tuple[str, ...]]
    columns: Columns
    facts: Mapping[str, Any]

    def identity(self) -> dict[str, Any]:
        """The data set's name and revision, and each file's size and time of change."""
        files = {split: [_file_facts(path) for path in paths] for split, paths in self.files.items()}
        return {**self.facts, "columns": list(self.columns.wanted), "id": self.columns.id, "files": files}

    def shards(self) -> list[Shard]:
        """Whole row groups where they are small, parts of them where they are big."""
        shards = []
        for split in SPLITS:
            pieces = [piece for path in self.files.get(split, ()) for piece in pieces_of(path, self.columns)]
            shards += [Shard(split, index, piece, piece.stop - piece.start) for index, piece in enumerate(pieces)]
        return shards

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard.

        Raises:
            InputError: the file is damaged.
        """
        try:
            for row in rows_of(shard.items, self.columns):
                yield to_clip(row, self.columns)
        except pa.ArrowException as error:
            raise InputError(f"{self.name}: {shard.items.path}: cannot be read: {one_line(error)}") from error


def to_clip(row: Mapping[str, Any], columns: Columns) -> Clip:
    """A clip from one row of the Hub's schema."""
    sound = row[columns.audio]
    path = sound.get("path") if isinstance(sound, dict) else None
    data = sound.get("bytes") if isinstance(sound, dict) else sound
    if data is None and path and Path(path).is_file():
        data = Path(path).read_bytes()
    if not isinstance(data, bytes):
        data = None
    if columns.id == ID_FROM_PATH:
        own_id = Path(path).stem if path else None
    else:
        own_id = None if columns.id == ID_FROM_CONTENT else _text(row[columns.id])
    return Clip(
        id=own_id or None,
        audio=data,
        sample_rate=None,
        text=_text(row[columns.text]) or None,
        columns={name: _text(row[name]) for name in columns.extra},
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def pieces_of(path: str, columns: Columns) -> list[Piece]:
    """A file cut into pieces of about `SHARD_ROWS` rows.

    Raises:
        InputError: it is no parquet or Arrow file, lacks a column, or has no audio in the audio column.
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
    for column in columns.wanted:
        if column not in schema.names:
            raise InputError(f"{path}: has no column {column}, got {', '.join(schema.names)}")
    kind = schema.field(columns.audio).type
    if not holds_audio(kind):
        raise InputError(f"{path}: column {columns.audio} holds {kind}, wanted encoded audio (a struct with bytes)")
    return [piece for groups, size in _runs(sizes) for piece in _cut(path, groups, size)]


def holds_audio(kind: pa.DataType) -> bool:
    """Whether a column of this type can be encoded audio: bytes, or the Hub's struct of bytes and path."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null))


def _runs(sizes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Neighbouring groups together, up to `SHARD_ROWS` rows: (groups, rows)."""
    run: list[int] = []
    rows = 0
    for group, size in enumerate(sizes):
        if run and rows + size > SHARD_ROWS:
            yield tuple(run), rows
            run, rows = [], 0
        run.append(group)
        rows += size
    if rows:
        yield tuple(run), rows


def _cut(path: str, groups: tuple[int, ...], rows: int) -> list[Piece]:
    return [Piece(path, groups, start, min(start + LARGEST_SHARD, rows)) for start in range(0, rows, LARGEST_SHARD)]


def rows_of(piece: Piece, columns: Columns) -> Iterator[dict[str, Any]]:
    """The rows of a piece as dicts, a few in memory at a time."""
    position = 0
    for batch in _batches(piece, columns.wanted):
        first, last = max(piece.start - position, 0), min(piece.stop - position, batch.num_rows)
        position += batch.num_rows
        for start in range(first, last, BATCH_ROWS):
            yield from batch.slice(start, min(BATCH_ROWS, last - start)).to_pylist()
        if position >= piece.stop:
            return


def _batches(piece: Piece, names: list[str]) -> Iterator[pa.RecordBatch]:
    if piece.path.endswith(".arrow"):
        with pa.memory_map(piece.path) as file:
            for group, batch in enumerate(pa.ipc.open_stream(file)):
                if group in piece.groups:
                    yield batch.select(names)
        return
    # a small buffer and no read-ahead keep a row group of any size out of memory
    with pq.ParquetFile(piece.path, pre_buffer=False, buffer_size=1 << 20) as file:
        yield from file.iter_batches(BATCH_ROWS, row_groups=list(piece.groups), columns=names, use_threads=False)


def _file_facts(path: str) -> list[Any]:
    found = os.stat(path)
    return [Path(path).name, found.st_size, found.st_mtime_ns]


def open_hub(
    corpus: str, config: str, *, revision: str | None, splits: Mapping[str, str | None], columns: Columns
) -> Source:
    """Find, and where need be download, one configuration of a Hub data set or local folder.

    Args:
        splits: "train", "valid", "test" -> the corpus's name for it ("train+test" joins two), None = not wanted.

    Raises:
        InputError: it cannot be had, or it has none of these splits; the token is never in the message.
    """
    local = corpus != "" and Path(corpus).exists()
    if local and revision:
        raise InputError(f"export.revision: got {revision}, but {corpus} is a local path, which has none; wanted null")
    if not local and not _HUB_NAME.fullmatch(corpus):
        raise InputError(f"export.corpus: {corpus} is no folder here and no Hub name (owner/name), wanted one of them")
    token = None if local else read_token()
    try:
        layout, found, facts = _find(corpus, config, revision, token)
    except Exception as error:  # datasets lets through what httpx, fsspec, pyarrow and the Hub raise
        raise InputError(_explain(error, corpus, config, token, local)) from None
    name = f"{corpus} ({config})"
    if layout not in LAYOUTS:
        raise InputError(f"{name}: its files are of kind {layout}, wanted {', '.join(LAYOUTS)}")
    files = choose_files(name, found, splits)
    facts = {"corpus": corpus, "config": config, **facts}
    if layout == "audiofolder":
        return open_audio_folder(files, text_column=columns.text, facts=facts)
    return HubSource(name, files, columns, facts)


def choose_files(
    name: str, found: Mapping[str, Sequence[str]], splits: Mapping[str, str | None]
) -> dict[str, tuple[str, ...]]:
    """Our split -> its files, from the corpus's split -> files; splits that have none are left out.

    Raises:
        InputError: none has any, or a name of `splits` is most likely misspelt.
    """
    wanted = {split: theirs.split("+") for split, theirs in splits.items() if theirs}
    asked = {part for parts in wanted.values() for part in parts}
    missing, unused = sorted(asked - set(found)), sorted(set(found) - asked)
    if missing and unused:  # part2 and part3 of ATC0 have no test; a misspelt name leaves another over
        raise InputError(
            f"{name}: has no split {', '.join(missing)}, and nothing asks for its {', '.join(unused)}; "
            "wanted its own names in export.train_split, valid_split and test_split, or null"
        )
    for part in missing:
        log.info("%s: has no split %s", name, part)
    files = {split: tuple(path for part in parts for path in found.get(part, ())) for split, parts in wanted.items()}
    files = {split: paths for split, paths in files.items() if paths}
    if not files:
        raise InputError(f"{name}: has splits {', '.join(found)}, wanted one of {', '.join(sorted(asked)) or 'them'}")
    return files


def _find(
    corpus: str, config: str, revision: str | None, token: str | None
) -> tuple[str, dict[str, list[str]], dict[str, Any]]:
    """The kind of files, split -> files on this machine by the corpus's own names, and the facts of the revision."""
    if Path(corpus).is_file():
        return Path(corpus).suffix.removeprefix("."), {"train": [corpus]}, {}
    import datasets  # two seconds that no other corpus has to wait for

    for client in ("httpx", "httpx2"):  # they log every address, those that are signed included
        logging.getLogger(client).setLevel(logging.WARNING)
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


def _explain(error: Exception, corpus: str, config: str, token: str | None, local: bool) -> str:
    text = f"{corpus} ({config}): cannot be loaded: {type(error).__name__}: {one_line(error, token)}"
    if not local and not token:
        text += f"; no token: a gated data set wants {' or '.join(TOKEN_VARIABLES)} in the environment or in .env"
    return text
