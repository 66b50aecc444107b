"""The channel: each of its quantities measured on what comes out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.corpus.radio import (
    RadioParams,
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
PARAMS = RadioParams(
    band_low=300.0,
    band_high=3400.0,
    band_slope=100.0,
    compression_low=0.0,
    compression_high=2.0,
    clip_low=0.0,
    clip_high=0.02,
    snr_low=10.0,
    snr_high=30.0,
    tilt_low=-3.0,
    tilt_high=0.0,
    level_low=-28.0,
    level_high=-18.0,
)


def fixed(**values: float) -> RadioParams:
    """PARAMS with both limits of a quantity at one value."""
    changes = {f"{name}_{end}": value for name, value in values.items() for end in ("low", "high")}
    return dataclasses.replace(PARAMS, **changes)


def bursts(seconds: float = 3.0) -> np.ndarray:
    """Speech-like: harmonics of 120 Hz up to 7 kHz, switched on and off four times a second, quiet at both ends."""
    times = np.arange(int(RATE * seconds)) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * number * times + number**2) / number for number in range(1, 58))
    gate = (np.sin(2 * np.pi * 4 * times) > 0) & (times > 0.2) & (times < seconds - 0.2)
    return (0.2 * voice * gate).astype(np.float32)


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
    # a tone that starts at once is not a pure tone: 1 % leaks
    assert np.abs(passed[middle] - gain * tone[middle]).max() < 0.02


def test_band_pass_keeps_length_and_does_not_wrap_round() -> None:
    impulse = np.zeros(8000, np.float32)
    impulse[10] = 1
    passed = band_pass(impulse, RATE, 300, 3400, 100)
    assert len(passed) == 8000
    assert np.abs(passed[-200:]).max() < 0.01 * np.abs(passed).max()


def test_nothing_is_left_outside_the_band() -> None:
    received = transmit(bursts(), RATE, np.random.default_rng(1), PARAMS)
    inside, below, above = (band_power(received, *edges) for edges in ((200, 3500), (0, 150), (3600, 8000)))
    assert decibels(inside / below) > 40
    assert decibels(inside / above) > 40


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
@pytest.mark.parametrize("tilt", [-3.0, 0.0])
def test_snr_is_the_one_asked_for(snr: float, tilt: float) -> None:
    received = transmit(bursts(), RATE, np.random.default_rng(2), fixed(snr=snr, tilt=tilt, compression=0.0, clip=0.0))
    clean = transmit(bursts(), RATE, np.random.default_rng(2), fixed(snr=100.0, compression=0.0, clip=0.0))
    # the quiet first 0.15 s hold noise only
    noise = received[: int(0.15 * RATE)].std()
    loud = np.abs(clean) > 0
    gain = np.dot(received[loud], clean[loud]) / np.dot(clean[loud], clean[loud])
    assert 20 * np.log10(gain * speech_rms(clean, RATE) / noise) == pytest.approx(snr, abs=1.0)


def test_added_noise_has_exactly_its_share() -> None:
    speech, noise = bursts(), coloured_noise(3 * RATE, RATE, np.random.default_rng(0), -3.0)
    added = add_noise(speech, noise, 12.0, RATE) - speech
    assert 20 * np.log10(speech_rms(speech, RATE) / added.std()) == pytest.approx(12.0, abs=0.01)


@pytest.mark.parametrize("tilt", [-6.0, -3.0, 0.0])
def test_noise_slope(tilt: float) -> None:
    noise = coloured_noise(20 * RATE, RATE, np.random.default_rng(0), tilt)
    # an octave has twice the width: power per octave changes by tilt + 3 dB
    octaves = [band_power(noise, low, 2 * low) for low in (250, 500, 1000, 2000)]
    steps = np.diff([decibels(power) for power in octaves])
    assert np.mean(steps) == pytest.approx(tilt + 10 * np.log10(2), abs=0.3)


def test_level_is_speech_level() -> None:
    received = transmit(bursts(), RATE, np.random.default_rng(3), fixed(level=-20.0))
    assert 20 * np.log10(speech_rms(received, RATE)) == pytest.approx(-20.0, abs=0.05)


def test_speech_rms_ignores_quiet() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)
    padded = np.concatenate([np.zeros(RATE, np.float32), tone, np.zeros(2 * RATE, np.float32)])
    assert speech_rms(padded, RATE) == pytest.approx(np.sqrt(0.5), rel=1e-3)


def test_clip_share_is_of_speech() -> None:
    speech = np.concatenate([np.zeros(3 * RATE, np.float32), bursts()])
    limited = clip(speech, 0.05, RATE)
    active = np.abs(bursts()) > 0
    assert np.mean(np.abs(limited[3 * RATE :][active]) >= np.abs(limited).max() - 1e-7) == pytest.approx(0.05, abs=0.01)
    assert np.array_equal(clip(speech, 0.0, RATE), speech)


def test_compression_lifts_the_quiet_and_keeps_the_peak() -> None:
    samples = np.array([0.0, 0.05, -0.1, 0.5, -1.0], np.float32)
    compressed = compress(samples, 2.0)
    assert compressed[0] == 0
    assert np.abs(compressed).max() == pytest.approx(1.0)
    assert np.all(np.abs(compressed[1:4]) > np.abs(samples[1:4]))
    assert np.all(np.sign(compressed) == np.sign(samples))
    assert compressed[3] == pytest.approx(np.tanh(1.0) / np.tanh(2.0))
    assert np.array_equal(compress(samples, 0.0), samples)


def test_quantize_is_the_16_bit_grid() -> None:
    steps = quantize(np.array([0.0, 1 / 32768, 0.4 / 32768, 2.0, -2.0], np.float32)) * 32768
    assert steps.tolist() == [0, 1, 0, 32767, -32768]


def test_set_level_scales_only() -> None:
    samples = bursts()
    scaled = set_level(samples, -30.0, RATE)
    loud = np.abs(samples) > 0.01
    assert np.ptp(scaled[loud] / samples[loud]) < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.05, 2.0))
def test_transmit_is_pure_and_sane(seed: int, seconds: float) -> None:
    speech = bursts(3.0)[4000 : 4000 + int(seconds * RATE)]
    before = speech.copy()
    received = transmit(speech, RATE, np.random.default_rng(seed), PARAMS)
    assert np.array_equal(received, transmit(speech, RATE, np.random.default_rng(seed), PARAMS))
    assert np.array_equal(speech, before)
    assert received.shape == speech.shape and received.dtype == np.float32
    assert np.all(np.isfinite(received)) and received.min() >= -1 and received.max() < 1
    assert np.array_equal(np.rint(received * 32768), received * 32768)


def test_silence_is_refused() -> None:
    with pytest.raises(ValueError, match="silence"):
        transmit(np.zeros(1600, np.float32), RATE, np.random.default_rng(0), PARAMS)


@pytest.mark.parametrize("name", ["band", "compression", "clip", "snr", "tilt", "level"])
def test_swapped_limits_are_refused(name: str) -> None:
    low, high = getattr(PARAMS, f"{name}_low"), getattr(PARAMS, f"{name}_high")
    with pytest.raises(InputError, match=rf"radio\.{name}_low: got .* wanted at most {name}_high"):
        dataclasses.replace(PARAMS, **{f"{name}_low": high, f"{name}_high": low})
