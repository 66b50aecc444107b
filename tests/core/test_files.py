"""Outputs: whole under their name, or not there."""

import subprocess
import sys

import pytest

from atc_asr.core import files


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with files.new_file(path) as partial:
        partial.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), files.new_file(path) as partial:
        partial.write_text("half")
        raise error
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    folder = tmp_path / "out"
    for name in ("first", "second"):
        with files.new_folder(folder) as partial:
            (partial / name).write_text(name)
    assert [item.name for item in folder.iterdir()] == ["second"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_failure_keeps_the_old_folder(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt), files.new_folder(folder) as partial:
        (partial / "new").touch()
        raise KeyboardInterrupt
    assert [item.name for item in folder.iterdir()] == ["old"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path):
    path = tmp_path / "a.txt"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom asr import atomic\n"
        "with files.new_file(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half')\n    print('written', flush=True)\n    time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"written\n"
    writer.kill()
    writer.wait()
    assert not path.exists()
    files.write_text(path, "whole")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("a.txt", "whole")]
