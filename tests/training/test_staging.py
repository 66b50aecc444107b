"""Staging folders: one process each, the same folder for the same training, and complete run folders at the end."""

import datetime
import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from atc_asr.core.errors import InputError
from atc_asr.model.run_folder import CARD, CHECKPOINTS, HPARAMS
from atc_asr.training import staging
from atc_asr.training.staging import (
    RUN_FILES,
    can_finish,
    check_run_dir,
    first_started,
    lock_of,
    locked_staging_dir,
    publish,
    staging_parent,
)
from tests.killed_at import killed_at

STARTED = datetime.datetime(2026, 1, 2, 3, 4, 5, 678)
LATER = datetime.datetime(2026, 1, 3)


def fill(folder, text="new"):
    """The files of a finished training, as in a run folder."""
    (folder / CHECKPOINTS / "CKPT+1").mkdir(parents=True)
    for name in (*RUN_FILES, HPARAMS, f"{CHECKPOINTS}/CKPT+1/epoch"):
        (folder / name).write_text(text)
    (folder / CARD).write_text(f'{{\n  "architecture": "{text}"')


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_same_training_gets_the_same_folder(tmp_path):
    with locked_staging_dir(tmp_path, "abc") as first:
        (first / "checkpoint").touch()
    with locked_staging_dir(tmp_path, "abc") as again:
        assert again == first
        assert (again / "checkpoint").exists()
    with locked_staging_dir(tmp_path, "other") as other:
        assert not (other / "checkpoint").exists()


def test_two_processes_at_a_time_get_different_folders_and_start_times(tmp_path):
    with locked_staging_dir(tmp_path, "abc") as first, locked_staging_dir(tmp_path, "abc") as second:
        assert first != second
        assert first_started(first, STARTED) == STARTED
        assert first_started(second, STARTED) == STARTED + datetime.timedelta(seconds=1)
        assert first_started(first, LATER) == STARTED


def hold(parent, ready):
    with locked_staging_dir(parent, "abc"):
        ready.set()
        multiprocessing.Event().wait()


def test_a_killed_process_releases_its_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with locked_staging_dir(tmp_path, "abc") as other:
        assert other.name == ".training-abc-2"
    process.kill()
    process.join()
    with locked_staging_dir(tmp_path, "abc") as after:
        assert after.name == ".training-abc"


def test_a_lock_that_was_removed_is_not_used(tmp_path, monkeypatch):
    """Another process publishes its run between the opening and the locking of the lock file."""
    with locked_staging_dir(tmp_path, "abc") as folder:
        fill(folder)
    real_open, published = os.open, []

    def open_then_publish(path, *args, **kwargs):
        descriptor = real_open(path, *args, **kwargs)
        if not published:
            published.append(True)
            publish(folder, tmp_path / "run")
        return descriptor

    monkeypatch.setattr(os, "open", open_then_publish)
    with locked_staging_dir(tmp_path, "abc") as mine:
        assert lock_of(mine).exists()
        assert not list(mine.iterdir())


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_failure_before_the_first_checkpoint_leaves_no_folder(tmp_path, checkpoint):
    with pytest.raises(ZeroDivisionError), locked_staging_dir(tmp_path, "abc") as folder:
        if checkpoint:
            (folder / CHECKPOINTS / "CKPT+1").mkdir(parents=True)
        raise ZeroDivisionError
    assert folder.exists() == lock_of(folder).exists() == checkpoint


@pytest.mark.parametrize("there", [False, True])
def test_publish_replaces_the_files_of_a_run_only(tmp_path, there):
    run_dir = tmp_path / "run"
    if there:
        fill(run_dir, "old")
        for name in (".gitignore", f"{CHECKPOINTS}/older"):
            (run_dir / name).write_text("old")
    with locked_staging_dir(tmp_path, "abc") as folder:
        fill(folder)
        wanted = contents(folder)
        publish(folder, run_dir)
    assert contents(run_dir) == wanted | ({".gitignore": "old"} if there else {})
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def test_publish_to_another_disk(tmp_path, monkeypatch):
    real_replace = os.replace

    def replace(source, target):
        if ".training" in str(source) and ".training" not in str(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for text in ("first", "second"):
        with locked_staging_dir(tmp_path, "abc") as folder:
            fill(folder, text)
            wanted = contents(folder)
            publish(folder, tmp_path / "other" / "run")
        assert contents(tmp_path / "other" / "run") == wanted
        assert [item.name for item in tmp_path.iterdir()] == ["other"]


def train_and_publish(parent, run_dir, trained):
    """A training that is already done if its staging folder has checkpoints, or if it can be finished."""
    with locked_staging_dir(parent, "abc") as folder:
        started = first_started(folder, STARTED if trained else LATER)
        if not can_finish(folder, run_dir):
            if not (folder / CHECKPOINTS).exists():
                assert trained, "trained twice"
            fill_again(folder)
        publish(folder, run_dir)
    return started


def fill_again(folder):
    """What a resumed training does: it writes everything but the checkpoints again."""
    if not (folder / CHECKPOINTS).exists():
        fill(folder)
    for name in (*RUN_FILES, HPARAMS):
        (folder / name).write_text("new")
    (folder / CARD).write_text('{\n  "architecture": "new"')


@pytest.mark.parametrize("there", [False, True])
def test_a_kill_at_any_event_of_publishing_is_continued(tmp_path, there):
    """The repeated command neither trains again nor takes another start time."""
    killed, event = True, 0
    while killed:
        folder = tmp_path / str(event)
        run_dir = folder / "run"
        if there:
            fill(run_dir, "old")
        with locked_staging_dir(folder, "abc") as trained:  # before publishing
            first_started(trained, STARTED)
            fill(trained)
        wanted = contents(trained)
        killed = killed_at(event, lambda: publish(trained, run_dir))  # noqa: B023
        if killed:
            check_run_dir(run_dir)
            assert train_and_publish(folder, run_dir, trained=False) == STARTED
        assert contents(run_dir) == wanted
        assert [item.name for item in folder.iterdir()] == ["run"]
        event += 1
    assert event > 15


def test_files_that_dvc_removed_are_not_missed_in_the_end(tmp_path, monkeypatch):
    """DVC removes the files in the run folder before it repeats a stage that was killed."""
    run_dir = tmp_path / "run"
    with locked_staging_dir(tmp_path, "abc") as folder:
        first_started(folder, STARTED)
        fill(folder)
        wanted = contents(folder)
        with monkeypatch.context() as patched:
            patched.setattr(staging, "CHECKPOINTS", "none")
            patched.setattr(staging, "HPARAMS", "none")
            patched.setattr(staging.shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            (folder / CHECKPOINTS).rename(tmp_path / "kept")
            with pytest.raises(KeyboardInterrupt):
                publish(folder, run_dir)
            (tmp_path / "kept").rename(folder / CHECKPOINTS)
        assert not can_finish(folder, tmp_path / "other")
        for name in RUN_FILES:
            (run_dir / name).unlink()
        assert not can_finish(folder, run_dir)
        fill_again(folder)
        publish(folder, run_dir)
    assert contents(run_dir) == wanted


@pytest.mark.parametrize("name", ["README.md", HPARAMS, f"{CHECKPOINTS}/notes.txt", CARD])
def test_files_that_are_not_of_a_run_are_not_replaced(tmp_path, name):
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / name).write_text("mine")
    with pytest.raises(InputError, match="run"):
        check_run_dir(tmp_path / "run")


def test_new_and_earlier_run_folders_and_folders_of_other_files_are_accepted(tmp_path):
    check_run_dir(tmp_path / "deep" / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".gitignore").write_text("mine")
    check_run_dir(tmp_path / "run")
    fill(tmp_path / "run")
    check_run_dir(tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, wanted a folder"):
        check_run_dir(tmp_path / "file")


def test_a_resumed_training_keeps_its_start_time(tmp_path):
    for moment in (STARTED, LATER):
        with locked_staging_dir(tmp_path, "abc") as folder:
            assert first_started(folder, moment) == STARTED


def test_a_queued_experiment_keeps_unfinished_trainings_in_the_project(tmp_path, monkeypatch):
    project, copy = tmp_path / "project", tmp_path / "project" / ".dvc" / "tmp" / "exps" / "x"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    parent = Path("models")
    assert staging_parent(parent, project) == project / "models"
    assert staging_parent(parent, copy) == staging_parent(parent, None) == copy / "models"
    assert staging_parent(tmp_path / "elsewhere", project) == tmp_path / "elsewhere"
