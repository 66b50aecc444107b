"""Opens encoded audio with libsndfile, also where a WAV header announces another length than the file has."""

import contextlib
import io
import logging
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile as sf

from atc_asr.core import messages

log = logging.getLogger(__name__)

STREAMED_SIZE = 0x7FFF0000  # sizes from here on stand for "unknown" (sox 0x7ffff000, arecord 0x80000000, ffmpeg -1)
ERRORS = (sf.SoundFileError, RuntimeError, TypeError, ValueError)  # raised by soundfile for audio that it cannot use
_warned: set[Path | None] = set()  # files that `read_samples` warned about, None for all with a streamed size


class AudioError(Exception):
    """Audio that cannot be decoded, with the decoder's message."""


@dataclass(frozen=True)
class DataChunk:
    """The audio of a RIFF/WAVE file: where its header has the size, and the bytes announced and present."""

    size_position: int
    announced: int
    present: int

    @property
    def is_streamed(self) -> bool:
        """Whether the announced size is that of a program that streams: it does not know the length yet."""
        return self.announced != self.present and (self.announced == 0 or self.announced >= STREAMED_SIZE)

    @property
    def missing(self) -> int:
        """Bytes that were cut off."""
        return 0 if self.is_streamed else self.announced - self.present

    def warn(self, name: str) -> None:
        """Log that the header announces another length than the audio has."""
        if self.is_streamed:
            log.warning(messages.WRONG_LENGTH, name, self.announced, self.present)
        else:
            log.warning(messages.TRUNCATED, name, self.missing, self.announced)


def error_reason(error: Exception) -> str:
    """libsndfile's message without soundfile's prefix, which contains a memory address."""
    return error.error_string if isinstance(error, sf.LibsndfileError) else str(error)


def _chunks(file: BinaryIO, start: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, position of the content, announced size) of RIFF chunks from a position on, while there are any.

    A chunk is a four-letter name, a little-endian uint32 size, and the content padded to two bytes.
    """
    while True:
        file.seek(start)
        header = file.read(8)
        if len(header) < 8:
            return
        name, size = struct.unpack("<4sI", header)
        yield name, start + 8, size
        start += 8 + size + size % 2


def find_data_chunk(file: BinaryIO) -> DataChunk | None:
    """The data chunk of a RIFF/WAVE file, None in other files; the file's position changes."""
    file.seek(0)
    riff = file.read(12)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        return None
    end = file.seek(0, io.SEEK_END)
    for name, start, size in _chunks(file, 12):
        if name == b"data":
            present = min(size, end - start)
            if size == 0 and not _only_chunks(file, start, end):
                present = min(end - start, 0xFFFFFFFF)
            return DataChunk(start - 4, size, present)
    return None


def _only_chunks(file: BinaryIO, start: int, end: int) -> bool:
    """Whether a file consists of whole chunks from a position to its end: the audio before them is empty."""
    while start < end:
        name, content, size = next(_chunks(file, start), (b"", end, 1))
        if not (name.isascii() and content + size <= end):
            return False
        start = content + size + size % 2
    return True


class _Patched:
    """A binary file for libsndfile, with four bytes replaced."""

    def __init__(self, file: BinaryIO, position: int, content: bytes) -> None:
        self._file, self._position, self._content = file, position, content
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        start = self._file.tell()
        data = self._file.read(size)
        first = self._position - start
        if -4 < first < len(data):
            patched = bytearray(data)
            for index in range(max(0, first), min(first + 4, len(data))):
                patched[index] = self._content[index - first]
            return bytes(patched)
        return data


@contextlib.contextmanager
def open_audio(source: Path | bytes) -> Iterator[tuple[sf.SoundFile, DataChunk | None]]:
    """Open a file or its content; a wrong length in a WAV header is replaced by that of the audio that is there.

    Yields:
        The open audio, and the data chunk where the header announces another length.

    Raises:
        AudioError: the file cannot be read as audio, or, inside of the block, a part of it cannot.
    """
    with open(source, "rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        chunk = find_data_chunk(file)
        if chunk is not None and chunk.announced == chunk.present:
            chunk = None
        file.seek(0)
        # libsndfile reads a path faster than a Python object, and soundfile takes names that are not UTF-8 as bytes.
        data: Any = os.fsencode(source) if isinstance(source, Path) else file
        if chunk is not None:
            data = _Patched(file, chunk.size_position, struct.pack("<I", chunk.present))
        try:
            with sf.SoundFile(data) as audio:
                yield audio, chunk
        except ERRORS as error:
            raise AudioError(error_reason(error)) from error


def read_samples(path: Path, dtype: str) -> tuple[np.ndarray, int]:
    """The samples (S, C) of a whole file and their rate in Hz.

    A warning says that a WAV header announces another length than that of the audio, which is used: one for the first
    file of a process whose header has the size of a stream, and one for every file that is truncated.

    Raises:
        AudioError: the file cannot be read as audio.
    """
    try:
        with open_audio(path) as (audio, chunk):
            kind = None if chunk is not None and chunk.is_streamed else path
            if chunk is not None and kind not in _warned:
                _warned.add(kind)
                chunk.warn(str(path))
            return audio.read(dtype=dtype, always_2d=True), audio.samplerate
    except OSError as error:
        raise AudioError(error.strerror or str(error)) from error
