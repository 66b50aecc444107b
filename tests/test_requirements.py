"""The pins on every supported Python, and the set-up in the Makefile."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
# Builds an empty package, with nothing installed.
BACKEND = """
import zipfile

def build_editable(folder, *_):
    with zipfile.ZipFile(f"{folder}/nothing-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("nothing-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: nothing\\nVersion: 1\\n")
        wheel.writestr("nothing-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("nothing-1.dist-info/RECORD", "")
    return "nothing-1-py3-none-any.whl"
"""
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def normalized(pin: str) -> str:
    """`ruamel.yaml==0.18` as `ruamel-yaml==0-18`: names are equal up to case, dots, dashes and underscores."""
    return re.sub("[-_.]+", "-", pin).lower()


def resolve(requirements: str, python: str) -> subprocess.CompletedProcess[str]:
    """Let uv find wheels for a Python; it evaluates the markers for that Python, pip for the running one."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--python-version", python, "--only-binary", ":all:"]
    return subprocess.run(command, input=requirements, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def index() -> None:
    """The package index."""
    pytest.importorskip("uv", reason="uv is not installed")
    probe = resolve("six", PYTHONS[0])
    if probe.returncode:
        pytest.skip(f"the package index cannot be reached: {probe.stderr.strip()[-200:]}")


@pytest.mark.parametrize("python", PYTHONS)
def test_every_line_has_a_wheel(index: None, python: str) -> None:
    found = resolve(REQUIREMENTS, python)
    assert found.returncode == 0, found.stderr
    pins = [line.split("#")[0].strip() for line in REQUIREMENTS.splitlines()]
    assert {normalized(pin) for pin in pins if pin} <= set(map(normalized, found.stdout.splitlines()))


@pytest.mark.parametrize("python", PYTHONS)
def test_the_plain_installation_is_small(index: None, python: str) -> None:
    """Without torch and scipy, which take 2 GB and 140 MB."""
    found = resolve(REQUIREMENTS.partition("# Training")[0], python)
    assert found.returncode == 0, found.stderr
    packages = {line.partition("==")[0] for line in found.stdout.splitlines() if "==" in line}
    assert {"numpy", "onnxruntime"} <= packages and not packages & {"torch", "scipy", "onnx", "silero-vad"}


def test_a_line_without_a_wheel_is_noticed(index: None) -> None:
    """flashlight-text has none from Python 3.13 on."""
    assert resolve("flashlight-text==0.0.7", "3.12").returncode == 0
    assert resolve("flashlight-text==0.0.7", "3.14").returncode != 0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile and a project of nothing."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").write_text("# none\n")
    backend = 'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]'
    (tmp_path / "pyproject.toml").write_text(f"[build-system]\n{backend}\n")
    (tmp_path / "backend.py").write_text(BACKEND)
    return tmp_path


def set_up(project: Path, python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "setup", f"PYTHON={python}"], cwd=project, capture_output=True, text=True, check=False
    )


def test_set_up_begins_anew_after_an_interruption(project: Path) -> None:
    half = project / ".venv" / "lib" / "half"
    half.parent.mkdir(parents=True)
    half.write_text("")
    found = set_up(project, sys.executable)
    assert found.returncode == 0, found.stderr
    assert "make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu" in found.stdout
    assert not half.exists() and (project / ".venv" / ".installed").exists()
    half.write_text("")
    (project / "requirements.txt").touch()
    assert set_up(project, sys.executable).returncode == 0
    assert half.exists()  # a finished set-up is only completed


@pytest.mark.parametrize("version", [(3, 10), (3, 15)])
def test_other_pythons_are_refused_before_anything_is_installed(project: Path, version: tuple[int, int]) -> None:
    python = project / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = {version}; $2"\n')
    python.chmod(0o755)
    found = set_up(project, str(python))
    assert found.returncode == 2
    assert [line for line in found.stderr.splitlines() if not line.startswith("make")] == [
        f"error: {python} is not Python 3.11 to 3.14; try make PYTHON=python3.13"
    ]
    assert not (project / ".venv").exists()
