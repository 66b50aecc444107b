"""benchmarks/gpu.sh: faults of a GPU are one line, failures of a part are rows; a rehearsal of all parts on the CPU."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu

ROOT = Path(__file__).resolve().parents[2]
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040).\nPlease update your GPU driver"


def raising(error):
    def function(*_, **__):
        raise error

    return function


@pytest.fixture
def working(monkeypatch):
    """A GPU with 80 GB that computes on the CPU."""
    ones = torch.ones
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (79_000_000_000, 80_000_000_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card")
    monkeypatch.setattr(torch, "ones", lambda *size, device: ones(*size))


def test_a_gpu_that_works_has_no_fault(working):
    assert gpu.device_fault("cuda") is None


@pytest.mark.parametrize(
    ("owner", "name", "replacement", "wanted"),
    [
        (torch.cuda, "init", raising(RuntimeError("Found no NVIDIA driver on your system.")), "Found no NVIDIA driver"),
        (torch.cuda, "init", raising(AssertionError("Torch not compiled with CUDA enabled")), "not compiled with CUDA"),
        (
            torch.cuda,
            "init",
            raising(RuntimeError(OLD_DRIVER)),
            "driver on your system is too old (found version 11040)",
        ),
        (torch.cuda, "mem_get_info", lambda: (300_000_000, 80_000_000_000), "Card: 300 of 80000 MB are free, wanted"),
        (
            torch.cuda,
            "mem_get_info",
            raising(torch.cuda.OutOfMemoryError("CUDA error: out of memory")),
            "out of memory",
        ),
        (torch, "ones", raising(RuntimeError("no kernel image is available for execution")), "no kernel image"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_one_line_and_exit_code_2(
    working, monkeypatch, tmp_path, capsys, owner, name, replacement, wanted
):
    monkeypatch.setattr(owner, name, replacement)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out_dir", str(tmp_path / "out")])
    assert gpu.main() == 2
    message = capsys.readouterr().err
    assert wanted in message and message.startswith("error: ") and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_torch_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "torch cannot be imported" in gpu.device_fault("cpu")


def test_versions_of_packages_and_of_the_card(monkeypatch):
    card = SimpleNamespace(name="Card", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(gpu, "PACKAGES", ("torch", "no-such-package"))
    found = gpu.versions("cuda")
    assert (found["GPU"], found["torch"], found["no-such-package"]) == (
        "Card, 80 GiB",
        torch.__version__,
        "not installed",
    )


def test_a_part_that_fails_or_takes_too_long_is_a_row(tmp_path):
    table = gpu.Table(tmp_path / "table.md")
    fails = "import sys; print('a | b'); print('reason', file=sys.stderr); sys.exit(3)"
    assert not gpu.run_part(table, "fails", [sys.executable, "-c", fails], tmp_path / "f.log", 60)
    sleeps = "import subprocess, sys; print('begun', flush=True); subprocess.run(['sleep', '600'])"
    assert not gpu.run_part(table, "sleeps", [sys.executable, "-c", sleeps], tmp_path / "s.log", 3)
    assert gpu.run_part(table, "works", [sys.executable, "-c", "print(1); print(2)"], tmp_path / "w.log", 60)
    head, _, *rows = (tmp_path / "table.md").read_text().splitlines()
    assert head == "| part | result | seconds |"
    assert rows[0].startswith("| fails | FAILED with exit code 3, see f.log<br>a / b |")
    assert rows[1].startswith("| sleeps | STOPPED after 3 s<br>begun |")
    assert rows[2].startswith("| works | 1<br>2 |")
    assert "reason" in (tmp_path / "f.log").read_text()


@pytest.mark.endurance
def test_every_part_is_rehearsed_on_the_cpu(tmp_path):
    """With a wheel that is installed beside one that cannot be."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "broken-1-py3-none-any.whl").write_bytes(b"no archive")
    with zipfile.ZipFile(wheels / "brought-1-py3-none-any.whl", "w") as archive:
        archive.writestr("brought.py", "")
        archive.writestr("brought-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: brought\nVersion: 1\n")
        archive.writestr("brought-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("brought-1.dist-info/RECORD", "")
    out = tmp_path / "out"
    environment = os.environ | {"DEVICE": "cpu", "PYTHON": sys.executable, "WHEELS": str(wheels)}
    script = [ROOT / "benchmarks" / "gpu.sh", out]
    found = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    table = (out / "table.md").read_text(encoding="utf-8")
    assert found.returncode == 0, table + found.stderr
    assert "not installed: " in found.stderr and "broken" in found.stderr
    assert (out / "packages" / "brought.py").is_file()
    for word in ("passed", "ratio ", "greedy WER", "compile: ", "sdpa: ", "hours of audio a minute"):
        assert word in table
    assert "failed" not in table and "FAILED" not in table


@pytest.mark.endurance
def test_without_an_output_folder_the_script_shows_its_usage():
    found = subprocess.run([ROOT / "benchmarks" / "gpu.sh"], capture_output=True, text=True, check=False)
    assert found.returncode == 2 and found.stderr.startswith("usage: ")
