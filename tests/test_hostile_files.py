"""Untrusted files are refused with one line, in bounded memory and time; good files and what is written are not."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atc_asr.core import cli, files
from atc_asr.core.errors import MAX_MESSAGE, InputError, printable
from tests import hostile_files

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    hostile_files.make_good(folder)
    return folder


@pytest.fixture(scope="module")
def cases(good):
    return hostile_files.cases(good)


def test_there_are_many_files_of_different_names(cases):
    assert len({case.id for case in cases}) == len(cases) >= 300


@pytest.mark.parametrize("reader", hostile_files.READERS)
def test_hostile_files_are_refused_with_one_line(good, cases, reader, tmp_path):
    wrong = {}
    for case in (case for case in cases if case.reader == reader):
        folder = tmp_path / "copy"
        try:
            case.read(good, folder)
            wrong[case.id] = "accepted"
        except InputError as error:
            said = printable(cli.describe_error(error))
            # The file's own content is hardly repeated.
            if not said.isprintable() or len(said) > 2 * MAX_MESSAGE or "A" * 210 in said:
                wrong[case.id] = said
        except Exception as error:
            wrong[case.id] = repr(error)
        shutil.rmtree(folder, ignore_errors=True)
    assert not wrong
    assert not Path("/tmp/executed").exists()


@pytest.mark.parametrize("reader", hostile_files.READERS)
def test_good_files_are_accepted(good, reader):
    file, read = hostile_files.READERS[reader]
    read(good / file)


@pytest.mark.endurance
def test_hostile_files_take_little_memory_and_time():
    ended = subprocess.run([sys.executable, "-m", "tests.hostile_files"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"), ("+x", "'+x"), ("-x", "'-x"), ("@x", "'@x"), ("-", "'-"), ("'=x", "''=x"),
        ("-3.5", "-3.5"), ("+1e-5", "+1e-5"), ("-inf", "-inf"), ("'x", "'x"), ("a=b", "a=b"), ("", ""), (-3.5, "-3.5"),
    ],
)  # fmt: skip
def test_a_spreadsheet_shows_cells_as_text_and_numbers_stay_numbers(tmp_path, cell, written):
    files.write_csv(tmp_path / "a.csv", ["name", "=n"], [[cell, "x"]])
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        header, row = csv.reader(file)
    assert (header, row) == (["name", "'=n"], [written, "x"])
    assert files.cell_text(row[0]) == str(cell)
