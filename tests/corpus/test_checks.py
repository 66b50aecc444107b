"""Validation of single clips."""

from dataclasses import replace

import numpy as np
import pytest

from atc_asr.core.config import load_section
from atc_asr.corpus import checks
from atc_asr.corpus.audio import Header
from atc_asr.corpus.params import CheckParams

PARAMS = load_section(CheckParams)
GOOD = checks.Measurements(level=-20.0, clipping=0.0, dc_offset=0.0, bandwidth=4000.0)


def noise(rate=16000, seconds=2.0):
    return (np.random.default_rng(0).standard_normal(int(rate * seconds)) * 0.1).astype(np.float32)


def test_measurements_of_known_signals():
    square = np.tile(np.array([0.5, -0.5], np.float32), 8000)
    measured = checks.measure(square, 16000)
    assert measured.level == pytest.approx(-6.02, abs=0.01)
    assert (measured.clipping, measured.dc_offset) == (0.0, 0.0)
    assert checks.measure(np.ones(1000, np.float32), 16000) == checks.Measurements(0.0, 1.0, 1.0, 31.2)
    assert checks.measure(np.zeros(1000, np.float32), 16000).level == -200.0


def test_bandwidth_finds_upsampled_speech():
    import soxr

    assert checks.bandwidth(noise(16000), 16000) == pytest.approx(8000, abs=100)
    upsampled = soxr.resample(noise(8000), 8000, 16000)
    assert checks.bandwidth(upsampled, 16000) == pytest.approx(4000, abs=300)


@pytest.mark.parametrize("num_samples", [1, 511, 512, 513, 512 * 999])
def test_bandwidth_of_any_length(num_samples):
    assert 0 <= checks.bandwidth(noise(16000, 32)[:num_samples], 16000) <= 8000


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (Header(16000, 1, 16000, 0), None),
        (Header(16000, 1, 16000, 4), "truncated_audio"),
        (Header(96000, 1, 96000, 0), "sample_rate"),
        (Header(4000, 1, 16000, 0), "sample_rate"),
        (Header(16000, 8, 16000, 0), "channels"),
        (Header(16000, 1, 0, 0), "too_short"),
        (Header(16000, 1, 16000 * 3 * 3600, 0), "too_long"),
    ],
)
def test_check_header(header, reason):
    rejection = checks.check_header(header, PARAMS)
    assert (rejection and rejection.reason) == reason


def test_check_samples():
    header = Header(16000, 1, 4, 0)
    assert checks.check_samples(np.zeros((4, 1), np.float32), header) is None
    assert checks.check_samples(np.zeros((3, 1), np.float32), header).reason == "truncated_audio"
    for bad in (np.nan, np.inf, -np.inf):
        samples = np.zeros((4, 1), np.float32)
        samples[1] = bad
        assert checks.check_samples(samples, header) == checks.Rejection("not_finite", "1", "0")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"level": -61.0}, "silence"),
        ({"clipping": 0.06}, "clipping"),
        ({"dc_offset": -0.06}, "dc_offset"),
        ({"bandwidth": 3000.0}, "bandwidth"),
    ],
)
def test_check_measurements(change, reason):
    params = PARAMS.model_copy(update={"min_bandwidth": 3500.0})
    rejection = checks.check_measurements(replace(GOOD, **change), params)
    assert (rejection and rejection.reason) == reason


@pytest.mark.parametrize(
    ("transcript", "foreign", "duration", "reason"),
    [
        ("TURN LEFT", "", 1.0, None),
        ("", "", 1.0, "empty_text"),
        (". /", "", 1.0, "empty_text"),
        ("TURN", "ДОМ", 1.0, "foreign_characters"),
        ("A", "", 10.0, "too_slow"),
        ("A" * 50, "", 1.0, "too_fast"),
        ("E" * 30, "", 1.0, "does_not_fit"),
        ("AB" * 15, "", 1.0, None),
    ],
)
def test_check_text(transcript, foreign, duration, reason):
    params = PARAMS.model_copy(update={"frame_ms": 20})
    rejection = checks.check_text(transcript, foreign, duration, params)
    assert (rejection and rejection.reason) == reason


def test_frames_counted_by_hand():
    assert checks.min_frames("") == 0
    assert checks.min_frames("ABC") == 3
    assert checks.min_frames("AABBC") == 7
    assert checks.num_frames(1.0, 40) == 26  # 101 windows of 10 ms, halved twice, rounded up


@pytest.mark.slow
def test_ctc_loss_is_finite_from_min_frames():
    torch = pytest.importorskip("torch")
    target = "ALLTOO"
    labels = torch.tensor([["_ALTO".index(char) for char in target]])
    for frames in (checks.min_frames(target) - 1, checks.min_frames(target)):
        log_probs = torch.log_softmax(torch.zeros(frames, 1, 5), dim=-1)
        loss = torch.nn.functional.ctc_loss(log_probs, labels, (frames,), (len(target),))
        assert bool(torch.isfinite(loss)) == (frames >= checks.min_frames(target))
