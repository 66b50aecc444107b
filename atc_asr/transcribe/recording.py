"""Long audio as a stream of mono blocks at one rate: files of any rate, channels and length, and raw PCM."""

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
    """(file, name of its output without ending) of files, and of all audio files under folders, sorted.

    Raises:
        InputError: a path is missing, a folder holds no audio, or two files would write the same output.
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
    owners: dict[Path, Path] = {}
    for file, name in found:
        if owners.setdefault(name, file) != file:
            raise InputError(f"{file}: its output would be that of {owners[name]}, wanted different names")
    return found


def resampled(blocks: Iterator[np.ndarray], rate: int, wanted_rate: int) -> Iterator[np.ndarray]:
    """Mono blocks (S,) at another rate; not touched when it is the same."""
    if rate == wanted_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, wanted_rate, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def mono(block: np.ndarray) -> np.ndarray:
    """(S, channels) -> (S,) with NaN and infinities as silence."""
    return np.nan_to_num(block.mean(axis=1), nan=0.0, posinf=0.0, neginf=0.0)


def read_blocks(path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """A file as mono float32 blocks (S,) at a rate.

    Raises:
        InputError: the file cannot be read as audio, at its beginning or on the way.
    """
    try:
        with soundfile.SoundFile(path) as file:
            size = round(BLOCK_SECONDS * file.samplerate)
            blocks = (mono(block) for block in file.blocks(size, dtype="float32", always_2d=True))
            yield from resampled(blocks, file.samplerate, sample_rate)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path}: cannot be read as audio: {' '.join(str(error).split())}") from error


def read_pcm(stream: BinaryIO, rate: int, channels: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Raw signed 16-bit little-endian PCM as mono float32 blocks (S,) at a rate, as it arrives."""
    frame_bytes = 2 * channels

    def blocks() -> Iterator[np.ndarray]:
        while data := stream.read(round(LIVE_BLOCK_SECONDS * rate) * frame_bytes):
            samples = np.frombuffer(data[: len(data) // frame_bytes * frame_bytes], dtype="<i2")
            yield mono(samples.reshape(-1, channels).astype(np.float32) / 32768)

    yield from resampled(blocks(), rate, sample_rate)
