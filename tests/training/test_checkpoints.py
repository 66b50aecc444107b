"""Checkpoints: complete ones are loaded, incomplete and damaged ones are removed with a warning."""

import errno
import logging

import pytest
import torch
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks

from atc_asr.core.errors import InputError
from atc_asr.training import checkpoints, distributed, launcher
from atc_asr.training.checkpoints import FILES, Checkpoints, file_hash, find_corruption


@pytest.fixture
def layer():
    return torch.nn.Linear(2, 1)


@pytest.fixture
def two(layer, tmp_path):
    """Folders of two checkpoints of a layer: its weights all 1, then all 2."""
    made = Checkpoints(tmp_path, {"layer": layer})
    folders = []
    for value in (1.0, 2.0):
        torch.nn.init.constant_(layer.weight, value)
        folders.append(made.save_checkpoint(name=f"{value:g}").path)
    return folders


def recovered(layer, folder):
    Checkpoints(folder, {"layer": layer}).recover_if_possible()
    return layer.weight[0, 0].item()


def test_loads_the_newest(layer, two, tmp_path):
    torch.nn.init.zeros_(layer.weight)
    assert [find_corruption(folder) for folder in two] == [None, None]
    assert recovered(layer, tmp_path) == 2


@register_checkpoint_hooks
class TooLarge:
    """An object whose file does not fit on the disk."""

    @mark_as_saver
    def save(self, path):
        path.write_bytes(b"the first half")
        torch.save(torch.zeros(9), "/dev/full")

    @mark_as_loader
    def load(self, path, end_of_epoch):
        raise AssertionError


def test_a_full_disk_is_named_and_leaves_the_older_checkpoints(layer, two, tmp_path):
    with pytest.raises(OSError, match="No space left on device") as caught:
        Checkpoints(tmp_path, {"layer": layer, "large": TooLarge()}).save_checkpoint(name="large")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))
    assert sorted(tmp_path.glob("CKPT+*")) == sorted(two)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


DAMAGE = {
    "layer.ckpt is damaged": lambda folder: cut(folder / "layer.ckpt"),
    "layer.ckpt is missing": lambda folder: (folder / "layer.ckpt").unlink(),
    "CKPT.yaml is damaged": lambda folder: (folder / "CKPT.yaml").write_text(""),
    "was not finished": lambda folder: (folder / FILES).unlink(),
    f"{FILES} is damaged": lambda folder: cut(folder / FILES),
}


@pytest.mark.parametrize("problem", DAMAGE)
def test_loads_the_one_before_a_damaged_one_with_a_warning(layer, two, tmp_path, caplog, problem):
    DAMAGE[problem](two[1])
    with caplog.at_level(logging.WARNING):
        assert recovered(layer, tmp_path) == 1
    assert f"{two[1]}: {problem}; removed" in caplog.text
    assert not two[1].exists()


def test_an_interrupted_save_is_no_checkpoint(layer, two, tmp_path, monkeypatch):
    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "finalize", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(tmp_path, {"layer": layer}).save_checkpoint(name="3")
    assert recovered(layer, tmp_path) == 2


def test_loads_nothing_without_a_checkpoint(layer, tmp_path):
    torch.nn.init.constant_(layer.weight, 5)
    assert recovered(layer, tmp_path / "new") == 5


def test_names_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone\.wav: cannot be read: No such file"):
        file_hash(tmp_path / "gone.wav")


@pytest.mark.parametrize(
    ("number", "min_key", "names", "left"),
    [
        (1, "wer", ["3"], {"3", "now"}),  # epochs 3 and 1 have the lowest; 3 is newer
        (2, "wer", ["3", "1"], {"1", "3", "now"}),
        (2, None, ["4", "3"], {"3", "4", "now"}),
        (9, None, ["4", "3", "2", "1"], {"1", "2", "3", "4", "now"}),
    ],
)
def test_keeps_the_newest_and_the_selected_epochs(layer, tmp_path, number, min_key, names, left):
    made = Checkpoints(tmp_path, {"layer": layer})
    for name, wer in {"1": 5.0, "2": 7.0, "3": 5.0, "4": 6.0}.items():
        made.save_checkpoint({"wer": wer}, name=name)
    made.save_checkpoint(end_of_epoch=False, name="now")
    made.keep(number, min_key)
    assert [checkpoint.path.name for checkpoint in made.epochs(number, min_key)] == [f"CKPT+{name}" for name in names]
    assert {path.name for path in tmp_path.iterdir()} == {f"CKPT+{name}" for name in left}


@pytest.mark.parametrize(("min_key", "names"), [("wer", ["3", "1"]), (None, ["3", "2"])])
def test_selects_among_the_epochs_that_hold_a_condition(layer, tmp_path, min_key, names):
    made = Checkpoints(tmp_path, {"layer": layer})
    for name, wer in {"1": 5.0, "2": 7.0, "3": 5.0, "4": 6.0}.items():
        made.save_checkpoint({"wer": wer}, name=name)
    for excluded, kept in ({6.0}, names), ({5.0, 6.0, 7.0}, []):
        selection = (2, min_key, lambda meta, excluded=excluded: meta["wer"] not in excluded)
        assert [checkpoint.path.name for checkpoint in made.epochs(*selection)] == [f"CKPT+{name}" for name in kept]
        made.keep(*selection)
        assert {path.name for path in tmp_path.iterdir()} == {f"CKPT+{name}" for name in {*kept, "4"}}


def resume(folder):
    """A process with a disk of its own; returns the weights of all processes."""
    with distributed.group():
        network = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(network.weight, distributed.rank())
        checkpoints = Checkpoints(folder / f"disk{distributed.rank()}", {"model": network})
        checkpoints.recover_if_possible()
        checkpoints.save_checkpoint()
        checkpoints.save_and_keep_only()
        return distributed.gather(network.weight.tolist())


@pytest.mark.endurance
def test_processes_without_the_first_ones_disk_load_its_checkpoint(tmp_path):
    network = torch.nn.Linear(2, 2)
    Checkpoints(tmp_path / "disk0", {"model": network}).save_checkpoint()
    assert launcher.launch(resume, (tmp_path,), 2) == [network.weight.tolist()] * 2
    assert [item.name for item in tmp_path.iterdir()] == ["disk0"]
    assert len(list((tmp_path / "disk0").iterdir())) == 1


def test_a_second_process_loads_from_the_files_it_is_sent(layer, two, tmp_path, monkeypatch):
    sent = {path.name: path.read_bytes() for path in two[1].iterdir()}
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    made = Checkpoints(tmp_path / "no checkpoints", {"layer": layer})
    monkeypatch.setattr(made, "_newest_files", lambda: sent)
    torch.nn.init.zeros_(layer.weight)
    made.recover_if_possible()
    assert layer.weight[0, 0].item() == 2
    monkeypatch.setattr(made, "_newest_files", lambda: None)
    assert made.recover_if_possible() is None
