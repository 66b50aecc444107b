"""Scores of frames, and the threshold above which a frame belongs to a transmission: by level, or by a network.

N frames of F samples.
"""

import collections
import functools
import importlib.util
import math
from pathlib import Path
from typing import Protocol

import numpy as np

from atc_asr.core.errors import InputError
from atc_asr.transcribe.params import SegmentParams

VOICE_BAND = (300.0, 3400.0)  # Hz; receivers add a constant offset and mains hum below it
BAND_ORDER = 6  # 83 dB of attenuation at 60 Hz, 48 dB at 120 Hz
FADED = 1e-10  # of the peak: where the impulse response ends
MIN_POWER = 1e-10  # power of digital silence, -100 dB of full scale
FLOOR_PERCENTILE = 10.0  # percentile of the recent levels that is the noise floor
FLOOR_SECONDS = 10.0  # duration of the recent levels
# Silero's network reads 32 ms and the 4 ms before them, at 16 kHz.
VAD_FILE = "data/silero_vad_16k_sequence.onnx"
VAD_SAMPLE_RATE = 16_000
VAD_CONTEXT = 64
VAD_THRESHOLD = 0.5  # probability of speech


@functools.cache
def band_response(sample_rate: int) -> np.ndarray:
    """Impulse response (R,) of a Butterworth band-pass for `VOICE_BAND`, made digital by the bilinear transform."""
    low, high = np.tan(np.pi / sample_rate * np.minimum(VOICE_BAND, 0.45 * sample_rate))
    size = fft_size(max(1024, sample_rate // 4))  # so long that the end of the response has faded
    frequencies = np.tan(np.pi * np.arange(1, size // 2) / size)
    lowpass = 1j * (frequencies**2 - low * high) / (frequencies * (high - low))
    poles = np.exp(1j * np.pi * (0.5 + (np.arange(BAND_ORDER) + 0.5) / BAND_ORDER))
    gains = 1 / np.prod(lowpass[:, None] - poles, axis=1)
    response = np.fft.irfft(np.concatenate(([0], gains, [0])), size)
    return response[: np.flatnonzero(np.abs(response) > FADED * np.abs(response).max())[-1] + 1]


def fft_size(num_samples: int) -> int:
    """A power of two, or three quarters of one, at least `num_samples`."""
    size = 1 << (num_samples - 1).bit_length()
    return 3 * size // 4 if 3 * size // 4 >= num_samples else size


@functools.lru_cache(maxsize=8)  # the parts of a recording have one length
def band_gains(sample_rate: int, size: int) -> np.ndarray:
    """`band_response` at the frequencies of an FFT, (size // 2 + 1,)."""
    return np.fft.rfft(band_response(sample_rate), size)


class VoiceBand:
    """A band-pass filter of a stream of samples (S, ...) at `sample_rate` (Hz)."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._past: np.ndarray | None = None  # the last samples (R - 1, ...)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """The next samples (S, ...) in the band, float32."""
        if not len(samples):
            return samples
        num_past = len(band_response(self._sample_rate)) - 1
        if self._past is None:  # as after a long time at the first sample, so that an offset causes no click
            self._past = np.broadcast_to(samples[0], (num_past, *samples.shape[1:]))
        extended = np.concatenate((self._past, samples))
        self._past = extended[len(samples) :]
        size = fft_size(len(extended))
        gains = band_gains(self._sample_rate, size).reshape(-1, *(1 for _ in samples.shape[1:]))
        filtered = np.fft.irfft(np.fft.rfft(extended.astype(np.float64), size, axis=0) * gains, size, axis=0)
        return filtered[num_past : len(extended)].astype(np.float32)


def decibels(power: np.ndarray | float) -> np.ndarray:
    """Levels in dB of full scale."""
    return 10 * np.log10(np.maximum(power, MIN_POWER))


class Detector(Protocol):
    """Scores frames of a stream."""

    frame_seconds: float

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Scores (N,) of the next frames (N, F), float32 samples in the voice band."""

    def threshold(self) -> float:
        """The score above which a frame belongs to a transmission."""

    def is_ready(self) -> bool:
        """Whether the threshold is known; before, it is an estimate."""

    def is_too_quiet(self, score: float) -> bool:
        """Whether a score is kept out only because the sound is below the lowest level of a transmission."""


class LevelDetector:
    """The level, dB of full scale, against the noise floor: a low percentile of the levels of the last seconds."""

    frame_seconds = 0.02

    def __init__(self, params: SegmentParams) -> None:
        self._params = params
        self._recent: collections.deque[float] = collections.deque(maxlen=round(FLOOR_SECONDS / self.frame_seconds))

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Levels."""
        levels = decibels(np.square(frames).mean(axis=1))
        self._recent.extend(levels.tolist())
        return levels

    def threshold(self) -> float:
        """The noise floor and a margin, at least `segment.min_level`."""
        floor = float(np.percentile(np.fromiter(self._recent, dtype=np.float32), FLOOR_PERCENTILE))
        self._above_noise = floor + self._params.threshold_db
        return max(self._above_noise, self._params.min_level)

    def is_too_quiet(self, score: float) -> bool:
        """Whether a level is above the noise of the last `threshold`, and not above `segment.min_level`."""
        return self._above_noise < score <= self._params.min_level

    def is_ready(self) -> bool:
        """Whether enough levels are known."""
        return len(self._recent) == self._recent.maxlen


class NoDetector(LevelDetector):
    """Every frame belongs to a transmission; the levels tell where a long one is cut."""

    def threshold(self) -> float:
        """Below every level."""
        return -math.inf

    def is_too_quiet(self, score: float) -> bool:
        """Never."""
        return False

    def is_ready(self) -> bool:
        """Always."""
        return True


class VoiceDetector:
    """The probability of speech, by Silero's network."""

    frame_seconds = 512 / VAD_SAMPLE_RATE

    def __init__(self, sample_rate: int) -> None:
        import onnxruntime

        if sample_rate != VAD_SAMPLE_RATE:
            raise InputError(
                f"segment.detector: got vad at {sample_rate} Hz, wanted a network for {VAD_SAMPLE_RATE} Hz"
            )
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(_vad_file(), options, providers=["CPUExecutionProvider"])
        self._hidden = self._cell = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros((1, VAD_CONTEXT), dtype=np.float32)

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities."""
        if not len(frames):
            return np.zeros(0, dtype=np.float32)
        contexts = np.concatenate((self._context, frames[:-1, -VAD_CONTEXT:]))
        self._context = frames[-1:, -VAD_CONTEXT:]
        inputs = {"input": np.concatenate((contexts, frames), axis=1), "h": self._hidden, "c": self._cell}
        scores, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
        return scores.reshape(-1)

    def threshold(self) -> float:
        """A constant."""
        return VAD_THRESHOLD

    def is_too_quiet(self, score: float) -> bool:
        """Never."""
        return False

    def is_ready(self) -> bool:
        """Always."""
        return True


def _vad_file() -> Path:
    """The network in the package silero_vad, whose import would load torch and set its number of threads."""
    package = importlib.util.find_spec("silero_vad")
    if package is None or not package.submodule_search_locations:
        raise InputError("segment.detector: got vad without the package silero-vad: pip install --no-deps silero-vad")
    return Path(package.submodule_search_locations[0]) / VAD_FILE


def make_detector(params: SegmentParams, sample_rate: int) -> Detector:
    """The detector that `segment.detector` names.

    Raises:
        InputError: it cannot be used.
    """
    if params.detector == "vad":
        return VoiceDetector(sample_rate)
    return NoDetector(params) if params.detector == "none" else LevelDetector(params)
