"""Recordings of any sample rate, channels and length, and raw PCM, as streams of mono blocks at one rate."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from atc_asr.core.errors import InputError

BLOCK_SECONDS = 1.0
LIVE_BLOCK_SECONDS = 0.1
SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".mp3", ".oga", ".opus", ".sph"}


def find_audio(paths: list[Path]) -> list[tuple[Path, Path]]:
    """Audio files among paths and, recursively, in folders.

    Returns:
        (audio file, name of its output without suffix), folders sorted, each file once.

    Raises:
        InputError: a path is missing, a folder holds no audio, or two files have the same output.
    """
    found: list[tuple[Path, Path]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"{path}: holds no audio files, wanted any of {' '.join(sorted(SUFFIXES))}")
            found += [(file, file.relative_to(path).with_suffix("")) for file in inside]
        elif path.is_file():
            found.append((path, Path(path.stem)))
        else:
            raise InputError(f"{path}: no such file or folder")
    files: dict[Path, Path] = {}
    for file, name in found:
        if files.setdefault(name, file) != file:
            raise InputError(f"{file}: has the same output as {files[name]}, wanted different names")
    return list(dict.fromkeys(found))


def resample(blocks: Iterator[np.ndarray], rate: int, target_rate: int) -> Iterator[np.ndarray]:
    """Mono blocks (S,) at another rate; unchanged where the rates are equal."""
    if rate == target_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, target_rate, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def to_mono(block: np.ndarray) -> np.ndarray:
    """(S, channels) -> (S,); NaN and infinities become zeros."""
    return np.nan_to_num(block.mean(axis=1), nan=0.0, posinf=0.0, neginf=0.0)


def read_blocks(path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """An audio file as mono float32 blocks (S,) at `sample_rate`.

    Raises:
        InputError: the file, or a later part of it, cannot be read as audio.
    """
    try:
        with soundfile.SoundFile(path) as file:
            size = round(BLOCK_SECONDS * file.samplerate)
            blocks = (to_mono(block) for block in file.blocks(size, dtype="float32", always_2d=True))
            yield from resample(blocks, file.samplerate, sample_rate)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path}: cannot be read as audio: {' '.join(str(error).split())}") from error


def read_pcm(stream: BinaryIO, rate: int, channels: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Raw signed 16-bit little-endian PCM as mono float32 blocks (S,) at `sample_rate`, as it arrives."""
    frame_bytes = 2 * channels

    def blocks() -> Iterator[np.ndarray]:
        while data := stream.read(round(LIVE_BLOCK_SECONDS * rate) * frame_bytes):
            samples = np.frombuffer(data[: len(data) // frame_bytes * frame_bytes], dtype="<i2")
            yield to_mono(samples.reshape(-1, channels).astype(np.float32) / 32768)

    yield from resample(blocks(), rate, sample_rate)
