"""A repository whose `dvc exp run` is fake_dvc.py."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from atc_asr.sweep import experiments, worker


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """Optuna's tables; copying them is faster than creating them for each study."""
    path = tmp_path_factory.mktemp("optuna") / "study.db"
    optuna.storages.RDBStorage(f"sqlite:///{path}")
    return path


@pytest.fixture
def fake_repository(tmp_path, monkeypatch, empty_database) -> Path:
    """The current folder; experiments take some milliseconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(worker, "DVC", (sys.executable, "-S", str(Path(__file__).with_name("fake_dvc.py"))))
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)

    class CopiedStorage(optuna.storages.RDBStorage):
        def __init__(self, url: str) -> None:
            path = Path(url.removeprefix("sqlite:///"))
            if not path.exists():
                shutil.copy(empty_database, path)
            super().__init__(url)

    def read_result(rev: str, path: str) -> str | None:
        result = tmp_path / "results" / f"{rev}.json"
        return result.read_text() if result.exists() else None

    def list_results() -> list[SimpleNamespace]:
        return [SimpleNamespace(name=path.stem) for path in tmp_path.glob("results/*.json")]

    monkeypatch.setattr(optuna.storages, "RDBStorage", CopiedStorage)
    monkeypatch.setattr(experiments, "read_at", read_result)
    monkeypatch.setattr(experiments, "list_experiments", list_results)
    return tmp_path
