"""Manifests: one line per utterance, CSV or JSONL, `id,wav,duration,transcript` first.

`wav` is relative to the manifest, so that a folder can move.
"""

import csv
import glob
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atc_asr.core import files, text
from atc_asr.core.errors import InputError

COLUMNS = ("id", "wav", "duration", "transcript")
STATS_FILE = "stats.json"


@dataclass(frozen=True)
class Utterance:
    """One row of a manifest.

    Attributes:
        id: unique in the manifest.
        wav: the audio file, ready to open.
        duration: seconds.
        transcript: normalised text.
        columns: further columns (speaker, tape, callsign, role …).
    """

    id: str
    wav: Path
    duration: float
    transcript: str
    columns: Mapping[str, str] = field(default_factory=dict)


def read_manifest(path: Path) -> list[Utterance]:
    """All rows of a CSV or JSONL manifest, checked, in its order.

    Raises:
        InputError: a row cannot be used; the message says file, line and id.
    """
    path = Path(path)
    utterances: dict[str, Utterance] = {}
    for line, row in read_rows(path, COLUMNS):
        where = f"{path}:{line} (id {row['id']})"
        utterance = _utterance(path.parent, row, where)
        if utterance.id in utterances:
            raise InputError(f"{where}: this id was there before, wanted unique ids")
        utterances[utterance.id] = utterance
    if not utterances:
        raise InputError(f"{path}: no rows, wanted at least one utterance")
    return list(utterances.values())


def read_manifests(paths: Iterable[Path]) -> list[Utterance]:
    """The rows of several manifests one after the other; ids are unique over all of them.

    Raises:
        InputError: a row cannot be used, a file is missing, or a pattern (`data/*/train.csv`) matches nothing.
    """
    homes: dict[str, Path] = {}
    utterances = []
    for path in expand(paths):
        for utterance in read_manifest(path):
            home = homes.setdefault(utterance.id, path)
            if home is not path:
                raise InputError(f"{path} (id {utterance.id}): the same id is in {home}, wanted unique ids")
            utterances.append(utterance)
    return utterances


def expand(paths: Iterable[Path]) -> list[Path]:
    """Files as given, and what patterns match, sorted.

    Raises:
        InputError: nothing was given, or nothing matches.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.exists():
            found.append(path)
            continue
        matches = [Path(match) for match in sorted(glob.glob(str(path)))]
        if not matches:
            raise InputError(f"{path}: no such manifest")
        found += matches
    if not found:
        raise InputError("manifests: none given, wanted at least one")
    return found


def read_rows(path: Path, wanted: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV or JSONL file, nothing but the wanted columns' presence checked.

    Raises:
        InputError: the file is missing or not of its kind, or a line lacks a column.
    """
    rows = _json_rows(path) if Path(path).suffix in (".jsonl", ".json") else _csv_rows(path)
    for line, row in rows:
        for column in wanted:
            if row.get(column) is None:
                raise InputError(f"{path}:{line} (id {row.get('id')}): column {column} is missing, got {_names(row)}")
        yield line, row


def _names(row: Mapping[str, str]) -> str:
    return ",".join(name for name, value in row.items() if value is not None) or "nothing"


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            for row in reader:
                if "" in row:
                    raise InputError(f"{path}:{reader.line_num} (id {row.get('id')}): more cells than columns")
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: is not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line, content in enumerate(file, start=1):
                if content.strip():
                    yield line, _json_row(content, f"{path}:{line}")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _json_row(content: str, where: str) -> dict[str, str]:
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: is not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: got {type(row).__name__}, wanted an object with {', '.join(COLUMNS)}")
    return {key: value if isinstance(value, str) else str(value) for key, value in row.items() if value is not None}


def _utterance(folder: Path, row: Mapping[str, str], where: str) -> Utterance:
    wav = folder / row["wav"]
    if not row["id"]:
        raise InputError(f"{where}: the id is empty")
    if not row["wav"] or not wav.is_file():
        raise InputError(f"{where}: {wav} is not there, wanted an audio file")
    duration = _seconds(row["duration"], where)
    transcript = text.normalize(row["transcript"])
    if not transcript:
        raise InputError(f"{where}: transcript {row['transcript']!r} is empty after normalisation")
    columns = {key: value for key, value in row.items() if key not in COLUMNS and value is not None}
    return Utterance(row["id"], wav, duration, transcript, columns)


def _seconds(value: str, where: str) -> float:
    try:
        duration = float(value)
    except ValueError:
        raise InputError(f"{where}: duration is {value!r}, expected seconds") from None
    if not (duration > 0 and math.isfinite(duration)):
        raise InputError(f"{where}: duration is {duration} s, expected > 0")
    return duration


def write_manifest(path: Path, rows: Iterable[Utterance]) -> None:
    """Write a CSV manifest, sorted by id, `wav` relative to it; whole or not at all."""
    path = Path(path)
    rows = sorted(rows, key=lambda row: row.id)
    extra = sorted({name for row in rows for name in row.columns})
    with files.new_file(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *extra])
        for row in rows:
            cells = [row.id, _relative(row.wav, path.parent), f"{row.duration:.4f}", row.transcript]
            writer.writerow(cells + [row.columns.get(name, "") for name in extra])


def _relative(wav: Path, folder: Path) -> str:
    return Path(os.path.relpath(wav, folder)).as_posix()


def text_version(path: Path) -> str | None:
    """The normalisation (`atc_asr.core.text.VERSION`) that made a manifest, from the stats.json beside it.

    Returns:
        None when there is no stats.json: a manifest from elsewhere.

    Raises:
        InputError: stats.json is there and does not say.
    """
    stats = Path(path).parent / STATS_FILE
    try:
        return str(json.loads(stats.read_text(encoding="utf-8"))["text_version"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{stats}: text_version cannot be read ({type(error).__name__})") from error
