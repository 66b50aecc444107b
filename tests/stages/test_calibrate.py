"""The door of calibration: hypotheses in, calibration, metrics and plot data out."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from atc_asr.core.errors import InputError
from atc_asr.hypotheses.confidence import apply, read_calibration
from atc_asr.hypotheses.hypotheses import Hypothesis, Word, read_hypotheses, write_hypotheses
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
        found += [f"--{split}_out_file", str(tmp_path / "out" / f"{split}.jsonl")]
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
    with open(tmp_path / "out" / "reliability_file", newline="") as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"ideal", "raw", "calibrated"}


def test_hypotheses_come_out_with_their_text_and_calibrated_confidences(flags: list[str], tmp_path: Path) -> None:
    calibrate.main(flags)
    scale = read_calibration(tmp_path / "out" / "out_file")
    for split in ("valid", "test"):
        raw, calibrated = (read_hypotheses(tmp_path / folder / f"{split}.jsonl") for folder in (".", "out"))
        assert [(one.id, one.hyp) for one in calibrated] == [(one.id, one.hyp) for one in raw]
        found = [word.confidence for one in calibrated for word in one.words]
        wanted = apply(scale, np.array([word.confidence for one in raw for word in one.words]))
        assert found == pytest.approx(wanted, abs=1e-4)
        assert np.mean(found) == pytest.approx(0.6, abs=0.1)


def test_nothing_to_learn_from_leaves_confidences_as_they_are(
    flags: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A network that is always right, and one without listed words: the pipeline goes on."""
    right = (Word("ONE", 0.0, 1.0, 0.9), Word("TWO", 1.0, 2.0, 0.8))
    for words in (right, ()):
        hypotheses = [Hypothesis(f"valid{number}", "ONE TWO", -1.0, words) for number in range(100)]
        write_hypotheses(tmp_path / "valid.jsonl", hypotheses)
        calibrate.main(flags)
        assert "confidences stay as they are" in caplog.text
        assert read_hypotheses(tmp_path / "out" / "valid.jsonl") == hypotheses
        metrics = json.loads((tmp_path / "out" / "metrics_file").read_text())
        assert metrics["valid_words"] == 100 * len(words)
    assert metrics["valid_ece_raw"] is None


def test_hypotheses_of_other_utterances_leave_nothing(flags: list[str], tmp_path: Path) -> None:
    write_hypotheses(tmp_path / "test.jsonl", [Hypothesis("other", "ONE")])
    with pytest.raises(InputError, match="other"):
        calibrate.main(flags)
    assert not (tmp_path / "out").exists()
