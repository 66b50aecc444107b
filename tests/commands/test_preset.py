"""Presets: comments kept, unknown keys refused, nothing half-written."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from atc_asr.commands import check_params, preset
from atc_asr.core.config import read_yaml
from atc_asr.core.errors import InputError
from atc_asr.model import network
from atc_asr.model.params import ModelParams, SpecAugmentParams

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def params_file(tmp_path):
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def write(tmp_path, text):
    path = tmp_path / "preset.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_fits_params_yaml(path, params_file):
    preset.run(path, params_file)
    content = read_yaml(params_file)
    for section, values in read_yaml(path).items():
        assert values.items() <= content[section].items()


def test_a_source_says_what_model_must_be(tmp_path, params_file):
    """From a run folder: the network's file filled in another way than params.yaml has it, and the files beside it."""
    model = ModelParams(**read_yaml(params_file)["model"] | {"front_end_channels": [8, 6, 4], "d_model": 72})
    model = replace(model, front_end_kernels=[5, 5, 1], activation="gelu", n_fft=512, win_length=32)
    text = network.fill_placeholders(
        network.HPARAMS_FILE, network.hparams_values(model, SpecAugmentParams(1, 2, 1, 2), 5)
    )
    source = tmp_path / "run"
    source.mkdir()
    (source / "hyperparams.yaml").write_text(text)
    for name in ("model.ckpt", "normalizer.ckpt"):
        (source / name).touch()
    lines = params_file.read_text(encoding="utf-8").splitlines()
    preset.main(["--from_source", str(source), "--params", str(params_file)])
    content = read_yaml(params_file)
    assert ModelParams(**content["model"]) == model
    assert content["train"]["init_from"] == str(source)
    assert len(params_file.read_text(encoding="utf-8").splitlines()) == len(lines)


def test_one_of_file_and_source(tmp_path, params_file):
    for arguments in ([], [str(tmp_path / "p.yaml"), "--from_source", "x"]):
        with pytest.raises(InputError, match="wanted a preset file or --from_source"):
            preset.main([*arguments, "--params", str(params_file)])


def test_comments_and_all_other_lines_stay(tmp_path, params_file):
    before = params_file.read_text(encoding="utf-8").splitlines()
    preset.run(write(tmp_path, "train: {epochs: 77}"), params_file)
    after = params_file.read_text(encoding="utf-8").splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 1
    old, new = changed[0]
    assert new.split() == ["epochs:", "77", *old.split()[2:]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {epoch: 1}", r"preset\.yaml: unknown key train\.epoch; did you mean epochs\?"),
        ("trian: {epochs: 1}", r"preset\.yaml: unknown section trian; did you mean train\?"),
        ("train: {epochs: many}", r"train\.epochs: got 'many', wanted int >= 1"),
        ("train: 3", "train: got 3, wanted a section with keys"),
    ],
)
def test_a_preset_that_does_not_fit_changes_nothing(tmp_path, params_file, text, message):
    before = params_file.read_bytes()
    with pytest.raises(InputError, match=message):
        preset.run(write(tmp_path, text), params_file)
    assert params_file.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["params.yaml", "preset.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  epochs:", "  epoch:", r"train\.epoch: unknown key; did you mean epochs\?"),
        ("train:  #", "trian:  #", "unknown section trian; did you mean train"),
        ("  beam_size: 1 ", "  beam_size: one ", r"beam_size: got 'one', wanted int >= 1"),
    ],
)
def test_a_damaged_params_file_is_refused(params_file, old, new, message):
    text = params_file.read_text(encoding="utf-8")
    assert old in text
    params_file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        check_params.run(params_file)


def test_ours_is_fine():
    check_params.run(ROOT / "params.yaml")
