"""The data gate: which clips may become training or test data, and by which rule the others go.

Every check returns None or a `Rejection` that carries the measured value and the limit it broke.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from atc_asr.corpus.audio import Header
from atc_asr.corpus.params import CheckParams

BANDWIDTH_FRAME = 512  # samples of one spectrum
BANDWIDTH_WINDOW = np.hanning(BANDWIDTH_FRAME).astype(np.float32)
BANDWIDTH_FRAMES = 200  # spectra averaged at most, spread over the clip


@dataclass(frozen=True)
class Rejection:
    """Why a clip goes: the rule's name, what was measured, and the limit."""

    reason: str
    value: str
    limit: str


@dataclass(frozen=True)
class Measures:
    """What the gate measures of decoded audio.

    Attributes:
        level: RMS, dB of full scale.
        clipping: share of samples at full scale.
        dc_offset: mean of the samples.
        bandwidth: highest frequency in use, Hz.
    """

    level: float
    clipping: float
    dc_offset: float
    bandwidth: float


def measure(samples: np.ndarray, sample_rate: int, bandwidth_range: float) -> Measures:
    """Measures of samples (num_samples,), float32, full scale 1, at their native rate."""
    # not np.dot: its threads fight over the cores with the other processes
    power = float(np.mean(np.square(samples), dtype=np.float64))
    return Measures(
        level=round(10 * float(np.log10(max(power, 1e-20))), 2),
        clipping=round(float(np.count_nonzero(np.abs(samples) >= 0.999)) / len(samples), 6),
        dc_offset=round(float(samples.mean()), 6),
        bandwidth=round(bandwidth(samples, sample_rate, bandwidth_range), 1),
    )


def bandwidth(samples: np.ndarray, sample_rate: int, bandwidth_range: float) -> float:
    """The highest frequency at which the mean spectrum is within `bandwidth_range` dB of its peak, in Hz.

    Narrow-band speech that was upsampled ends at half its true rate, whatever its header says.
    """
    count = max(1, len(samples) // BANDWIDTH_FRAME)
    whole = np.zeros(count * BANDWIDTH_FRAME, dtype=np.float32)
    used = min(len(samples), len(whole))
    whole[:used] = samples[:used]
    frames = whole.reshape(count, BANDWIDTH_FRAME)[:: -(-count // BANDWIDTH_FRAMES)]
    spectra = np.fft.rfft(frames * BANDWIDTH_WINDOW, axis=1)
    power = np.mean(spectra.real**2 + spectra.imag**2, axis=0)
    heard = np.nonzero(power >= power.max() * 10 ** (-bandwidth_range / 10))[0]
    return float(heard[-1]) * sample_rate / BANDWIDTH_FRAME


def check_header(header: Header, params: CheckParams) -> Rejection | None:
    """Checks that need no decoding, so that a three-hour file is refused before it fills the memory."""
    if header.missing:
        return Rejection("truncated_audio", f"{header.missing} bytes missing", "0")
    if header.sample_rate < params.min_sample_rate:
        return Rejection("sample_rate", str(header.sample_rate), str(params.min_sample_rate))
    if header.sample_rate > params.max_sample_rate:
        return Rejection("sample_rate", str(header.sample_rate), str(params.max_sample_rate))
    if header.channels > params.max_channels:
        return Rejection("channels", str(header.channels), str(params.max_channels))
    if header.duration < params.min_duration:
        return Rejection("too_short", f"{header.duration:.3f}", f"{params.min_duration:g}")
    if header.duration > params.max_duration:
        return Rejection("too_long", f"{header.duration:.3f}", f"{params.max_duration:g}")
    return None


def check_samples(samples: np.ndarray, header: Header) -> Rejection | None:
    """Checks that decoded samples (num_samples, channels) are all there and are numbers."""
    if len(samples) < header.num_samples:
        return Rejection("truncated_audio", f"{header.num_samples - len(samples)} samples missing", "0")
    if not np.isfinite(samples).all():
        return Rejection("not_finite", str(int(np.count_nonzero(~np.isfinite(samples)))), "0")
    return None


def check_measures(measures: Measures, params: CheckParams) -> Rejection | None:
    """Checks of level, clipping, offset and bandwidth."""
    if measures.level < params.min_level:
        return Rejection("silence", f"{measures.level:g}", f"{params.min_level:g}")
    if measures.clipping > params.max_clipping:
        return Rejection("clipping", f"{measures.clipping:g}", f"{params.max_clipping:g}")
    if abs(measures.dc_offset) > params.max_dc_offset:
        return Rejection("dc_offset", f"{measures.dc_offset:g}", f"{params.max_dc_offset:g}")
    if measures.bandwidth < params.min_bandwidth:
        return Rejection("bandwidth", f"{measures.bandwidth:g}", f"{params.min_bandwidth:g}")
    return None


def check_text(transcript: str, foreign: str, duration: float, params: CheckParams) -> Rejection | None:
    """Checks of a normalised transcript against its audio.

    Args:
        foreign: the letters that normalisation lost.
        duration: seconds.
    """
    if len(foreign) > params.max_foreign_characters:
        return Rejection("foreign_characters", foreign[:40], str(params.max_foreign_characters))
    if not any(char.isalnum() for char in transcript):
        return Rejection("empty_text", transcript, "a letter or digit")
    rate = len(transcript) / duration
    if rate < params.min_characters_per_second:
        return Rejection("too_slow", f"{rate:.2f}", f"{params.min_characters_per_second:g}")
    if rate > params.max_characters_per_second:
        return Rejection("too_fast", f"{rate:.2f}", f"{params.max_characters_per_second:g}")
    needed, frames = frames_needed(transcript), num_frames(duration, params.frame_seconds)
    if needed > frames:
        return Rejection("does_not_fit", str(needed), str(frames))
    return None


def frames_needed(transcript: str) -> int:
    """Frames that CTC needs at least: one a character, and a blank between equal neighbours (Graves 2006)."""
    return len(transcript) + sum(one == other for one, other in pairwise(transcript))


def num_frames(duration: float, frame_seconds: float) -> int:
    """Encoder frames of a clip: centred windows, so that the first and the last one count."""
    return int(duration / frame_seconds) + 1


class Duplicates:
    """Finds what comes twice, in the order it is asked."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._first: dict[str, str] = {}

    def check(self, key: str, utterance_id: str) -> Rejection | None:
        """None for a new key; for one that was there before, a rejection that names its first owner."""
        if key in self._first:
            return Rejection(self._reason, f"as {self._first[key]}", "once")
        self._first[key] = utterance_id
        return None
