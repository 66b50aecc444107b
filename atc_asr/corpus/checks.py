"""Validation of single clips: header, text, samples and measurements against limits.

Every check returns None or a `Rejection` with the measured value and the limit.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from atc_asr.corpus.audio import Header
from atc_asr.corpus.params import CheckParams

MIN_SAMPLE_RATE = 8_000  # Hz
MAX_SAMPLE_RATE = 48_000  # Hz
MAX_CHANNELS = 2  # mixed down to one
MIN_CHARACTERS_PER_SECOND = 0.5
# Rules of corpora that leave clips out. Such clips are counted and listed, but are no rejections: a corpus of which
# every eleventh transmission is not English is not damaged.
LEFT_OUT = {
    "non_english": "English",
    "marked_incorrect": "a transcript that its corpus does not mark as incorrect",
    "marked_corrupt": "a recording that its corpus does not mark as corrupt",
    "empty_transcript": "a transmission",
}
BANDWIDTH_RANGE = 60.0  # the bandwidth ends where the mean spectrum stays this far below its peak, dB
BANDWIDTH_FRAME = 512  # samples of one spectrum
BANDWIDTH_WINDOW = np.hanning(BANDWIDTH_FRAME).astype(np.float32)
MAX_BANDWIDTH_FRAMES = 200  # spectra averaged, spread over the clip


@dataclass(frozen=True)
class Rejection:
    """Why a clip is rejected: the name of the check, the measured value and the limit."""

    reason: str
    value: str
    limit: str


@dataclass(frozen=True)
class Measurements:
    """Properties of decoded audio: level (RMS) in dB of full scale, bandwidth in Hz."""

    level: float
    clipping: float  # fraction of samples at full scale
    dc_offset: float  # mean of the samples, full scale 1
    bandwidth: float  # highest frequency with content


def measure(samples: np.ndarray, sample_rate: int) -> Measurements:
    """Measure samples (num_samples,), float32, full scale 1, at their native rate."""
    # not np.dot, whose threads compete with the other processes for cores
    power = float(np.mean(np.square(samples), dtype=np.float64))
    return Measurements(
        level=round(10 * float(np.log10(max(power, 1e-20))), 2),
        clipping=round(float(np.count_nonzero(np.abs(samples) >= 0.999)) / len(samples), 6),
        dc_offset=round(float(samples.mean()), 6),
        bandwidth=round(bandwidth(samples, sample_rate), 1),
    )


def bandwidth(samples: np.ndarray, sample_rate: int) -> float:
    """The highest frequency at which the mean spectrum is within `BANDWIDTH_RANGE` dB of its peak, Hz.

    It shows the true rate of upsampled speech: 8 kHz audio has at most 4,000 Hz whatever its header says.
    """
    count = max(1, len(samples) // BANDWIDTH_FRAME)
    whole = np.zeros(count * BANDWIDTH_FRAME, dtype=np.float32)
    used = min(len(samples), len(whole))
    whole[:used] = samples[:used]
    frames = whole.reshape(count, BANDWIDTH_FRAME)[:: -(-count // MAX_BANDWIDTH_FRAMES)]
    spectra = np.fft.rfft(frames * BANDWIDTH_WINDOW, axis=1)
    power = np.mean(spectra.real**2 + spectra.imag**2, axis=0)
    in_range = np.nonzero(power >= power.max() * 10 ** (-BANDWIDTH_RANGE / 10))[0]
    return float(in_range[-1]) * sample_rate / BANDWIDTH_FRAME


def check_header(header: Header, params: CheckParams) -> Rejection | None:
    """Checks before decoding, so that a three-hour file is rejected before it fills the memory."""
    if header.missing:
        return Rejection("truncated_audio", f"{header.missing} bytes missing", "0")
    if not MIN_SAMPLE_RATE <= header.sample_rate <= MAX_SAMPLE_RATE:
        limit = MIN_SAMPLE_RATE if header.sample_rate < MIN_SAMPLE_RATE else MAX_SAMPLE_RATE
        return Rejection("sample_rate", str(header.sample_rate), str(limit))
    if header.channels > MAX_CHANNELS:
        return Rejection("channels", str(header.channels), str(MAX_CHANNELS))
    if header.duration < params.min_duration:
        return Rejection("too_short", f"{header.duration:.3f}", f"{params.min_duration:g}")
    if header.duration > params.max_duration:
        return Rejection("too_long", f"{header.duration:.3f}", f"{params.max_duration:g}")
    return None


def check_samples(samples: np.ndarray, header: Header) -> Rejection | None:
    """Checks that decoded samples (num_samples, channels) are complete and finite."""
    if len(samples) < header.num_samples:
        return Rejection("truncated_audio", f"{header.num_samples - len(samples)} samples missing", "0")
    if not np.isfinite(samples).all():
        return Rejection("not_finite", str(int(np.count_nonzero(~np.isfinite(samples)))), "0")
    return None


def check_measurements(found: Measurements, params: CheckParams) -> Rejection | None:
    """Checks of level, clipping, DC offset and bandwidth."""
    for reason, value, limit, is_ok in (
        ("silence", found.level, params.min_level, found.level >= params.min_level),
        ("clipping", found.clipping, params.max_clipping, found.clipping <= params.max_clipping),
        ("dc_offset", found.dc_offset, params.max_dc_offset, abs(found.dc_offset) <= params.max_dc_offset),
        ("bandwidth", found.bandwidth, params.min_bandwidth, found.bandwidth >= params.min_bandwidth),
    ):
        if not is_ok:
            return Rejection(reason, f"{value:g}", f"{limit:g}")
    return None


def check_text(transcript: str, foreign: str, duration: float, params: CheckParams) -> Rejection | None:
    """Checks of a normalised transcript; `foreign` are the letters lost in normalisation, `duration` is in seconds."""
    if len(foreign) > params.max_foreign_characters:
        return Rejection("foreign_characters", foreign[:40], str(params.max_foreign_characters))
    if not any(char.isalnum() for char in transcript):
        return Rejection("empty_text", transcript, "a letter or digit")
    rate = len(transcript) / duration
    if rate < MIN_CHARACTERS_PER_SECOND:
        return Rejection("too_slow", f"{rate:.2f}", f"{MIN_CHARACTERS_PER_SECOND:g}")
    if rate > params.max_characters_per_second:
        return Rejection("too_fast", f"{rate:.2f}", f"{params.max_characters_per_second:g}")
    required, frames = min_frames(transcript), num_frames(duration, params.frame_ms)
    if required > frames:
        return Rejection("does_not_fit", str(required), str(frames))
    return None


def min_frames(transcript: str) -> int:
    """Frames that CTC needs for a transcript: one per character, and a blank between equal neighbours (Graves 2006)."""
    return len(transcript) + sum(one == other for one, other in pairwise(transcript))


def num_frames(duration: float, frame_ms: int) -> int:
    """Encoder frames of `duration` seconds: windows are centred, so both ends have one."""
    return int(duration / (frame_ms / 1000)) + 1
