"""Encoded audio -> samples -> 16 kHz mono 16-bit WAV. soundfile decodes, soxr resamples."""

import io
import struct
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

SAMPLE_RATE = 16_000  # Hz, of all exported audio
FULL_SCALE = 32_768
RESAMPLE_QUALITY = "HQ"  # soxr's lower qualities are not faster here (0.14 ms for 3 s of 8 kHz speech)
UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # chunk sizes written by programs that stream to a pipe


class AudioError(Exception):
    """Audio that cannot be decoded, with the decoder's message."""


@dataclass(frozen=True)
class Header:
    """Properties of audio that are known before decoding; the sample rate is in Hz."""

    sample_rate: int
    channels: int
    num_samples: int  # per channel
    missing: int  # bytes that a WAV header announces and the file lacks

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
    try:
        with sf.SoundFile(io.BytesIO(audio)) as file:
            return Header(file.samplerate, file.channels, file.frames, missing_wav_bytes(audio))
    except (sf.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise AudioError(error_reason(error)) from error


def error_reason(error: Exception) -> str:
    """libsndfile's message without soundfile's prefix, which contains a memory address."""
    return error.error_string if isinstance(error, sf.LibsndfileError) else str(error)


def missing_wav_bytes(data: bytes) -> int:
    """Bytes of the data chunk that the RIFF header announces and the file lacks; libsndfile does not report them.

    RIFF/WAVE format: chunks of a four-letter name, a little-endian uint32 size, and the content padded to two bytes.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0
    start = 12
    while start + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, start)
        start += 8
        if name == b"data":
            return 0 if size in UNKNOWN_SIZES else max(0, start + size - len(data))
        start += size + size % 2
    return 0


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
    try:
        return sf.read(io.BytesIO(audio), dtype="float32", always_2d=True)[0]
    except (sf.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise AudioError(error_reason(error)) from error


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
