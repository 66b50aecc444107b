"""Manifests: CSV or JSONL files with one row per utterance and the columns `id`, `wav`, `duration`, `transcript`.

`wav` is relative to the manifest's folder, so that the folder can be moved. Further columns are kept.
"""

import csv
import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atc_asr.core import documents, files, text
from atc_asr.core.errors import InputError

COLUMNS = ("id", "wav", "duration", "transcript")
STATS_FILE = "stats.json"
MAX_DURATION = 86_400  # seconds of an utterance
DELIMITERS = ",;\t"  # of CSV files; Excel writes semicolons where the decimal point is a comma


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest."""

    id: str  # unique in the manifest
    wav: Path  # path of the audio file, which exists
    duration: float  # seconds
    transcript: str  # normalised text
    columns: Mapping[str, str] = field(default_factory=dict)  # further columns (speaker, tape, callsign, role, ...)


def read_manifest(path: Path) -> list[Utterance]:
    """The rows of one manifest, see `each_utterance`."""
    return list(_each_row(path, {}))


def read_manifests(paths: Iterable[Path]) -> list[Utterance]:
    """The rows of several manifests, see `each_utterance`."""
    return list(each_utterance(paths))


def each_utterance(paths: Iterable[Path]) -> Iterator[Utterance]:
    """Read the rows of manifests one by one, validated, in order; ids are unique over all manifests.

    Raises:
        InputError: a row is invalid, a file is missing, or a pattern (`data/*/train.csv`) matches nothing.
    """
    origins: dict[str, Path] = {}
    for path in expand(paths):
        yield from _each_row(path, origins)


def _each_row(path: Path, origins: dict[str, Path]) -> Iterator[Utterance]:
    """The rows of one manifest; `origins` has the manifest of every id read before, and gets those of this one."""
    num_before = len(origins)
    for line, row in read_rows(path, COLUMNS):
        where = f"{path}:{line} (id {row['id']})"
        utterance = _utterance(path.parent, row, where)
        origin = origins.get(utterance.id)
        if origin is not None:
            place = "" if origin is path else f" of {origin}"
            raise InputError(f"{where}: duplicate id{place}, wanted unique ids")
        origins[utterance.id] = path
        yield utterance
    if len(origins) == num_before:
        raise InputError(f"{path}: no rows, wanted at least one utterance")


def expand(paths: Iterable[Path]) -> list[Path]:
    """Existing files as given; patterns replaced by their matches, sorted.

    Raises:
        InputError: no path is given, or a path does not exist and matches nothing.
    """
    expanded: list[Path] = []
    for path in map(Path, paths):
        matches = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(str(path)))]
        if not matches:
            raise InputError(f"{path}: no such manifest")
        expanded += matches
    if not expanded:
        raise InputError("manifests: none given, wanted at least one")
    return expanded


def read_rows(path: Path, required: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV or JSONL file; only the presence of the required columns is checked.

    Raises:
        InputError: the file is missing or malformed, or a row lacks a required column.
    """
    rows = _json_rows if Path(path).suffix in (".jsonl", ".json") else _csv_rows
    required = list(required)
    for line, row in rows(path):
        for column in required:
            if row.get(column) is None:
                present = ",".join(name for name, value in row.items() if value is not None) or "nothing"
                raise InputError(f"{path}:{line} (id {row.get('id')}): column {column} is missing, got {present}")
        yield line, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    lines = files.read_lines(path, newline="")
    first = next(lines, "")
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    try:
        names = [files.cell_text(name).strip() for name in next(reader, [])]
        for cells in reader:
            row = {name: files.cell_text(cell) for name, cell in zip(names, cells, strict=False) if name}
            if any(cell.strip() for cell in cells[len(names) :]):
                where = f"{path}:{reader.line_num} (id {row.get('id')})"
                raise InputError(f"{where}: more cells than columns: got {len(cells)}, wanted {len(names)}")
            if any(cell.strip() for cell in cells):  # Excel writes rows of blank cells
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: is not CSV: {error}") from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for line, content in enumerate(files.read_lines(path), start=1):
        if not content.strip():
            continue
        row = documents.parse_json(content, f"{path}:{line}")
        if not isinstance(row, dict):
            raise InputError(f"{path}:{line}: got {type(row).__name__}, wanted an object with {', '.join(COLUMNS)}")
        yield line, {name: str(value) for name, value in row.items() if value is not None}


def audio_path(folder: Path, name: str) -> Path:
    """The path of a file that a list in `folder` names; Windows separates folders by back slashes."""
    path = folder / name
    return folder / name.replace("\\", "/") if "\\" in name and not os.path.exists(path) else path


def _utterance(folder: Path, row: Mapping[str, str], where: str) -> Utterance:
    wav = audio_path(folder, row["wav"])
    if not row["id"]:
        raise InputError(f"{where}: the id is empty")
    if not row["wav"] or not os.path.isfile(wav):  # Path.is_file raises an error for a name that is too long
        raise InputError(f"{where}: {wav} does not exist, wanted an audio file")
    try:
        duration = float(row["duration"].replace(",", "."))
    except ValueError:
        raise InputError(f"{where}: duration is {row['duration']!r}, wanted seconds") from None
    if not 0 < duration <= MAX_DURATION:
        raise InputError(f"{where}: duration is {duration} s, wanted > 0 and at most {MAX_DURATION}")
    transcript = text.normalize(row["transcript"])
    if not transcript:
        raise InputError(f"{where}: transcript is empty after normalisation: got {row['transcript']!r}")
    columns = {name: value for name, value in row.items() if name not in COLUMNS and value is not None}
    return Utterance(row["id"], wav, duration, transcript, columns)


def write_manifest(path: Path, rows: Iterable[Utterance]) -> None:
    """Write a CSV manifest atomically, sorted by id, with `wav` relative to its folder."""
    rows = sorted(rows, key=lambda row: row.id)
    extra = sorted({name for row in rows for name in row.columns})
    lines = []
    for row in rows:
        wav = Path(os.path.relpath(row.wav, path.parent)).as_posix()
        further = [row.columns.get(name, "") for name in extra]
        lines.append([row.id, wav, f"{row.duration:.4f}", row.transcript, *further])
    files.write_csv(path, [*COLUMNS, *extra], lines)


def text_version(path: Path) -> str | None:
    """Version of the text normalisation (`atc_asr.core.text.VERSION`) behind a manifest, from stats.json beside it.

    Returns:
        None when there is no stats.json: the manifest was not written by the export stage.

    Raises:
        InputError: stats.json has no readable version.
    """
    stats = Path(path).parent / STATS_FILE
    if not stats.exists():
        return None
    version = documents.read_json(stats).get("text_version")
    if not isinstance(version, str):
        raise InputError(f"{stats}: text_version: got {version!r}, wanted a text")
    return version
