"""Outputs: complete or not at all, and only in place of what this program wrote."""

import errno
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from atc_asr.core import files, outputs
from atc_asr.core.errors import InputError
from tests.killed_at import killed_at

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("tokens.txt", "spm.model")
CACHED = "cache/files/md5/ab/0123456789abcdef0123456789abcd"


def write(path, text="new", like=outputs.EMPTY):
    with outputs.new_file(path, like) as partial:
        partial.write_text(text)


def fill(path, text="new"):
    with outputs.new_folder(path, NAMES) as folder:
        files.write_text(folder / "tokens.txt", text)


def tree(folder):
    """Path -> content of everything in a folder."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else "folder" for path in folder.rglob("*")
    }


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with outputs.new_file(path) as partial:
        partial.write_text("x")
        assert not path.exists()
    assert tree(path.parent) == {"a.txt": "x"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), outputs.new_file(path, "old") as partial:
        partial.write_text("half")
        raise error
    assert tree(tmp_path) == {"a.txt": "old"}


def test_a_new_folder_replaces_the_old_one(tmp_path):
    for text in ("first", "second"):
        fill(tmp_path / "out", text)
    assert tree(tmp_path) == {"out": "folder", "out/tokens.txt": "second"}


def test_a_failed_write_keeps_the_old_folder(tmp_path):
    fill(tmp_path / "out", "old")
    before = tree(tmp_path)
    with pytest.raises(KeyboardInterrupt), outputs.new_folder(tmp_path / "out", NAMES) as folder:
        (folder / "tokens.txt").touch()
        raise KeyboardInterrupt
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "names", [["notes.txt"], ["tokens.txt", "notes.txt"], ["spm.model"], ["tokens.txt/x", "sub/y"]]
)
def test_a_folder_with_other_content_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match="out: holds"):
        fill(tmp_path / "out")
    assert tree(tmp_path) == before


def test_a_file_that_appears_while_the_output_is_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="a: holds something else"), outputs.new_file(tmp_path / "a") as partial:
        partial.write_text("new")
        (tmp_path / "a").write_text("mine")
    assert tree(tmp_path) == {"a": "mine"}


@pytest.mark.parametrize(("content", "like"), [("mine", outputs.EMPTY), ("mine", "id: "), ("xid: ", "id: ")])
def test_a_file_with_other_content_is_refused(tmp_path, content, like):
    (tmp_path / "a").write_text(content)
    with pytest.raises(InputError, match="a: holds something else"):
        write(tmp_path / "a", like=like)
    assert tree(tmp_path) == {"a": content}


@pytest.mark.parametrize("content", ["", "id: old", "\ufeffid: old"])
def test_an_earlier_or_empty_file_is_replaced(tmp_path, content):
    (tmp_path / "a").write_text(content, encoding="utf-8")
    write(tmp_path / "a", like="id: ")
    assert tree(tmp_path) == {"a": "new"}


def test_a_folder_in_place_of_a_file_and_the_reverse(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for call, message in (
        (lambda: write(tmp_path / "folder"), "folder: is a folder"),
        (lambda: fill(tmp_path / "file"), "file: is a file"),
        (lambda: write(tmp_path / "file" / "a"), "file is a file, wanted a folder"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert tree(tmp_path) == {"file": "", "folder": "folder"}


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "out" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(InputError, match="current folder"):
        outputs.check_folder(Path("."), ["deep"])


def test_links_stay_and_their_targets_are_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    for name in ("file", "folder"):
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
    for text in ("first", "second"):
        write(tmp_path / "file", text, "first")
        fill(tmp_path / "folder", text)
    assert (tmp_path / "file").is_symlink() and (tmp_path / "folder").is_symlink()
    assert tree(tmp_path / "disk") == {"file": "second", "folder": "folder", "folder/tokens.txt": "second"}


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_dvcs_cache_never_changes(tmp_path, link):
    cached = tmp_path / CACHED
    cached.parent.mkdir(parents=True)
    cached.write_text("old")
    cached.chmod(0o444)
    (tmp_path / "out").mkdir()
    for path in (tmp_path / "a", tmp_path / "out" / "tokens.txt"):
        link(cached, path)
    write(tmp_path / "a", like="old")
    fill(tmp_path / "out")
    assert cached.read_text() == "old"
    assert stat.S_IMODE(cached.stat().st_mode) == 0o444
    assert sorted(tree(cached.parent)) == [cached.name]
    for path in (tmp_path / "a", tmp_path / "out" / "tokens.txt"):
        assert path.read_text() == "new" and not path.is_symlink()
        assert path.stat().st_mode & stat.S_IWUSR
    write(tmp_path / "a", like="new")


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_file_keeps_its_mode(tmp_path, mode):
    write(tmp_path / "a")
    (tmp_path / "a").chmod(mode)
    write(tmp_path / "a", like="new")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_read_only_file_is_refused(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(InputError, match="a: is read-only"):
        write(tmp_path / "a", like="new")


def test_devices_and_pipes_are_written_in_place(tmp_path):
    write(Path(os.devnull))
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe, "x" * 100_000)
    reader.join()
    assert read == ["x" * 100_000] and pipe.is_fifo()
    assert [item.name for item in tmp_path.iterdir()] == ["pipe"]


def test_standard_output_is_written_in_place(tmp_path):
    code = "from pathlib import Path\nfrom atc_asr.core import files\nfiles.write_text(Path('/dev/stdout'), 'text')"
    for stdout in (subprocess.PIPE, open(tmp_path / "redirected", "w")):  # noqa: SIM115
        result = subprocess.run([sys.executable, "-c", code], stdout=stdout, cwd=ROOT, check=True)
        assert result.stdout in (b"text", None)
    assert tree(tmp_path) == {"redirected": "text"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device_is_named():
    with pytest.raises(OSError, match="No space left") as caught:
        write(Path("/dev/full"))
    assert caught.value.filename == "/dev/full"


@pytest.mark.parametrize("name", [None, "a", "tokens.txt"])
def test_a_full_disk_names_the_output(tmp_path, name):
    def fails(partial):
        path = partial / name if name == "tokens.txt" else partial
        raise OSError(errno.ENOSPC, "No space left on device", None if name is None else str(path))

    make = outputs.new_folder(tmp_path / "a", NAMES) if name == "tokens.txt" else outputs.new_file(tmp_path / "a")
    with pytest.raises(OSError, match="No space left") as caught, make as partial:
        fails(partial)
    assert caught.value.filename == str(tmp_path / ("a/tokens.txt" if name == "tokens.txt" else "a"))
    assert not tree(tmp_path)


def test_a_long_name_is_written_and_a_longer_one_is_named(tmp_path):
    write(tmp_path / ("ä" * 127))
    with pytest.raises(OSError, match="too long") as caught:
        write(tmp_path / ("ä" * 128))
    assert caught.value.filename.endswith("ä" * 128)


def write_group(folder, text):
    with outputs.together():
        fill(folder / "b", text)
        write(folder / "a", text, outputs.ANY)


def test_outputs_that_belong_together_appear_together(tmp_path):
    with outputs.together():
        write(tmp_path / "a")
        fill(tmp_path / "b")
        assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    assert tree(tmp_path) == {"a": "new", "b": "folder", "b/tokens.txt": "new"}


def test_a_failure_of_one_output_keeps_all_old_ones(tmp_path):
    write_group(tmp_path, "old")
    before = tree(tmp_path)
    (tmp_path / "c").write_text("mine")
    with pytest.raises(InputError, match="c: holds"), outputs.together():
        write(tmp_path / "a", "new", outputs.ANY)
        fill(tmp_path / "b", "new")
        write(tmp_path / "c")
    with pytest.raises(ZeroDivisionError), outputs.together():
        fill(tmp_path / "b", "new")
        write(tmp_path / "a", "new", outputs.ANY)
        raise ZeroDivisionError
    assert tree(tmp_path) == before | {"c": "mine"}


def test_a_kill_at_any_event_leaves_outputs_of_one_age(tmp_path):
    event = 0
    while True:
        folder = tmp_path / str(event)
        write_group(folder, "old")
        killed = killed_at(event, lambda: write_group(folder, "new"))  # noqa: B023
        found = {name: text for name, text in tree(folder).items() if not name.startswith(".") and text != "folder"}
        assert len(set(found.values())) <= 1, found
        assert killed or set(found.values()) == {"new"}
        outputs.remove_stale.cache_clear()
        write_group(folder, "new")
        assert tree(folder) == {"a": "new", "b": "folder", "b/tokens.txt": "new"}
        if not killed:
            break
        event += 1
    assert event > 10


def test_a_kill_at_any_event_leaves_a_single_output_whole(tmp_path):
    seen, killed = [], True
    while killed:
        write(tmp_path / "a", "old", outputs.ANY)
        killed = killed_at(len(seen), lambda: write(tmp_path / "a", "new", outputs.ANY))
        seen.append((tmp_path / "a").read_text())
    assert sorted(seen, reverse=True) == seen and set(seen) == {"old", "new"}


def hold(path, ready):
    with outputs.new_file(path) as partial:
        partial.write_text("held")
        ready.set()
        threading.Event().wait()


def test_only_a_killed_writers_file_is_removed(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "held", ready))
    process.start()
    assert ready.wait(60)
    outputs.remove_stale(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    process.kill()
    process.join()
    (tmp_path / ".mine.partial").touch()
    outputs.remove_stale.cache_clear()
    write(tmp_path / "a")
    assert tree(tmp_path) == {".mine.partial": "", "a": "new"}


def write_many(folder, text, rounds):
    for _ in range(rounds):
        outputs.remove_stale.cache_clear()  # as a new process
        write_group(folder, text)


@pytest.mark.parametrize(("writers", "rounds"), [(3, 10), pytest.param(12, 40, marks=pytest.mark.endurance)])
@pytest.mark.parametrize("same", [False, True])
def test_writers_of_one_path_do_not_disturb_each_other(tmp_path, writers, rounds, same):
    context = multiprocessing.get_context("fork")
    texts = ["x" * 100_000 if same else str(number) * 100_000 for number in range(writers)]
    processes = [context.Process(target=write_many, args=(tmp_path, text, rounds)) for text in texts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * writers
    found = tree(tmp_path)
    assert found["a"] == found["b/tokens.txt"] and found["a"] in texts
    assert sorted(found) == ["a", "b", "b/tokens.txt"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(outputs.fcntl, "flock", flock)
    write_group(tmp_path, "new")
    stale = tmp_path / ".a.atc-01234567.partial"
    stale.touch()
    outputs.remove_stale.cache_clear()
    write_group(tmp_path, "newer")
    assert tree(tmp_path) == {"a": "newer", "b": "folder", "b/tokens.txt": "newer", stale.name: ""}
