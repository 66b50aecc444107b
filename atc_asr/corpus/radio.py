"""A VHF voice channel: what microphone, transmitter, air and receiver leave of clean speech.

Amplitude-modulated aeronautical voice radio passes 300-3,400 Hz (ITU-T G.712 telephone band; 25 kHz channels of ICAO
Annex 10, volume III). Every function is pure: samples in, samples out, all chance from the generator it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.fft

from atc_asr.core.config import check_ranges, option

FRAME_SECONDS = 0.02
# frames less than this below the loudest one are speech
ACTIVE_DB = 30.0
PCM16 = 32768


@dataclass(frozen=True)
class RadioParams:
    """The channel; where there are two limits, each transmission draws its own value between them."""

    section: ClassVar[str] = "radio"
    band_low: float = option("lower edge of the voice band, Hz", above=0)
    band_high: float = option("upper edge of the voice band, Hz", above=0)
    band_slope: float = option("width of the transition at each edge, Hz", above=0)
    compression_low: float = option("drive of the soft compressor, least; 0 = none", low=0)
    compression_high: float = option("drive of the soft compressor, most", low=0)
    clip_low: float = option("share of speech samples that are clipped, least", low=0, high=0.5)
    clip_high: float = option("share of speech samples that are clipped, most", low=0, high=0.5)
    snr_low: float = option("speech to noise, dB, worst")
    snr_high: float = option("speech to noise, dB, best")
    tilt_low: float = option("slope of the noise spectrum, dB per octave, least; -3 = pink, 0 = white")
    tilt_high: float = option("slope of the noise spectrum, dB per octave, most")
    level_low: float = option("level of the speech, dB below full scale (RMS), quietest", high=0)
    level_high: float = option("level of the speech, dB below full scale (RMS), loudest", high=0)

    def __post_init__(self) -> None:
        check_ranges(self, ("band", "compression", "clip", "snr", "tilt", "level"))


def transmit(samples: np.ndarray, sample_rate: int, rng: np.random.Generator, params: RadioParams) -> np.ndarray:
    """Clean speech as the receiver gives it out: amplifier, clipping, voice band, noise of the same band, level.

    Args:
        samples: (S,) float32 speech.
        sample_rate: Hz.
        rng: draws the channel and its noise.

    Returns:
        (S,) float32 in [-1, 1), on the 16-bit grid k / 32768.

    Raises:
        ValueError: the samples are silent, so that there is no level to set.
    """
    if not np.any(samples):
        raise ValueError("a radio channel needs speech, got silence")
    drive = rng.uniform(params.compression_low, params.compression_high)
    clip_share = rng.uniform(params.clip_low, params.clip_high)
    snr = rng.uniform(params.snr_low, params.snr_high)
    tilt = rng.uniform(params.tilt_low, params.tilt_high)
    level = rng.uniform(params.level_low, params.level_high)

    def in_band(signal: np.ndarray) -> np.ndarray:
        return band_pass(signal, sample_rate, params.band_low, params.band_high, params.band_slope)

    speech = clip(compress(in_band(samples), drive), clip_share, sample_rate)
    # once more: saturation makes overtones outside the band, and the noise must be measured as it is heard
    speech, noise = in_band(speech), in_band(coloured_noise(len(samples), sample_rate, rng, tilt))
    return quantize(set_level(add_noise(speech, noise, snr, sample_rate), level, sample_rate))


def band_gain(frequencies: np.ndarray, low: float, high: float, slope: float) -> np.ndarray:
    """Gain of a band-pass with smooth edges (3 x^2 - 2 x^3): 1 from `low` to `high` Hz, 0 from `slope` Hz outside."""
    edge = np.interp(frequencies, [low - slope, low, high, high + slope], [0, 1, 1, 0]).astype(np.float32)
    return edge * edge * (3 - 2 * edge)


def filter_spectrum(samples: np.ndarray, sample_rate: int, gain_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Samples with each frequency multiplied by `gain_of(frequencies)`; zero-phase, padded against wrapping round."""
    size = scipy.fft.next_fast_len(len(samples) + int(sample_rate * FRAME_SECONDS), real=True)
    spectrum = scipy.fft.rfft(samples, size)
    gain = gain_of(scipy.fft.rfftfreq(size, 1 / sample_rate))
    return scipy.fft.irfft(spectrum * gain, size)[: len(samples)]


def band_pass(samples: np.ndarray, sample_rate: int, low: float, high: float, slope: float) -> np.ndarray:
    """(S,) float32 without what lies outside `low` to `high` Hz."""
    return filter_spectrum(samples, sample_rate, lambda frequencies: band_gain(frequencies, low, high, slope))


def active_frames(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The 20 ms frames that hold speech, (num_frames, frame): at most ACTIVE_DB below the loudest one."""
    frame = min(int(sample_rate * FRAME_SECONDS), len(samples))
    num_frames = len(samples) // frame
    frames = samples[: num_frames * frame].reshape(num_frames, frame)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return frames[power >= power.max() * 10 ** (-ACTIVE_DB / 10)]


def speech_rms(samples: np.ndarray, sample_rate: int) -> float:
    """Root mean square over the active frames."""
    return float(np.sqrt(np.mean(np.square(active_frames(samples, sample_rate), dtype=np.float64))))


def compress(samples: np.ndarray, drive: float) -> np.ndarray:
    """A microphone amplifier that saturates softly: tanh(drive x) / tanh(drive) of the peak-normalised samples."""
    peak = float(np.abs(samples).max())
    if drive == 0 or peak == 0:
        return samples
    return np.tanh(samples * np.float32(drive / peak)) * np.float32(peak / np.tanh(drive))


def clip(samples: np.ndarray, share: float, sample_rate: int) -> np.ndarray:
    """The loudest `share` of the speech samples cut to one value."""
    if share == 0:
        return samples
    limit = np.quantile(np.abs(active_frames(samples, sample_rate)), 1 - share)
    return np.clip(samples, -limit, limit)


def coloured_noise(num_samples: int, sample_rate: int, rng: np.random.Generator, tilt: float) -> np.ndarray:
    """(S,) float32 Gaussian noise whose power spectrum falls by -`tilt` dB per octave."""
    white = rng.standard_normal(num_samples, dtype=np.float32)
    # 10 log10 of power: tilt dB at each doubling; flat below 100 Hz, where the slope would go to infinity
    exponent = tilt / (20 * np.log10(2))
    return filter_spectrum(
        white, sample_rate, lambda frequencies: (np.maximum(frequencies, 100.0) / 1000.0).astype(np.float32) ** exponent
    )


def add_noise(speech: np.ndarray, noise: np.ndarray, snr: float, sample_rate: int) -> np.ndarray:
    """Speech + noise with the speech's RMS over its active frames `snr` dB above the noise's."""
    noise_rms = float(np.sqrt(np.mean(np.square(noise, dtype=np.float64))))
    return speech + noise * np.float32(speech_rms(speech, sample_rate) / noise_rms * 10 ** (-snr / 20))


def set_level(samples: np.ndarray, level: float, sample_rate: int) -> np.ndarray:
    """Samples with their active RMS at `level` dB of full scale."""
    return samples * np.float32(10 ** (level / 20) / speech_rms(samples, sample_rate))


def quantize(samples: np.ndarray) -> np.ndarray:
    """Samples on the grid of 16-bit PCM, cut at full scale."""
    steps = np.clip(np.rint(samples * PCM16), -PCM16, PCM16 - 1)
    return (steps / PCM16).astype(np.float32)
