"""Word confidence: made calibrated on valid, and measured.

Calibration maps a raw confidence c to 1 / (1 + exp(-(slope * logit(c) + intercept))) (Platt 1999).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from atc_asr.core.config import option
from atc_asr.core.errors import InputError
from atc_asr.core.files import write_text
from atc_asr.hypotheses.hypotheses import Hypothesis

EDGE = 1e-6  # confidences are kept this far from 0 and 1, where the logit has no value
NEWTON_STEPS = 100
TOLERANCE = 1e-10
RIDGE = 1e-6  # keeps the fit finite when the words are separable


@dataclass(frozen=True)
class CalibrationParams:
    """Section `calibration`."""

    section: ClassVar[str] = "calibration"
    num_bins: int = option("equal-width confidence bins of the reliability curve", low=2)
    curve_points: int = option("points of the risk-coverage curve, at most", low=2)


@dataclass(frozen=True)
class Calibration:
    """A Platt scaling of logits."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Bin:
    """Words of one confidence bin: how many, their mean confidence, the share that is right (both 0 to 1)."""

    words: int
    confidence: float
    accuracy: float


def logit(confidence: np.ndarray) -> np.ndarray:
    """Log odds (N,) of confidences (N,)."""
    clipped = np.clip(confidence, EDGE, 1 - EDGE)
    return np.log(clipped) - np.log1p(-clipped)


def fit(confidence: np.ndarray, correct: np.ndarray) -> Calibration:
    """Platt scaling by Newton's method, with Platt's smoothed targets.

    Args:
        confidence: raw confidences, (N,).
        correct: whether each word is right, (N,) bool.

    Raises:
        InputError: there is no right or no wrong word to learn from.
    """
    right, wrong = int(correct.sum()), int((~correct).sum())
    if not right or not wrong:
        raise InputError(f"calibration: {right} right and {wrong} wrong words, wanted some of both")
    targets = np.where(correct, (right + 1) / (right + 2), 1 / (wrong + 2))
    raw = logit(confidence)
    centre, scale = float(raw.mean()), float(raw.std()) or 1.0
    features = np.stack([(raw - centre) / scale, np.ones(len(raw))], axis=1)

    def loss(weights: np.ndarray) -> float:
        scores = features @ weights
        return float(np.sum(np.logaddexp(0, scores) - targets * scores) + RIDGE * weights @ weights / 2)

    weights = np.array([0.0, np.log((right + 1) / (wrong + 1))])
    for _ in range(NEWTON_STEPS):
        probabilities = 1 / (1 + np.exp(-features @ weights))
        gradient = features.T @ (probabilities - targets) + RIDGE * weights
        curvature = (features * (probabilities * (1 - probabilities))[:, None]).T @ features + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > TOLERANCE:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() <= TOLERANCE:
            break
    slope = float(weights[0]) / scale
    return Calibration(slope, float(weights[1]) - slope * centre)


def apply(calibration: Calibration, confidence: np.ndarray) -> np.ndarray:
    """Calibrated confidences (N,)."""
    return 1 / (1 + np.exp(-(calibration.slope * logit(confidence) + calibration.intercept)))


def recalibrate(calibration: Calibration, hypothesis: Hypothesis) -> Hypothesis:
    """A hypothesis with calibrated word confidences."""
    values = apply(calibration, np.array([word.confidence for word in hypothesis.words]))
    words = zip(hypothesis.words, values.tolist(), strict=True)
    return replace(hypothesis, words=tuple(replace(word, confidence=value) for word, value in words))


def reliability(confidence: np.ndarray, correct: np.ndarray, num_bins: int) -> list[Bin]:
    """Equal-width bins that hold words."""
    numbers = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    return [
        Bin(int(members.sum()), float(confidence[members].mean()), float(correct[members].mean()))
        for members in (numbers == number for number in range(num_bins))
        if members.any()
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    """Mean distance of confidence and accuracy over words, in per cent (Guo et al. 2017, equation 3).

    None without words.
    """
    words = sum(one.words for one in bins)
    if not words:
        return None
    return 100 * sum(one.words * abs(one.confidence - one.accuracy) for one in bins) / words


def risk_coverage(confidence: np.ndarray, correct: np.ndarray, points: int) -> list[tuple[float, float]]:
    """(coverage, risk) in per cent: share of words kept above a threshold, share of those that is wrong.

    Words of equal confidence are kept together; at most `points` pairs, by rising coverage.
    """
    if not len(confidence):
        return []
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True)) + 1
    wrong = np.cumsum(~correct[order])
    if len(ends) > points:
        ends = ends[np.linspace(0, len(ends) - 1, points).round().astype(int)]
    return [(100 * int(end) / len(confidence), 100 * int(wrong[end - 1]) / int(end)) for end in ends]


def area_under_risk(curve: Sequence[tuple[float, float]]) -> float | None:
    """Mean risk over coverage, per cent: lower means that the confidence tells right words from wrong ones."""
    if not curve:
        return None
    coverage = np.array([0.0, *(point[0] for point in curve)])
    risk = np.array([curve[0][1], *(point[1] for point in curve)])
    return float(np.sum(np.diff(coverage) * (risk[1:] + risk[:-1]) / 2) / coverage[-1])


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write slope and intercept as JSON."""
    write_text(path, json.dumps(asdict(calibration), indent=2) + "\n")


def read_calibration(path: Path) -> Calibration:
    """What `write_calibration` wrote.

    Raises:
        InputError: the file cannot be read or is of another kind.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return Calibration(float(content["slope"]), float(content["intercept"]))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no calibration of stages.calibrate, wanted slope and intercept") from error


def confidences(hypotheses: Iterable[Hypothesis], where: str) -> dict[str, np.ndarray]:
    """Word confidences by id; none of a hypothesis that lists no words.

    Raises:
        InputError: a hypothesis lists other words than its text has.
    """
    found = {}
    for hypothesis in hypotheses:
        if hypothesis.words and len(hypothesis.words) != len(hypothesis.hyp.split()):
            raise InputError(f"{where} (id {hypothesis.id}): field words holds other words than hyp")
        found[hypothesis.id] = np.array([word.confidence for word in hypothesis.words])
    return found
