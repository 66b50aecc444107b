"""Clips of corpora whose audio and transcripts are files: whole files, or segments that are cut out of recordings."""

import gzip
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atc_asr.core.audio_files import AudioError, open_audio
from atc_asr.core.errors import InputError
from atc_asr.core.files import utf8_name
from atc_asr.corpus.source import SPLITS, Clip, Shard, make_shards

SHARD_SEGMENTS = 256  # segments of a shard
MAX_OVERRUN = 0.5  # seconds by which a segment may end after its recording; its end is then the recording's
AUDIO_SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True)
class Segment:
    """A part of an audio file with its transcript; `start` and `end` in seconds, None = begin and end of the file."""

    id: str | None
    audio: str  # path
    text: str | None
    columns: Mapping[str, str] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None
    channel: int | None = None  # from 0; None = all
    problem: str | None = None  # as in `Clip`
    left_out: str | None = None  # as in `Clip`


@dataclass(frozen=True)
class SegmentSource:
    """Segments of files, by split."""

    info: Mapping[str, Any]  # identifies the corpus beside its segments
    segments: Mapping[str, Sequence[Segment]]
    nearby: Mapping[str, Sequence[str]] = field(default_factory=dict)  # recording -> call signs near its receiver

    def identity(self) -> Mapping[str, Any]:
        return self.info

    def shards(self) -> list[Shard]:
        """An item is (segment, size and modification time of its file)."""
        return [
            shard
            for split in SPLITS
            for shard in make_shards(split, with_status(self.segments.get(split, ())), SHARD_SEGMENTS)
        ]

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard; a clip whose file is missing has no audio."""
        for segment, _ in shard.items:
            yield to_clip(segment)


def with_status(segments: Sequence[Segment]) -> list[tuple[Segment, tuple[int, int] | None]]:
    """Segments with size and modification time of their files, None for a missing file."""
    paths = {segment.audio for segment in segments}
    found = {path: os.stat(path) for path in paths if os.path.isfile(path)}
    return [
        (one, (found[one.audio].st_size, found[one.audio].st_mtime_ns) if one.audio in found else None)
        for one in segments
    ]


def to_clip(segment: Segment) -> Clip:
    """Read the audio of a segment: the encoded file, or the samples of its part."""
    audio, rate, problem, left_out = None, None, segment.problem, segment.left_out
    path, columns = Path(segment.audio), segment.columns
    if path.is_file() and not problem and not left_out:
        try:
            if segment.start is None and segment.end is None and segment.channel is None:
                audio = path.read_bytes()
            else:
                audio, rate = cut(segment)
        except (AudioError, OSError) as error:
            problem = f"{path}: {error}"
    return Clip(segment.id, audio, rate, segment.text, columns, problem=problem, left_out=left_out, path=str(path))


def cut(segment: Segment) -> tuple[Any, int]:
    """The samples (num_samples, channels) of a segment, float32, and their rate in Hz.

    Raises:
        AudioError: the file cannot be read, or the segment is not within it.
    """
    with open_audio(Path(segment.audio)) as (file, _):
        rate, length = file.samplerate, file.frames / file.samplerate
        start, end = segment.start or 0.0, length if segment.end is None else segment.end
        first, last = round(start * rate), min(round(end * rate), file.frames)
        if not 0 <= first < last or end > length + MAX_OVERRUN:
            raise AudioError(f"{start:g} to {end:g} s are not within the recording of {length:.2f} s")
        file.seek(first)
        samples = file.read(last - first, dtype="float32", always_2d=True)
    if segment.channel is None:
        return samples, rate
    if segment.channel >= samples.shape[1]:
        raise AudioError(f"has {samples.shape[1]} channels, wanted channel {segment.channel}")
    return samples[:, segment.channel], rate


def config_folder(corpus: str, config: str) -> Path:
    """`<corpus>/<config>`, or `corpus` where that folder does not exist.

    Raises:
        InputError: there is no such folder.
    """
    folder = Path(corpus) / config if (Path(corpus) / config).is_dir() else Path(corpus)
    if not folder.is_dir():
        raise InputError(f"export.corpus: {folder} is no folder")
    return folder


def find_files(folder: Path, *suffixes: str) -> list[Path]:
    """The files below a folder whose names end with a suffix in upper or lower case, sorted.

    Hidden files and folders are passed over, such as the `._x.txt` that macOS writes beside each file.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(suffixes)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Name without suffix, in lower case -> the first file with it."""
    return {plain_name(path).lower(): path for path in reversed(paths)}


def plain_name(path: Path) -> str:
    """The name of a file without its suffix and without `.gz`, see `utf8_name`."""
    return utf8_name(Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem)


def only_split(splits: Mapping[str, str | None]) -> str:
    """The split of a corpus that has no splits: the first one that `export` wants; `export.split_by` makes others."""
    return next((split for split, name in splits.items() if name), "train")


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed where its name ends with `.gz`.

    Raises:
        InputError: the file cannot be read or is no complete gzip file.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def read_transcript(path: Path, encoding: str) -> str:
    """The text of a file in UTF-8, or in an older encoding of its corpus.

    Raises:
        InputError: the file cannot be read.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode(encoding, "replace")


def segment_id(recording: str, start: float, end: float) -> str:
    """`<recording>_<start>_<end>`, in hundredths of a second."""
    return f"{recording}_{round(start * 100):06d}_{round(end * 100):06d}"
