"""Simulates a VHF voice channel: microphone, transmitter, noise and receiver, applied to clean speech.

Amplitude-modulated aeronautical voice radio passes 300-3,400 Hz (ITU-T G.712 telephone band; 25 kHz channels of ICAO
Annex 10, volume III). All functions are pure; random numbers come from the generator that is passed in.
"""

from collections.abc import Callable

import numpy as np
import scipy.fft

from atc_asr.corpus.audio import FULL_SCALE

# Each transmission draws its own value from a range.
BAND = (300.0, 3400.0)  # edges of the voice band, Hz
BAND_TRANSITION = 100.0  # width of the transition outside each edge, Hz
COMPRESSION_RANGE = (0.0, 2.0)  # drive of the soft compressor; 0 = none
CLIPPED_RANGE = (0.0, 0.02)  # fraction of speech samples that are clipped
NOISE_SLOPE_RANGE = (-3.0, 0.0)  # slope of the noise spectrum, dB per octave: -3 = pink, 0 = white
LEVEL_RANGE = (-28.0, -18.0)  # RMS level of the speech, dB of full scale
FRAME_SECONDS = 0.02
ACTIVE_DB = 30.0  # frames at most this far below the loudest one count as speech, dB


def transmit(
    samples: np.ndarray, sample_rate: int, rng: np.random.Generator, snr_range: tuple[float, float]
) -> np.ndarray:
    """Send clean speech through a random channel: compression, clipping, band-pass, noise in the band, level.

    Args:
        samples: (S,) float32 speech.
        sample_rate: Hz.
        rng: source of the channel's random numbers.
        snr_range: lowest and highest signal-to-noise ratio, dB.

    Returns:
        (S,) float32 in [-1, 1), multiples of 1 / 32768.

    Raises:
        ValueError: the samples are silent, so that a level cannot be set.
    """
    if not np.any(samples):
        raise ValueError("a radio channel needs speech, got silence")
    drive = rng.uniform(*COMPRESSION_RANGE)
    clipped_fraction = rng.uniform(*CLIPPED_RANGE)
    snr = rng.uniform(*snr_range)
    slope = rng.uniform(*NOISE_SLOPE_RANGE)
    level = rng.uniform(*LEVEL_RANGE)

    def in_band(signal: np.ndarray) -> np.ndarray:
        return band_pass(signal, sample_rate, *BAND, BAND_TRANSITION)

    speech = clip(compress(in_band(samples), drive), clipped_fraction, sample_rate)
    # Clipping adds harmonics outside the band; the signal-to-noise ratio is defined within it.
    speech, noise = in_band(speech), in_band(coloured_noise(len(samples), sample_rate, rng, slope))
    return quantize(set_level(add_noise(speech, noise, snr, sample_rate), level, sample_rate))


def filter_spectrum(samples: np.ndarray, sample_rate: int, gain_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiply each frequency by `gain_of(frequencies)`: zero-phase, zero-padded against circular convolution."""
    size = scipy.fft.next_fast_len(len(samples) + int(sample_rate * FRAME_SECONDS), real=True)
    spectrum = scipy.fft.rfft(samples, size)
    gain = gain_of(scipy.fft.rfftfreq(size, 1 / sample_rate))
    return scipy.fft.irfft(spectrum * gain, size)[: len(samples)]


def band_pass(samples: np.ndarray, sample_rate: int, low: float, high: float, transition: float) -> np.ndarray:
    """Zero-phase band-pass with smooth edges (3 x^2 - 2 x^3).

    The gain is 1 from `low` to `high` Hz, and 0 more than `transition` Hz outside of them.
    """

    def gain(frequencies: np.ndarray) -> np.ndarray:
        edge = np.interp(frequencies, [low - transition, low, high, high + transition], [0, 1, 1, 0])
        edge = edge.astype(np.float32)
        return edge * edge * (3 - 2 * edge)

    return filter_spectrum(samples, sample_rate, gain)


def active_frames(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The 20 ms frames with speech, (num_frames, samples per frame): at most ACTIVE_DB below the loudest one."""
    frame = min(int(sample_rate * FRAME_SECONDS), len(samples))
    num_frames = len(samples) // frame
    frames = samples[: num_frames * frame].reshape(num_frames, frame)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return frames[power >= power.max() * 10 ** (-ACTIVE_DB / 10)]


def speech_rms(samples: np.ndarray, sample_rate: int) -> float:
    """Root mean square over the active frames."""
    return float(np.sqrt(np.mean(np.square(active_frames(samples, sample_rate), dtype=np.float64))))


def compress(samples: np.ndarray, drive: float) -> np.ndarray:
    """Soft compression: tanh(drive x) / tanh(drive) of the peak-normalised samples."""
    peak = float(np.abs(samples).max())
    if drive == 0 or peak == 0:
        return samples
    return np.tanh(samples * np.float32(drive / peak)) * np.float32(peak / np.tanh(drive))


def clip(samples: np.ndarray, fraction: float, sample_rate: int) -> np.ndarray:
    """Clip the loudest `fraction` of the speech samples to one value."""
    if fraction == 0:
        return samples
    limit = np.quantile(np.abs(active_frames(samples, sample_rate)), 1 - fraction)
    return np.clip(samples, -limit, limit)


def coloured_noise(num_samples: int, sample_rate: int, rng: np.random.Generator, slope: float) -> np.ndarray:
    """(S,) float32 Gaussian noise with a power spectrum that changes by `slope` dB per octave."""
    white = rng.standard_normal(num_samples, dtype=np.float32)
    # An amplitude exponent of slope / (20 log10 2) is `slope` dB of power per octave; flat below 100 Hz.
    exponent = slope / (20 * np.log10(2))
    return filter_spectrum(
        white, sample_rate, lambda frequencies: (np.maximum(frequencies, 100.0) / 1000.0).astype(np.float32) ** exponent
    )


def add_noise(speech: np.ndarray, noise: np.ndarray, snr: float, sample_rate: int) -> np.ndarray:
    """Add noise so that the RMS of the speech in its active frames is `snr` dB above the RMS of the noise."""
    noise_rms = float(np.sqrt(np.mean(np.square(noise, dtype=np.float64))))
    return speech + noise * np.float32(speech_rms(speech, sample_rate) / noise_rms * 10 ** (-snr / 20))


def set_level(samples: np.ndarray, level: float, sample_rate: int) -> np.ndarray:
    """Scale the samples so that the RMS of their active frames is `level` dB of full scale."""
    return samples * np.float32(10 ** (level / 20) / speech_rms(samples, sample_rate))


def quantize(samples: np.ndarray) -> np.ndarray:
    """Round to 16-bit PCM, clipped at full scale."""
    steps = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return (steps / FULL_SCALE).astype(np.float32)
