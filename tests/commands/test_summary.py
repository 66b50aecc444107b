"""summary: five lines of the pipeline's outputs; tests/test_pipeline.py runs the command that it prints."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from atc_asr.commands import summary
from atc_asr.core.config import read_yaml
from atc_asr.core.errors import InputError
from tests.echo import write_corpus

ROOT = Path(__file__).resolve().parents[2]
METRICS = {"wer": 2.25, "wer_low": 1.66, "wer_high": 2.84, "greedy_wer": 16.3, "callsign": 93.46}
SCORECARD = {"confidence": 95.0, "callsign": {"accuracy_population": 298}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the outputs of the pipeline, which is the working directory."""
    write_corpus(tmp_path / "data" / "corpus" / "base", {"a": "CLIMB", "b": "DELTA"})
    for path, content in ((summary.METRICS, METRICS), (summary.SCORECARD, SCORECARD)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps(content))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_five_lines(project, capsys, monkeypatch):
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "activate").touch()
    monkeypatch.setattr(sys, "executable", str(project / ".venv" / "bin" / "python"))
    summary.main([])
    epochs = 2 * read_yaml(ROOT / "params.yaml")["train"]["epochs"]
    assert capsys.readouterr().out.splitlines() == [
        "word error rate on test: 2.2 %, 95 % interval 1.7 to 2.8; without lexicon and language model 16.3 %",
        "call signs on test: 93.5 % of 298 are right",
        f"page: {project}/data/report/report.html",
        "transcribe a file: .venv/bin/python -m atc_asr.commands.transcribe models/recognizer data/corpus/base/a.wav",
        f"try next: . .venv/bin/activate; dvc exp run -S train.epochs={epochs}; README.md: your own corpus",
    ]


def test_rates_of_nothing_are_unknown(project):
    (project / summary.METRICS).write_text(json.dumps(METRICS | {"wer": None, "callsign": None}))
    assert [line.split(";")[0] for line in summary.summarize()[:2]] == [
        "word error rate on test: unknown",
        "call signs on test: unknown of 298 are right",
    ]


def test_before_the_pipeline_ran(project):
    (project / summary.METRICS).unlink()
    with pytest.raises(InputError, match=r"metrics/test\.json"):
        summary.main([])


def test_the_files_are_outputs_of_the_pipeline():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8").replace("${key}", "test")
    named = [summary.METRICS, summary.SCORECARD, summary.PAGE.parent, summary.MANIFESTS, summary.RECOGNIZER]
    assert [str(path) for path in named if str(path) not in text] == []
