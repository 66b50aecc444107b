"""Text and CSV files."""

import contextlib
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.core.outputs import EMPTY, new_file

MAX_TEXT = 1 << 26  # characters of a file that is read at once
MAX_LINE = 1 << 24  # characters of a line of a file that is read line by line
FORMULA = re.compile(r"'*[=+@-]")  # begins a cell that a spreadsheet computes, or such a cell of `text_cell`
NO_UTF8 = re.compile("[\ud800-\udfff]")  # stands for a byte of a file name that is not UTF-8
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, with or without a byte order mark.

    Raises:
        InputError: the file cannot be read, is not UTF-8 or has more than `MAX_TEXT` characters.
    """
    with _reading(path), open(path, encoding="utf-8-sig") as file:
        text = file.read(MAX_TEXT + 1)
    if len(text) > MAX_TEXT:
        raise InputError(f"{path}: is longer than {MAX_TEXT} characters")
    return text


def read_lines(path: Path, newline: str = "\n") -> Iterator[str]:
    """The lines of a UTF-8 file with their ends, of which `newline` has the meaning of `open`.

    Raises:
        InputError: the file cannot be read or is not UTF-8, or a line has `MAX_LINE` characters or more.
    """
    with _reading(path), open(path, encoding="utf-8-sig", newline=newline) as file:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise InputError(f"{path}:{number}: is longer than {MAX_LINE} characters")
            yield line


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error


def utf8_name(name: str) -> str:
    """The name of a file as text that UTF-8 can hold: a byte that is not UTF-8 becomes `\\xe9`."""
    return NO_UTF8.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", name)


def write_text(path: Path, text: str, like: str = EMPTY) -> None:
    """Write a UTF-8 file as an output, `like` as in `outputs.new_file`."""
    with new_file(path, like) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def text_cell(value: Any) -> Any:
    """A cell with an apostrophe before a text that a spreadsheet would compute; numbers are left as they are."""
    formula = isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value)
    return f"'{value}" if formula else value


def cell_text(cell: str) -> str:
    """The text of a cell that `text_cell` made."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def csv_like(header: Sequence[str]) -> str:
    """Pattern of the beginning of a CSV file with a header."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(text_cell, header))
    return re.escape(line.getvalue())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], like: str | None = None) -> None:
    """Write a UTF-8 CSV file as an output that replaces files with the same header, or `like` in `outputs.new_file`."""
    like = csv_like(header) if like is None else like
    with new_file(path, like) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(text_cell, header))
        writer.writerows(map(text_cell, row) for row in rows)
