"""Encoded audio -> samples -> 16 kHz mono 16-bit WAV. soundfile decodes, soxr resamples."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from atc_asr.core.audio_files import AudioError, open_audio

SAMPLE_RATE = 16_000  # Hz, of all exported audio
FULL_SCALE = 32_768
RESAMPLE_QUALITY = "HQ"  # soxr's lower qualities are not faster here (0.14 ms for 3 s of 8 kHz speech)


@dataclass(frozen=True)
class Header:
    """Properties of audio that are known before decoding; the sample rate is in Hz."""

    sample_rate: int
    channels: int
    num_samples: int  # per channel
    missing: int  # bytes that a WAV header announces and the file lacks
    is_streamed: bool = False  # whether a WAV header has the size of a program that streams, not that of the audio

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / self.sample_rate


def read_header(audio: bytes | np.ndarray, sample_rate: int | None) -> Header:
    """Sample rate, channels and length of encoded bytes, or of samples (num_samples,) or (num_samples, channels).

    Raises:
        AudioError: the bytes are not an audio file, or an array comes without sample rate.
    """
    if isinstance(audio, np.ndarray):
        if not sample_rate or sample_rate < 0:
            raise AudioError(f"sample rate {sample_rate}")
        return Header(sample_rate, 1 if audio.ndim == 1 else audio.shape[1], audio.shape[0], 0)
    with open_audio(audio) as (file, chunk):
        missing, is_streamed = (chunk.missing, chunk.is_streamed) if chunk is not None else (0, False)
        return Header(file.samplerate, file.channels, file.frames, missing, is_streamed)


def decode(audio: bytes | np.ndarray) -> np.ndarray:
    """Samples (num_samples, channels), float32, full scale 1.

    Raises:
        AudioError: the audio cannot be decoded.
    """
    if isinstance(audio, np.ndarray):
        samples = audio.reshape(len(audio), -1)
        if np.issubdtype(samples.dtype, np.integer):
            return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
        return samples.astype(np.float32, copy=False)
    with open_audio(audio) as (file, _):
        return file.read(file.frames, dtype="float32", always_2d=True)


def to_pcm16(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resample (num_samples,) to int16 at `SAMPLE_RATE`.

    Rounding is done here, because soxr's own int16 output is dithered with noise seeded by the clock.
    """
    if sample_rate != SAMPLE_RATE:
        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE, quality=RESAMPLE_QUALITY)
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Write int16 samples (num_samples,) as a mono WAV at `SAMPLE_RATE`."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, len(samples), "NONE", ""))
        file.writeframesraw(samples.tobytes())
