"""Removes from a transmission what receivers add to it: a constant offset, mains hum and an unusual level.

The network has not learnt them: its features are not those of a filter in the voice band. Speech stays as it is.
"""

import numpy as np
import soxr

from atc_asr.transcribe.detectors import VoiceBand, fft_size

MIN_OFFSET = 0.01  # smaller offsets are no receiver's, as a fraction of the standard deviation of the samples
MAINS = (50.0, 60.0)  # Hz
HARMONICS = range(1, 21)
TOLERANCE = 0.005  # relative error of the mains frequency, with that of the recorder's clock
SEARCH_RATE = 4000  # Hz, at which hum is looked for: all harmonics are below half of it
PADDING = 4  # zero padding of the spectrum, so that the peak of a tone is found between two frequencies
NEIGHBOURS = 25.0  # frequencies around a tone that it must exceed, Hz
MIN_PROMINENCE = 5.0  # by which factor
NUM_PARTS = 8  # parts of a transmission in which a tone must have the same phase
# Coherence: 1 = the same phase and amplitude in all parts, 1 / NUM_PARTS = random phases; of a voice up to 0.7.
HUM_COHERENCE = 0.75  # of the strongest harmonic of a hum
HARMONIC_COHERENCE = 0.5  # of its further harmonics
LEVELS = (-28.0, -18.0)  # of speech, dB of full scale; those of the built-in corpus (atc_asr/corpus/radio.py)
LEVEL_FRAME = 0.02  # seconds
ACTIVE_DB = 30.0  # frames at most this far below the loudest one count as speech, dB


def clean(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Samples (S,) float32 without offset and hum, at a level between `LEVELS`."""
    offset = samples.mean()
    if abs(offset) > MIN_OFFSET * samples.std():
        samples = samples - offset
    return set_level(remove_hum(samples, sample_rate), sample_rate)


def remove_hum(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Subtract mains hum and its harmonics from samples (S,) where they are found."""
    for mains in MAINS:
        frequency = find_hum(soxr.resample(samples, sample_rate, SEARCH_RATE), SEARCH_RATE, mains)
        if frequency is None:
            continue
        fundamental = np.exp(-2j * np.pi * frequency / sample_rate * np.arange(len(samples)))
        carrier = np.ones_like(fundamental)
        for _ in HARMONICS:
            carrier *= fundamental
            amplitude, coherence = _tone(samples, carrier)
            if coherence > HARMONIC_COHERENCE:
                samples = samples - (2 * amplitude * carrier.conj()).real.astype(np.float32)
    return samples


def find_hum(samples: np.ndarray, sample_rate: int, mains: float) -> float | None:
    """The exact mains frequency (Hz) in samples (S,), None where there is no hum.

    It is that of the strongest harmonic that stands out of the spectrum and has the same phase in all parts of the
    transmission, which no harmonic of a voice has.
    """
    size = fft_size(PADDING * len(samples))
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size))
    per_hertz = size / sample_rate
    found = []
    for number in HARMONICS:
        centre, width = number * mains * per_hertz, round(NEIGHBOURS * per_hertz)
        first = int(centre * (1 - TOLERANCE))
        peak = first + int(np.argmax(spectrum[first : int(centre * (1 + TOLERANCE)) + 2]))
        if spectrum[peak] > MIN_PROMINENCE * np.median(spectrum[max(0, peak - width) : peak + width]):
            found.append((spectrum[peak], number, _refine(spectrum, peak) / per_hertz))
    for _, number, frequency in sorted(found, reverse=True):
        carrier = np.exp(-2j * np.pi * frequency / sample_rate * np.arange(len(samples)))
        if _tone(samples, carrier)[1] > HUM_COHERENCE:
            return frequency / number
    return None


def _tone(samples: np.ndarray, carrier: np.ndarray) -> tuple[complex, float]:
    """Complex amplitude at the frequency of a carrier (S,), and its coherence between the parts."""
    parts = np.array([part.mean() for part in np.array_split(samples * carrier, NUM_PARTS)])
    amplitude = complex(parts.mean())
    return amplitude, abs(amplitude) ** 2 / max(float(np.mean(np.abs(parts) ** 2)), 1e-20)


def _refine(spectrum: np.ndarray, peak: int) -> float:
    """The position of a peak between the frequencies, by a parabola through the logarithms around it."""
    left, middle, right = np.log(np.maximum(spectrum[peak - 1 : peak + 2], 1e-12))
    curvature = left - 2 * middle + right
    return peak + (float(np.clip(0.5 * (left - right) / curvature, -1, 1)) if curvature < 0 else 0.0)


def set_level(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Scale samples (S,) whose level of speech is outside of `LEVELS` to the nearer limit."""
    frame = round(LEVEL_FRAME * sample_rate)
    band = VoiceBand(sample_rate)(samples)
    power = np.square(band[: len(band) // frame * frame].reshape(-1, frame)).mean(axis=1)
    active = power[power >= power.max(initial=0.0) * 10 ** (-ACTIVE_DB / 10)]
    if not active.size or active.max() == 0:
        return samples
    level = 10 * np.log10(active.mean())
    return samples * np.float32(10 ** ((np.clip(level, *LEVELS) - level) / 20))
