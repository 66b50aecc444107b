"""Mains hum is removed from a transmission, harmonics of a voice are not."""

import numpy as np
import pytest

from atc_asr.transcribe.clean import find_hum, remove_hum

RATE = 16_000
SECONDS = 4.0
TIMES = np.arange(round(SECONDS * RATE)) / RATE
NOISE = np.random.default_rng(1).normal(0, 0.01, len(TIMES)).astype(np.float32)


def tone(frequency: float, start: float = 0.0, end: float = SECONDS) -> np.ndarray:
    """A tone (S,) between two times in seconds, in silence."""
    sounds = (start <= TIMES) & (end > TIMES)
    return np.where(sounds, 0.1 * np.sin(2 * np.pi * frequency * TIMES), 0).astype(np.float32)


@pytest.mark.parametrize(("mains", "harmonic"), [(50.0, 1), (50.0, 6), (60.0, 1), (60.0, 3)])
def test_a_tone_throughout_the_transmission_is_removed(mains, harmonic):
    samples = NOISE + tone(harmonic * mains * 1.002)
    assert find_hum(samples, RATE, mains) == pytest.approx(mains * 1.002, abs=0.02)
    assert np.std(remove_hum(samples, RATE) - NOISE) < 0.003


@pytest.mark.parametrize("part", [0.25, 0.5, 0.65])
def test_a_vowel_at_a_harmonic_of_the_mains_stays(part):
    samples = NOISE + tone(250.0, end=part * SECONDS)
    assert np.array_equal(remove_hum(samples, RATE), samples)
