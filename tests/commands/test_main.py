"""The program atc-asr: its list of commands, its dispatch, the completion of command lines, and its package."""

import importlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import hatchling.build
import pytest

from atc_asr.commands import main
from atc_asr.core import cli
from atc_asr.core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def test_every_stage_and_command_is_listed():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in [*ROOT.glob("stages/*.py"), *ROOT.glob("atc_asr/commands/*.py")]
        if "cli.enter(main)" in path.read_text(encoding="utf-8")
    }
    assert {command.module for command in main.COMMANDS.values()} == modules - {"atc_asr.commands.main"}
    assert len(main.COMMANDS) == len(modules) - 1


def test_the_list_imports_no_command_and_fits_a_terminal():
    code = "import sys; from atc_asr.commands.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    for name, command in main.COMMANDS.items():
        assert any(line.split("  ")[1:] and line.strip().startswith(f"{name}  ") for line in lines), name
        assert command.module not in done.stderr.split()
    assert max(map(len, lines)) <= 80


def test_a_command_gets_its_arguments_and_its_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["atc-asr"])
    with pytest.raises(SystemExit):
        main.main(["check_params", "--help"])
    assert capsys.readouterr().out.startswith("usage: atc-asr check-params [-h]")
    with pytest.raises(SystemExit):
        main.main(["deploy", "sherpa", "--help"])
    assert "usage: atc-asr deploy sherpa" in capsys.readouterr().out
    with pytest.raises(InputError, match="nowhere"):
        main.main(["check-params", "--params", "nowhere"])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["trancribe"], r"^atc-asr: got 'trancribe', wanted a command; did you mean transcribe\?$"),
        (["deploy"], r"^atc-asr: got 'deploy', wanted a command; did you mean deploy (onnx|sherpa)\?$"),
        (["deploy", "shepra"], r"^atc-asr: got 'deploy shepra', wanted a command; did you mean deploy sherpa\?$"),
        (["--verbose"], r"^atc-asr: got '--verbose', wanted a command; (did you mean|atc-asr --help lists)"),
        (["--print-completion", "fish"], r"^--print-completion: got 'fish', wanted one of bash, zsh, tcsh$"),
    ],
)
def test_an_unknown_command_is_one_line(words, wanted):
    with pytest.raises(InputError, match=wanted):
        main.main(words)


def test_a_package_that_is_not_installed_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as end:
        cli.enter(lambda: importlib.import_module("torch"))
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: the package torch is not installed; in the folder of this project: pip install '.[train]'\n"
    )
    with pytest.raises(ModuleNotFoundError):  # a mistake in this project
        cli.enter(lambda: importlib.import_module("atc_asr.no_such_module"))


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script for bash."""
    path = tmp_path_factory.mktemp("completion") / "atc-asr"
    path.write_text(main.completion("bash"))
    return path


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["tra"], {"train", "transcribe"}),
        (["deploy", ""], {"onnx", "sherpa"}),
        (["transcribe", "--format", "v"], {"vtt"}),
        (["tokenizer", "--tokenizer_t"], {"--tokenizer_type"}),
        (["preset", "preset"], {"presets"}),
    ],
)
def test_bash_completes(script, words, wanted):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    code = 'source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); _shtab_atc_asr; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", code, "bash", str(script), "atc-asr", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == wanted


def test_the_package_has_every_file_and_the_versions_of_the_requirements(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / hatchling.build.build_wheel(str(tmp_path))) as wheel:
        texts = {name.rpartition("/")[2]: wheel.read(name).decode() for name in wheel.namelist() if "dist-info" in name}
        packed = {name for name in wheel.namelist() if "dist-info" not in name}
    with tarfile.open(tmp_path / hatchling.build.build_sdist(str(tmp_path))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert packed | {"requirements.txt", "hatch_build.py", "pyproject.toml"} <= names
    files = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "atc_asr", "stages"]
    listed = subprocess.run(files, capture_output=True, text=True, check=True).stdout.split()
    assert packed == {name for name in listed if Path(name).is_file()}
    assert texts["entry_points.txt"] == "[console_scripts]\natc-asr = atc_asr.commands.main:enter\n"
    metadata, requirements = (
        re.sub("[_.]", "-", text) for text in (texts["METADATA"], Path("requirements.txt").read_text())
    )
    needed = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    parts = re.split("^# (?:Training|Development)", requirements, flags=re.MULTILINE)
    plain, training, development = ([line.split()[0] for line in re.findall(r"^\w.*", part, re.M)] for part in parts)
    assert "numpy" in plain[0] and "torch" in training[0] and "pytest" in development[0]
    assert sorted(needed) == sorted([*plain, *(f"{pin}; extra == 'train'" for pin in training)])
