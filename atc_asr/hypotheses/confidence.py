"""Calibration of word confidences, and measures of their quality.

Calibration is Platt scaling (Platt 1999): a raw confidence c becomes 1 / (1 + exp(-(slope * logit(c) + intercept))).
N words; confidences and accuracies in [0, 1], all rates in per cent.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.core.files import read_text, write_text
from atc_asr.hypotheses.hypotheses import STRICT, Hypothesis, rate_slot

log = logging.getLogger(__name__)

LIKE = r'\{\s*"slope": '  # beginning of a file of `write_calibration`
NUM_BINS = 10  # equal-width confidence bins of the reliability curve
CURVE_POINTS = 200  # largest number of points of the risk-coverage curve
EPSILON = 1e-6  # confidences are clipped to [EPSILON, 1 - EPSILON], because the logit of 0 and 1 is infinite
NEWTON_STEPS = 100
TOLERANCE = 1e-10
L2_PENALTY = 1e-6  # keeps the fit finite when the words are separable


@dataclass(frozen=True)
class Calibration:
    """Slope and intercept of a Platt scaling."""

    __pydantic_config__ = STRICT
    slope: float
    intercept: float


_FILE = TypeAdapter(Calibration)


@dataclass(frozen=True)
class Bin:
    """A confidence bin: number of words, their mean confidence, and the fraction of them that is correct."""

    words: int
    confidence: float
    accuracy: float


def logit(confidence: np.ndarray) -> np.ndarray:
    """Log odds (N,) of confidences (N,)."""
    clipped = np.clip(confidence, EPSILON, 1 - EPSILON)
    return np.log(clipped) - np.log1p(-clipped)


def fit(confidence: np.ndarray, correct: np.ndarray) -> Calibration:
    """Fit a Platt scaling to raw confidences (N,) and correctness (N,): Newton's method, Platt's smoothed targets.

    Without correct or without wrong words the result is the identity, and a warning is logged.
    """
    num_correct, num_wrong = int(correct.sum()), int((~correct).sum())
    if not num_correct or not num_wrong:
        log.warning(messages.NOT_CALIBRATED, num_correct, len(correct))
        return Calibration(slope=1.0, intercept=0.0)
    targets = np.where(correct, (num_correct + 1) / (num_correct + 2), 1 / (num_wrong + 2))
    raw = logit(confidence)
    centre, scale = float(raw.mean()), float(raw.std()) or 1.0
    features = np.stack([(raw - centre) / scale, np.ones(len(raw))], axis=1)

    def loss(weights: np.ndarray) -> float:
        scores = features @ weights
        return float(np.sum(np.logaddexp(0, scores) - targets * scores) + L2_PENALTY * weights @ weights / 2)

    weights = np.array([0.0, np.log((num_correct + 1) / (num_wrong + 1))])
    for _ in range(NEWTON_STEPS):
        probabilities = 1 / (1 + np.exp(-features @ weights))
        gradient = features.T @ (probabilities - targets) + L2_PENALTY * weights
        hessian = (features * (probabilities * (1 - probabilities))[:, None]).T @ features + L2_PENALTY * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > TOLERANCE:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() <= TOLERANCE:
            break
    slope = float(weights[0]) / scale
    return Calibration(slope, float(weights[1]) - slope * centre)


def apply(calibration: Calibration, confidence: np.ndarray) -> np.ndarray:
    """Calibrated confidences (N,) of raw ones (N,)."""
    return 1 / (1 + np.exp(-(calibration.slope * logit(confidence) + calibration.intercept)))


def recalibrate(calibration: Calibration, hypothesis: Hypothesis) -> Hypothesis:
    """A copy of a hypothesis with calibrated word confidences, and slots with the confidences of these words."""
    values = apply(calibration, np.array([word.confidence for word in hypothesis.words]))
    pairs = zip(hypothesis.words, values.tolist(), strict=True)
    words = tuple(replace(word, confidence=value) for word, value in pairs)
    slots = hypothesis.slots and tuple(rate_slot(slot, words) for slot in hypothesis.slots)
    return replace(hypothesis, words=words, slots=slots)


def reliability(confidence: np.ndarray, correct: np.ndarray) -> list[Bin]:
    """The non-empty of `NUM_BINS` equal-width bins, for confidences (N,) and correctness (N,)."""
    numbers = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        Bin(int(members.sum()), float(confidence[members].mean()), float(correct[members].mean()))
        for members in (numbers == number for number in range(NUM_BINS))
        if members.any()
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    """Mean |accuracy - confidence| over words, per cent (Guo et al. 2017, equation 3); None without words."""
    num_words = sum(item.words for item in bins)
    if not num_words:
        return None
    return 100 * sum(item.words * abs(item.confidence - item.accuracy) for item in bins) / num_words


def risk_coverage(
    confidence: np.ndarray, correct: np.ndarray, max_points: int = CURVE_POINTS
) -> list[tuple[float, float]]:
    """(coverage, risk) in per cent by rising coverage, for confidences (N,) and correctness (N,).

    Coverage is the fraction of words whose confidence is at least a threshold, risk the fraction of those words that
    is wrong. A threshold never separates words of equal confidence.
    """
    if not len(confidence):
        return []
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True)) + 1
    wrong = np.cumsum(~correct[order])
    if len(ends) > max_points:
        ends = ends[np.linspace(0, len(ends) - 1, max_points).round().astype(int)]
    return [(100 * int(end) / len(confidence), 100 * int(wrong[end - 1]) / int(end)) for end in ends]


def area_under_risk(curve: Sequence[tuple[float, float]]) -> float | None:
    """Mean risk over coverage, per cent; lower = confidence separates correct from wrong words better."""
    if not curve:
        return None
    coverage, risk = zip((0.0, curve[0][1]), *curve, strict=True)
    return float(np.trapezoid(risk, coverage) / coverage[-1])


def write_calibration(path: Path, calibration: Calibration, stats: Mapping[str, float | None]) -> None:
    """Write a calibration as JSON, with statistics under the key `stats`, which `read_calibration` ignores."""
    write_text(path, json.dumps(asdict(calibration) | {"stats": dict(stats)}, indent=2) + "\n", LIKE)


def read_calibration(path: Path) -> Calibration:
    """Read the calibration from a file of `write_calibration`.

    Raises:
        InputError: the file cannot be read or holds no calibration.
    """
    try:
        return _FILE.validate_json(read_text(path))
    except ValidationError as error:
        wanted = "wanted finite numbers slope and intercept"
        raise InputError(f"{path}: not a calibration of stages.calibrate, {wanted}") from error


def confidences(hypotheses: Iterable[Hypothesis], where: str) -> dict[str, np.ndarray]:
    """Word confidences by id; an empty array for a hypothesis without listed words.

    Raises:
        InputError: the number of listed words differs from the number of words in the text.
    """
    values = {}
    for hypothesis in hypotheses:
        got, wanted = len(hypothesis.words), len(hypothesis.hyp.split())
        if got not in (0, wanted):
            raise InputError(f"{where} (id {hypothesis.id}): field words: got {got} words, wanted {wanted} as in hyp")
        values[hypothesis.id] = np.array([word.confidence for word in hypothesis.words])
    return values
