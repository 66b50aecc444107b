"""The simulated channel: each of its properties measured at its output."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.corpus import radio
from atc_asr.corpus.radio import (
    add_noise,
    band_pass,
    clip,
    coloured_noise,
    compress,
    quantize,
    set_level,
    speech_rms,
    transmit,
)

RATE = 16000
SNR_RANGE = (10.0, 30.0)


def fix(monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    """Fix properties of the channel: name of a range in `radio` -> value."""
    for name, value in values.items():
        assert hasattr(radio, name)
        monkeypatch.setattr(radio, name, (value, value))


def bursts(seconds: float = 3.0) -> np.ndarray:
    """Speech-like: harmonics of 120 Hz up to 7 kHz, on and off four times a second, silent at both ends."""
    times = np.arange(int(RATE * seconds)) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * number * times + number**2) / number for number in range(1, 58))
    is_on = (np.sin(2 * np.pi * 4 * times) > 0) & (times > 0.2) & (times < seconds - 0.2)
    return (0.2 * voice * is_on).astype(np.float32)


def band_power(samples: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(power[(frequencies >= low) & (frequencies < high)].sum())


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


@pytest.mark.parametrize(
    ("frequency", "gain"), [(100, 0), (199, 0), (300, 1), (1000, 1), (3400, 1), (3501, 0), (6000, 0)]
)
def test_band_pass_gain(frequency: float, gain: float) -> None:
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)
    middle = slice(RATE // 4, 3 * RATE // 4)
    passed = band_pass(tone, RATE, 300, 3400, 100)
    assert passed.dtype == np.float32
    # A tone with a sudden start is not a pure tone: 1 % leaks.
    assert np.abs(passed[middle] - gain * tone[middle]).max() < 0.02


def test_band_pass_keeps_length_and_is_not_circular() -> None:
    impulse = np.zeros(8000, np.float32)
    impulse[10] = 1
    passed = band_pass(impulse, RATE, 300, 3400, 100)
    assert len(passed) == 8000
    assert np.abs(passed[-200:]).max() < 0.01 * np.abs(passed).max()


def test_the_output_is_within_the_band() -> None:
    received = transmit(bursts(), RATE, np.random.default_rng(1), SNR_RANGE)
    inside, below, above = (band_power(received, *edges) for edges in ((200, 3500), (0, 150), (3600, 8000)))
    assert decibels(inside / below) > 40
    assert decibels(inside / above) > 40


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
@pytest.mark.parametrize("slope", [-3.0, 0.0])
def test_signal_to_noise_ratio(monkeypatch: pytest.MonkeyPatch, snr: float, slope: float) -> None:
    fix(monkeypatch, COMPRESSION_RANGE=0.0, CLIPPED_RANGE=0.0, NOISE_SLOPE_RANGE=slope)
    received = transmit(bursts(), RATE, np.random.default_rng(2), (snr, snr))
    clean = transmit(bursts(), RATE, np.random.default_rng(2), (100.0, 100.0))
    # The first 0.15 s have noise only.
    noise = received[: int(0.15 * RATE)].std()
    loud = np.abs(clean) > 0
    gain = np.dot(received[loud], clean[loud]) / np.dot(clean[loud], clean[loud])
    assert 20 * np.log10(gain * speech_rms(clean, RATE) / noise) == pytest.approx(snr, abs=1.0)


def test_added_noise_has_the_exact_ratio() -> None:
    speech, noise = bursts(), coloured_noise(3 * RATE, RATE, np.random.default_rng(0), -3.0)
    added = add_noise(speech, noise, 12.0, RATE) - speech
    assert 20 * np.log10(speech_rms(speech, RATE) / added.std()) == pytest.approx(12.0, abs=0.01)


@pytest.mark.parametrize("slope", [-6.0, -3.0, 0.0])
def test_noise_slope(slope: float) -> None:
    noise = coloured_noise(20 * RATE, RATE, np.random.default_rng(0), slope)
    # An octave has twice the width of the one below, so the power per octave changes by slope + 3 dB.
    octaves = [band_power(noise, low, 2 * low) for low in (250, 500, 1000, 2000)]
    steps = np.diff([decibels(power) for power in octaves])
    assert np.mean(steps) == pytest.approx(slope + 10 * np.log10(2), abs=0.3)


def test_level_is_the_level_of_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    fix(monkeypatch, LEVEL_RANGE=-20.0)
    received = transmit(bursts(), RATE, np.random.default_rng(3), SNR_RANGE)
    assert 20 * np.log10(speech_rms(received, RATE)) == pytest.approx(-20.0, abs=0.05)


def test_speech_rms_ignores_silence() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)
    padded = np.concatenate([np.zeros(RATE, np.float32), tone, np.zeros(2 * RATE, np.float32)])
    assert speech_rms(padded, RATE) == pytest.approx(np.sqrt(0.5), rel=1e-3)


def test_clipped_fraction_is_of_speech() -> None:
    speech = np.concatenate([np.zeros(3 * RATE, np.float32), bursts()])
    limited = clip(speech, 0.05, RATE)
    active = np.abs(bursts()) > 0
    assert np.mean(np.abs(limited[3 * RATE :][active]) >= np.abs(limited).max() - 1e-7) == pytest.approx(0.05, abs=0.01)
    assert np.array_equal(clip(speech, 0.0, RATE), speech)


def test_compression_raises_low_levels_and_keeps_the_peak() -> None:
    samples = np.array([0.0, 0.05, -0.1, 0.5, -1.0], np.float32)
    compressed = compress(samples, 2.0)
    assert compressed[0] == 0
    assert np.abs(compressed).max() == pytest.approx(1.0)
    assert np.all(np.abs(compressed[1:4]) > np.abs(samples[1:4]))
    assert np.all(np.sign(compressed) == np.sign(samples))
    assert compressed[3] == pytest.approx(np.tanh(1.0) / np.tanh(2.0))
    assert np.array_equal(compress(samples, 0.0), samples)


def test_quantize_to_16_bit() -> None:
    steps = quantize(np.array([0.0, 1 / 32768, 0.4 / 32768, 2.0, -2.0], np.float32)) * 32768
    assert steps.tolist() == [0, 1, 0, 32767, -32768]


def test_set_level_only_scales() -> None:
    samples = bursts()
    scaled = set_level(samples, -30.0, RATE)
    loud = np.abs(samples) > 0.01
    assert np.ptp(scaled[loud] / samples[loud]) < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.05, 2.0))
def test_transmit_is_pure_and_its_output_is_16_bit(seed: int, seconds: float) -> None:
    speech = bursts(3.0)[4000 : 4000 + int(seconds * RATE)]
    before = speech.copy()
    received = transmit(speech, RATE, np.random.default_rng(seed), SNR_RANGE)
    assert np.array_equal(received, transmit(speech, RATE, np.random.default_rng(seed), SNR_RANGE))
    assert np.array_equal(speech, before)
    assert received.shape == speech.shape and received.dtype == np.float32
    assert np.all(np.isfinite(received)) and received.min() >= -1 and received.max() < 1
    assert np.array_equal(np.rint(received * 32768), received * 32768)


def test_silence_is_an_error() -> None:
    with pytest.raises(ValueError, match="silence"):
        transmit(np.zeros(1600, np.float32), RATE, np.random.default_rng(0), SNR_RANGE)
