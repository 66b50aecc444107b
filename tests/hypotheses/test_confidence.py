"""Calibration and its measures on hand-made and simulated words."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.hypotheses.confidence import (
    Bin,
    Calibration,
    apply,
    area_under_risk,
    confidences,
    expected_calibration_error,
    fit,
    read_calibration,
    recalibrate,
    reliability,
    risk_coverage,
    write_calibration,
)
from atc_asr.hypotheses.hypotheses import Hypothesis, Word


def test_fit_inverts_a_known_distortion() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.02, 0.98, size=20_000)
    correct = rng.random(20_000) < truth
    overconfident = apply(Calibration(2.0, 1.0), truth)
    fitted = fit(overconfident, correct)
    assert (fitted.slope, fitted.intercept) == pytest.approx((0.5, -0.5), abs=0.05)
    before = expected_calibration_error(reliability(overconfident, correct))
    after = expected_calibration_error(reliability(apply(fitted, overconfident), correct))
    assert before > 10
    assert after < 1.5


def test_fit_with_confidences_of_0_and_1() -> None:
    fitted = fit(np.array([1.0, 1.0, 0.0, 1.0]), np.array([True, True, False, False]))
    assert np.isfinite([fitted.slope, fitted.intercept]).all()


@pytest.mark.parametrize("correct", [[True, True], [False, False], []])
def test_no_fit_without_correct_and_wrong_words(correct: list[bool], caplog: pytest.LogCaptureFixture) -> None:
    assert fit(np.full(len(correct), 0.5), np.array(correct, dtype=bool)) == Calibration(1.0, 0.0)
    assert f"{sum(correct)} correct words of {len(correct)}, confidences are left as they are" in caplog.text


def test_expected_calibration_error() -> None:
    confidence = np.array([0.95, 0.95, 0.15, 0.25])
    correct = np.array([True, False, False, True])
    bins = reliability(confidence, correct)
    assert bins == [Bin(1, 0.15, 0.0), Bin(1, 0.25, 1.0), Bin(2, 0.95, 0.5)]
    assert expected_calibration_error(bins) == pytest.approx(100 * (0.15 + 0.75 + 2 * 0.45) / 4)
    assert reliability(np.array([1.0]), np.array([True])) == [Bin(1, 1.0, 1.0)]


def test_risk_coverage() -> None:
    curve = risk_coverage(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]), 100)
    assert curve == [(25.0, 0.0), (75.0, pytest.approx(100 / 3)), (100.0, 50.0)]
    assert area_under_risk(curve) == pytest.approx((0 + 50 * (100 / 6) + 25 * (100 / 3 + 50) / 2) / 100)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(2, 10))
def test_risk_coverage_ends_at_full_coverage(words: list[tuple[float, bool]], points: int) -> None:
    confidence = np.array([value for value, _ in words])
    correct = np.array([is_correct for _, is_correct in words])
    curve = risk_coverage(confidence, correct, points)
    assert curve[-1] == (100.0, pytest.approx(100 * (~correct).mean()))
    assert len(curve) <= points
    assert [coverage for coverage, _ in curve] == sorted({coverage for coverage, _ in curve})


def test_write_read_and_apply_calibration(tmp_path: Path) -> None:
    write_calibration(tmp_path / "x.json", Calibration(1.0, 0.0), {"valid_words": 3})
    identity = read_calibration(tmp_path / "x.json")
    hypothesis = Hypothesis("a", "ONE", -1.0, (Word("ONE", 0.0, 1.0, 0.7),))
    assert recalibrate(identity, hypothesis).words[0].confidence == pytest.approx(0.7)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match=r"not a calibration of stages\.calibrate"):
        read_calibration(tmp_path / "x.json")


def test_number_of_listed_words_must_match_the_text() -> None:
    assert not len(confidences([Hypothesis("b", "ONE")], "x.jsonl")["b"])
    with pytest.raises(InputError, match=r"x\.jsonl \(id a\): field words: got 1 words, wanted 2 as in hyp"):
        confidences([Hypothesis("a", "ONE TWO", words=(Word("ONE", 0.0, 1.0, 0.5),))], "x.jsonl")


def test_measures_without_words_are_none() -> None:
    empty = np.zeros(0), np.zeros(0, dtype=bool)
    assert expected_calibration_error(reliability(*empty)) is None
    assert area_under_risk(risk_coverage(*empty)) is None
