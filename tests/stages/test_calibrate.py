"""Stage calibrate: calibration, calibrated hypotheses, metrics, plot data and error messages."""

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


@pytest.fixture(name="flags")
def stage_flags(tmp_path: Path) -> list[str]:
    """Flags for two splits with a mean raw confidence of 0.9 and an accuracy of 0.6."""
    rng = np.random.default_rng(0)
    flags = []
    for split in ("valid", "test"):
        texts = {f"{split}{number}": "ONE TWO" for number in range(100)}
        manifest = write_corpus(tmp_path / split, texts)
        hypotheses = []
        for name in texts:
            words = ["ONE" if rng.random() < 0.6 else "SIX", "TWO" if rng.random() < 0.6 else "SIX"]
            timed = tuple(Word(word, 0.0, 1.0, float(rng.uniform(0.85, 0.95))) for word in words)
            hypotheses.append(Hypothesis(name, " ".join(words), -1.0, timed))
        write_hypotheses(tmp_path / f"{split}.jsonl", hypotheses)
        flags += [f"--{split}_manifest", str(manifest), f"--{split}_hyps", str(tmp_path / f"{split}.jsonl")]
        flags += [f"--{split}_out_file", str(tmp_path / "out" / f"{split}.jsonl")]
    for name in ("out_file", "metrics_file", "reliability_file", "risk_coverage_file"):
        flags += [f"--{name}", str(tmp_path / "out" / name)]
    return flags


def test_calibration_lowers_the_calibration_error(flags: list[str], tmp_path: Path) -> None:
    calibrate.main(flags)
    metrics = json.loads((tmp_path / "out" / "metrics_file").read_text())
    assert list(metrics) == ["ece"]
    assert metrics["ece"] < 10
    stats = json.loads((tmp_path / "out" / "out_file").read_text())["stats"]
    assert stats["test_ece_raw"] > 20
    assert stats["valid_words"] == stats["test_words"] == 200
    assert stats["valid_ece_calibrated"] < stats["valid_ece_raw"]
    assert 0 < stats["test_area_under_risk"] < 100
    with open(tmp_path / "out" / "risk_coverage_file", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"valid", "test"}
    assert rows[-1]["coverage"] == "100.00"
    with open(tmp_path / "out" / "reliability_file", newline="") as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"ideal", "raw", "calibrated"}


def test_hypotheses_keep_their_text_and_get_calibrated_confidences(flags: list[str], tmp_path: Path) -> None:
    calibrate.main(flags)
    calibration = read_calibration(tmp_path / "out" / "out_file")
    for split in ("valid", "test"):
        raw, calibrated = (read_hypotheses(tmp_path / folder / f"{split}.jsonl") for folder in (".", "out"))
        assert [(one.id, one.hyp) for one in calibrated] == [(one.id, one.hyp) for one in raw]
        found = [word.confidence for one in calibrated for word in one.words]
        wanted = apply(calibration, np.array([word.confidence for one in raw for word in one.words]))
        assert found == pytest.approx(wanted, abs=1e-4)
        assert np.mean(found) == pytest.approx(0.6, abs=0.1)


def test_confidences_stay_unchanged_when_no_fit_is_possible(
    flags: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All words of valid are correct, or no words are listed."""
    correct = (Word("ONE", 0.0, 1.0, 0.9), Word("TWO", 1.0, 2.0, 0.8))
    for words in (correct, ()):
        hypotheses = [Hypothesis(f"valid{number}", "ONE TWO", -1.0, words) for number in range(100)]
        write_hypotheses(tmp_path / "valid.jsonl", hypotheses)
        calibrate.main(flags)
        assert "confidences are left as they are" in caplog.text
        assert read_hypotheses(tmp_path / "out" / "valid.jsonl") == hypotheses
        stats = json.loads((tmp_path / "out" / "out_file").read_text())["stats"]
        assert stats["valid_words"] == 100 * len(words)
    assert stats["valid_ece_raw"] is None


def test_unknown_ids_leave_no_files(flags: list[str], tmp_path: Path) -> None:
    write_hypotheses(tmp_path / "test.jsonl", [Hypothesis("other", "ONE")])
    with pytest.raises(InputError, match="other"):
        calibrate.main(flags)
    assert not (tmp_path / "out").exists()
