"""The door of calibration: hypotheses in, calibration, metrics and plot data out."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from asr.decoding.hypotheses import Hypothesis, Word, write_hypotheses
from asr.errors import InputError
from stages import calibrate
from tests.echo import write_corpus


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """Two splits whose raw confidences say 0.9 where 0.6 is right."""
    rng = np.random.default_rng(0)
    found = []
    for split in ("valid", "test"):
        texts = {f"{split}{number}": "ONE TWO" for number in range(100)}
        manifest = write_corpus(tmp_path / split, texts)
        hypotheses = []
        for name in texts:
            words = ["ONE" if rng.random() < 0.6 else "SIX", "TWO" if rng.random() < 0.6 else "SIX"]
            timed = tuple(Word(word, 0.0, 1.0, float(rng.uniform(0.85, 0.95))) for word in words)
            hypotheses.append(Hypothesis(name, " ".join(words), -1.0, timed))
        write_hypotheses(tmp_path / f"{split}.jsonl", hypotheses)
        found += [f"--{split}_manifest", str(manifest), f"--{split}_hyps", str(tmp_path / f"{split}.jsonl")]
    for name in ("out_file", "metrics_file", "reliability_file", "risk_coverage_file"):
        found += [f"--{name}", str(tmp_path / "out" / name)]
    return found


def test_calibration_brings_confidence_to_accuracy(flags: list[str], tmp_path: Path) -> None:
    calibrate.main(flags)
    metrics = json.loads((tmp_path / "out" / "metrics_file").read_text())
    assert metrics["valid_words"] == metrics["test_words"] == 200
    assert metrics["test_ece_raw"] > 20
    assert metrics["test_ece_calibrated"] < 10
    with open(tmp_path / "out" / "risk_coverage_file", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"valid", "test"}
    assert rows[-1]["coverage"] == "100.00"


def test_hypotheses_without_words_leave_nothing(flags: list[str], tmp_path: Path) -> None:
    write_hypotheses(tmp_path / "test.jsonl", [Hypothesis(f"test{number}", "ONE") for number in range(100)])
    with pytest.raises(InputError, match="has no word confidences"):
        calibrate.main(flags)
    assert not (tmp_path / "out").exists()
