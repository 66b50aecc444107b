"""A repository whose `dvc exp run` is fake_dvc.py."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from atc_asr.sweep import experiments, worker


@pytest.fixture
def fake_repository(tmp_path, monkeypatch) -> Path:
    """The current folder; experiments take some milliseconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(worker, "DVC", (sys.executable, "-S", str(Path(__file__).with_name("fake_dvc.py"))))
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)

    def read_result(rev: str, path: str) -> str | None:
        result = tmp_path / "results" / f"{rev}.json"
        return result.read_text() if result.exists() else None

    def list_results() -> list[SimpleNamespace]:
        return [SimpleNamespace(name=path.stem) for path in tmp_path.glob("results/*.json")]

    monkeypatch.setattr(experiments, "read_at", read_result)
    monkeypatch.setattr(experiments, "list_experiments", list_results)
    return tmp_path
