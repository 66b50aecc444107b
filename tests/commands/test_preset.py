"""Presets and the check of params.yaml: comments kept, unknown keys refused, nothing half-written."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atc_asr.commands import check_params, preset
from atc_asr.core.config import load_section, read_yaml
from atc_asr.core.errors import InputError
from atc_asr.model.params import ModelParams
from tests import tiny_network

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


def test_the_architecture_of_a_run_folder_is_written(tmp_path, params_file):
    model = load_section(ModelParams, params_file).model_copy(
        update={
            "front_end_channels": [8, 6, 4], "front_end_kernels": [5, 5, 1], "d_model": 72, "activation": "gelu",
            "n_fft": 512, "win_length": 32,
        }
    )  # fmt: skip
    source = tmp_path / "run"
    source.mkdir()
    (source / "hyperparams.yaml").write_text(tiny_network.hparams_text(**model.model_dump()))
    for name in ("model.ckpt", "normalizer.ckpt"):
        (source / name).touch()
    lines = params_file.read_text(encoding="utf-8").splitlines()
    preset.main(["--from_source", str(source), "--params", str(params_file)])
    assert load_section(ModelParams, params_file) == model
    assert read_yaml(params_file)["train"]["init_from"] == str(source)
    assert len(params_file.read_text(encoding="utf-8").splitlines()) == len(lines)


def test_either_a_file_or_a_source_is_needed(tmp_path, params_file):
    for arguments in ([], [str(tmp_path / "p.yaml"), "--from_source", "x"]):
        with pytest.raises(InputError, match="wanted either a preset file or --from_source"):
            preset.main([*arguments, "--params", str(params_file)])


def test_comments_and_other_lines_stay(tmp_path, params_file):
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
        ("train: {epoch: 1}", r"preset\.yaml: train\.epoch: unknown key; did you mean epochs\?"),
        ("trian: {epochs: 1}", r"preset\.yaml: unknown section trian; did you mean train\?"),
        ("train: {epochs: many}", r"train\.epochs: got 'many', wanted int >= 1"),
        ("train: 3", "train: got 3, wanted a section with keys"),
    ],
)
def test_an_invalid_preset_changes_nothing(tmp_path, params_file, text, message):
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
        ("  beam_size: 100 ", "  beam_size: one ", r"beam_size: got 'one', wanted int >= 1"),
    ],
)
def test_an_invalid_params_file_is_refused(params_file, old, new, message):
    text = params_file.read_text(encoding="utf-8")
    assert old in text
    params_file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        check_params.main(["--params", str(params_file)])


def test_params_yaml_is_valid():
    check_params.main(["--params", str(ROOT / "params.yaml")])


def test_the_check_does_not_import_torch():
    code = "import sys; from atc_asr.commands import check_params; check_params.main(['--params', 'params.yaml'])"
    command = [sys.executable, "-c", f"{code}; assert not {{'torch', 'speechbrain', 'stages'}} & set(sys.modules)"]
    subprocess.run(command, cwd=ROOT, check=True)


def test_a_search_without_its_beam_is_refused(tmp_path, params_file):
    with pytest.raises(InputError, match=r"decode\.beam_size: got 1 with decode\.search lexicon, wanted 2 or more"):
        preset.run(write(tmp_path, "decode: {search: lexicon, beam_size: 1}"), params_file)
