"""Calibration and its measures against hand-made and simulated words."""

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


def test_a_known_distortion_is_found_again() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.02, 0.98, size=20_000)
    correct = rng.random(20_000) < truth
    overconfident = apply(Calibration(2.0, 1.0), truth)
    found = fit(overconfident, correct)
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.5), abs=0.05)
    before = expected_calibration_error(reliability(overconfident, correct, 10))
    after = expected_calibration_error(reliability(apply(found, overconfident), correct, 10))
    assert before > 10
    assert after < 1.5


def test_certain_words_do_not_break_the_fit() -> None:
    found = fit(np.array([1.0, 1.0, 0.0, 1.0]), np.array([True, True, False, False]))
    assert np.isfinite([found.slope, found.intercept]).all()
    with pytest.raises(InputError, match="2 right and 0 wrong"):
        fit(np.array([0.5, 0.6]), np.array([True, True]))


def test_expected_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.15, 0.25])
    correct = np.array([True, False, False, True])
    bins = reliability(confidence, correct, 10)
    assert bins == [Bin(1, 0.15, 0.0), Bin(1, 0.25, 1.0), Bin(2, 0.95, 0.5)]
    assert expected_calibration_error(bins) == pytest.approx(100 * (0.15 + 0.75 + 2 * 0.45) / 4)
    assert reliability(np.array([1.0]), np.array([True]), 10) == [Bin(1, 1.0, 1.0)]


def test_risk_coverage_by_hand() -> None:
    curve = risk_coverage(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]), 100)
    assert curve == [(25.0, 0.0), (75.0, pytest.approx(100 / 3)), (100.0, 50.0)]
    assert area_under_risk(curve) == pytest.approx((0 + 50 * (100 / 6) + 25 * (100 / 3 + 50) / 2) / 100)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(2, 10))
def test_the_curve_ends_with_all_words(words: list[tuple[float, bool]], points: int) -> None:
    confidence = np.array([value for value, _ in words])
    correct = np.array([right for _, right in words])
    curve = risk_coverage(confidence, correct, points)
    assert curve[-1] == (100.0, pytest.approx(100 * (~correct).mean()))
    assert len(curve) <= points
    assert [coverage for coverage, _ in curve] == sorted({coverage for coverage, _ in curve})


def test_a_calibration_comes_back_and_is_applied(tmp_path: Path) -> None:
    write_calibration(tmp_path / "x.json", Calibration(1.0, 0.0))
    same = read_calibration(tmp_path / "x.json")
    hypothesis = Hypothesis("a", "ONE", -1.0, (Word("ONE", 0.0, 1.0, 0.7),))
    assert recalibrate(same, hypothesis).words[0].confidence == pytest.approx(0.7)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="is no calibration"):
        read_calibration(tmp_path / "x.json")


def test_words_that_are_not_the_text_are_named() -> None:
    assert not len(confidences([Hypothesis("b", "ONE")], "x.jsonl")["b"])
    with pytest.raises(InputError, match=r"x\.jsonl \(id a\): field words holds other words than hyp"):
        confidences([Hypothesis("a", "ONE TWO", words=(Word("ONE", 0.0, 1.0, 0.5),))], "x.jsonl")


def test_nothing_has_no_measures() -> None:
    nothing = np.zeros(0), np.zeros(0, dtype=bool)
    assert expected_calibration_error(reliability(*nothing, 10)) is None
    assert area_under_risk(risk_coverage(*nothing, 10)) is None
