"""Work folders: one process each, the same one for the same training, and whole run folders at the end."""

import multiprocessing
import os

import pytest

from atc_asr.model.run_folder import CHECKPOINTS, HPARAMS
from atc_asr.training.staging import LOCK, locked_staging_dir, publish


def fill(folder):
    (folder / CHECKPOINTS).mkdir()
    for name in ("model.ckpt", HPARAMS, f"{CHECKPOINTS}/epoch"):
        (folder / name).write_text("new")


def test_the_same_training_gets_the_same_folder_again(tmp_path):
    with locked_staging_dir(tmp_path, "abc") as first:
        (first / "checkpoint").touch()
    with locked_staging_dir(tmp_path, "abc") as again:
        assert again == first
        assert (again / "checkpoint").exists()
    with locked_staging_dir(tmp_path, "other") as other:
        assert not (other / "checkpoint").exists()


def test_two_at_a_time_do_not_share(tmp_path):
    with locked_staging_dir(tmp_path, "abc") as first, locked_staging_dir(tmp_path, "abc") as second:
        assert first != second


def hold(parent, ready):
    with locked_staging_dir(parent, "abc"):
        ready.set()
        multiprocessing.Event().wait()


def test_a_killed_process_lets_go(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with locked_staging_dir(tmp_path, "abc") as while_it_lives:
        assert while_it_lives.name == ".training-abc-2"
    process.kill()
    process.join()
    with locked_staging_dir(tmp_path, "abc") as after:
        assert after.name == ".training-abc"


def test_a_lock_that_moved_away_with_its_folder_is_not_held(tmp_path, monkeypatch):
    """The former owner publishes between our opening of its lock file and our locking it."""
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
def test_what_fails_before_its_first_checkpoint_leaves_nothing(tmp_path, checkpoint):
    with pytest.raises(ZeroDivisionError), locked_staging_dir(tmp_path, "abc") as folder:
        if checkpoint:
            (folder / CHECKPOINTS / "CKPT+1").mkdir(parents=True)
        raise ZeroDivisionError
    assert folder.exists() == checkpoint


@pytest.mark.parametrize("there", [False, True])
def test_publish_replaces_what_is_a_runs_own(tmp_path, there):
    run_dir = tmp_path / "run"
    if there:
        (run_dir / CHECKPOINTS).mkdir(parents=True)
        for name in (".gitignore", HPARAMS, f"{CHECKPOINTS}/older"):
            (run_dir / name).write_text("old")
    with locked_staging_dir(tmp_path, "abc") as work_dir:
        fill(work_dir)
        publish(work_dir, run_dir)
    assert (run_dir / HPARAMS).read_text() == "new"
    assert [item.name for item in (run_dir / CHECKPOINTS).iterdir()] == ["epoch"]
    assert (run_dir / ".gitignore").exists() == there
    assert not work_dir.exists()
    assert not (run_dir / LOCK).exists()


def test_publish_to_another_disk(tmp_path, monkeypatch):
    real_replace = os.replace

    def replace(source, target):
        if os.path.basename(source).startswith(".training"):
            raise OSError(18, "Invalid cross-device link")
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with locked_staging_dir(tmp_path, "abc") as work_dir:
        fill(work_dir)
        publish(work_dir, tmp_path / "other" / "run")
    assert (tmp_path / "other" / "run" / CHECKPOINTS / "epoch").read_text() == "new"
    assert not work_dir.exists()
