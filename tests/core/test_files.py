"""Atomic writes: an output exists completely or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from atc_asr.core import files

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with files.new_file(path) as partial:
        partial.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), files.new_file(path) as partial:
        partial.write_text("half")
        raise error
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_new_folder_replaces_the_old_one(tmp_path):
    folder = tmp_path / "out"
    for name in ("first", "second"):
        with files.new_folder(folder) as partial:
            (partial / name).write_text(name)
    assert [item.name for item in folder.iterdir()] == ["second"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_failed_write_keeps_the_old_folder(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt), files.new_folder(folder) as partial:
        (partial / "new").touch()
        raise KeyboardInterrupt
    assert [item.name for item in folder.iterdir()] == ["old"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_write_csv_quotes_cells(tmp_path):
    files.write_csv(tmp_path / "a.csv", ["id", "text"], [[1, "a,b"], (2, 'say "x"')])
    assert (tmp_path / "a.csv").read_bytes() == b'id,text\n1,"a,b"\n2,"say ""x"""\n'


def test_a_killed_writer_leaves_no_file(tmp_path):
    path = tmp_path / "a.txt"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom atc_asr.core import files\n"
        "with files.new_file(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half')\n    print('written', flush=True)\n    time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert writer.stdout.readline() == b"written\n"
    writer.kill()
    writer.wait()
    assert not path.exists()
    files.write_text(path, "whole")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("a.txt", "whole")]
