"""Atomic writes: an output gets its name only when it is complete."""

import contextlib
import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from atc_asr.core.errors import InputError


def partial_path(path: Path) -> Path:
    """The temporary name of an output: in the same folder, so that the rename stays on one file system."""
    return path.with_name(f".{path.name}.partial")


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to `path` at the end of the block, removed if the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty temporary folder to fill; replaces `path` at the end of the block, removed if the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    replace_folder(partial, path)


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`; an older folder at `path` is moved aside first and then removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(new, path)
    shutil.rmtree(old, ignore_errors=True)


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, with or without a byte order mark.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a UTF-8 CSV file atomically."""
    with new_file(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
