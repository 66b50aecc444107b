"""Staging folders: one process each, the same folder for the same training, and complete run folders at the end."""

import datetime
import multiprocessing
import os
from pathlib import Path

import pytest

from atc_asr.model.run_folder import CHECKPOINTS, HPARAMS
from atc_asr.training.staging import LOCK, first_started, locked_staging_dir, publish, staging_parent


def fill(folder):
    (folder / CHECKPOINTS).mkdir()
    for name in ("model.ckpt", HPARAMS, f"{CHECKPOINTS}/epoch"):
        (folder / name).write_text("new")


def test_the_same_training_gets_the_same_folder(tmp_path):
    with locked_staging_dir(tmp_path, "abc") as first:
        (first / "checkpoint").touch()
    with locked_staging_dir(tmp_path, "abc") as again:
        assert again == first
        assert (again / "checkpoint").exists()
    with locked_staging_dir(tmp_path, "other") as other:
        assert not (other / "checkpoint").exists()


def test_two_processes_at_a_time_get_different_folders(tmp_path):
    with locked_staging_dir(tmp_path, "abc") as first, locked_staging_dir(tmp_path, "abc") as second:
        assert first != second


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


def test_the_lock_of_a_folder_that_was_moved_is_not_used(tmp_path, monkeypatch):
    """Another process publishes the folder between the opening and the locking of its lock file."""
    with locked_staging_dir(tmp_path, "abc") as folder:
        fill(folder)
    real_open, moved = os.open, []

    def open_then_publish(path, flags):
        lock = real_open(path, flags)
        if not moved:
            moved.append(True)
            publish(folder, tmp_path / "run")
        return lock

    monkeypatch.setattr(os, "open", open_then_publish)
    with locked_staging_dir(tmp_path, "abc") as mine:
        assert (mine / LOCK).exists()


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_failure_before_the_first_checkpoint_leaves_no_folder(tmp_path, checkpoint):
    with pytest.raises(ZeroDivisionError), locked_staging_dir(tmp_path, "abc") as folder:
        if checkpoint:
            (folder / CHECKPOINTS / "CKPT+1").mkdir(parents=True)
        raise ZeroDivisionError
    assert folder.exists() == checkpoint


@pytest.mark.parametrize("there", [False, True])
def test_publish_replaces_the_files_of_a_run_only(tmp_path, there):
    run_dir = tmp_path / "run"
    if there:
        (run_dir / CHECKPOINTS).mkdir(parents=True)
        for name in (".gitignore", HPARAMS, f"{CHECKPOINTS}/older"):
            (run_dir / name).write_text("old")
    with locked_staging_dir(tmp_path, "abc") as staging_dir:
        fill(staging_dir)
        publish(staging_dir, run_dir)
    assert (run_dir / HPARAMS).read_text() == "new"
    assert [item.name for item in (run_dir / CHECKPOINTS).iterdir()] == ["epoch"]
    assert (run_dir / ".gitignore").exists() == there
    assert not staging_dir.exists()
    assert not (run_dir / LOCK).exists()


def test_publish_to_another_disk(tmp_path, monkeypatch):
    real_replace = os.replace

    def replace(source, target):
        if os.path.basename(source).startswith(".training"):
            raise OSError(18, "Invalid cross-device link")
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with locked_staging_dir(tmp_path, "abc") as staging_dir:
        fill(staging_dir)
        publish(staging_dir, tmp_path / "other" / "run")
    assert (tmp_path / "other" / "run" / CHECKPOINTS / "epoch").read_text() == "new"
    assert not staging_dir.exists()


def test_a_resumed_training_keeps_its_start_time(tmp_path):
    first, later = datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.datetime(2026, 1, 3)
    for moment in (first, later):
        with locked_staging_dir(tmp_path, "abc") as folder:
            assert first_started(folder, moment) == first


def test_a_queued_experiment_keeps_unfinished_trainings_in_the_project(tmp_path, monkeypatch):
    project, copy = tmp_path / "project", tmp_path / "project" / ".dvc" / "tmp" / "exps" / "x"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    parent = Path("models")
    assert staging_parent(parent, project) == project / "models"
    assert staging_parent(parent, copy) == staging_parent(parent, None) == copy / "models"
    assert staging_parent(tmp_path / "elsewhere", project) == tmp_path / "elsewhere"
