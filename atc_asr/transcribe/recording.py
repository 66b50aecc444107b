"""Recordings of any sample rate, channels and length, and raw PCM, as streams of blocks at one rate.

S samples, C channels.
"""

import contextlib
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from atc_asr.core import messages
from atc_asr.core.audio_files import ERRORS, AudioError, error_reason, open_audio
from atc_asr.core.errors import InputError
from atc_asr.transcribe.detectors import MIN_POWER, VoiceBand
from atc_asr.transcribe.segment import Track

log = logging.getLogger(__name__)

BLOCK_SECONDS = 1.0
LIVE_BLOCK_SECONDS = 0.1
MAX_BLOCK = 2**22  # samples of all channels
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; sample rates outside are damaged headers
LOW_RATE_CODINGS = ("GSM610", "G723_24", "VOX_ADPCM", "NMS_ADPCM_16", "NMS_ADPCM_24")  # with a loss of words
CANCELLED = 0.3  # channels cancel where their sum has less than this fraction of the power of unrelated channels
CANCEL_SECONDS = 1.0  # time constant of these powers
READ_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".aif",
    ".mp3",
    ".oga",
    ".opus",
    ".sph",
}
# Audio that libsndfile does not read: ffmpeg reads it where it is on the path.
OTHER_SUFFIXES = set(
    ".3gp .aac .ac3 .amr .ape .asf .avi .dss .dts .ds2 .flv .gsm .m4a .m4b .m4v .mka .mkv .mov .mp4 .mpeg .mpg .ra "
    ".spx .tta .weba .webm .wma .wmv .wv".split()
)


def find_audio(paths: Sequence[Path]) -> dict[Path, Path]:
    """Audio files among paths and, recursively, in folders; other files of a folder are listed in the log.

    Returns:
        Audio file -> name of its outputs without suffix; files sorted within a folder, each file once. Files of the
        same name keep their suffixes in the names.

    Raises:
        InputError: a path is missing, a folder holds no audio, or two files still have the same output.
    """
    names: dict[Path, Path] = {}
    seen: set[Path] = set()

    def add(file: Path, name: Path) -> None:
        place = file.parent.resolve() / file.name
        if place not in seen:
            seen.add(place)
            names[file] = name

    for path in paths:
        if path.is_dir():
            # A link whose target is missing is no file, and is listed when it cannot be read.
            files = sorted(file for file in path.rglob("*") if file.is_file() or not (file.is_dir() or file.exists()))
            audio = [file for file in files if _is_audio(file.relative_to(path))]
            if not audio:
                raise InputError(f"{path}: holds no audio files, wanted any of {' '.join(sorted(READ_SUFFIXES))}")
            if len(files) > len(audio):
                others = [str(file) for file in files if file not in set(audio)]
                log.info(messages.OTHER_FILES, path, len(others), ", ".join(others[:10]))
            for file in audio:
                add(file, file.relative_to(path))
        elif path.exists() and not path.is_dir():
            add(path, Path(path.name))
        else:
            raise InputError(f"{path}: no such file or folder")
    return _distinct(names)


def _is_audio(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in READ_SUFFIXES | OTHER_SUFFIXES and not hidden


def _distinct(names: dict[Path, Path]) -> dict[Path, Path]:
    """The names without suffix, with suffix where they would be equal."""
    outputs = {file: name.with_suffix("") for file, name in names.items()}
    while True:
        files: dict[Path, list[Path]] = {}
        for file, output in outputs.items():
            files.setdefault(output, []).append(file)
        changed = False
        for group in files.values():
            short = [file for file in group if outputs[file] != names[file]]
            if len(group) > 1 and not short:
                raise InputError(f"{group[1]}: has the same output as {group[0]}, wanted different names")
            if len(group) > 1:
                outputs |= {file: names[file] for file in short}
                changed = True
        if not changed:
            return outputs


def resample(blocks: Iterator[np.ndarray], rate: int, target_rate: int, channels: int) -> Iterator[np.ndarray]:
    """Blocks (S, C) at another rate; unchanged where the rates are equal."""
    if rate == target_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, target_rate, channels, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros((0, channels), dtype=np.float32), last=True)


class Mix:
    """The mean of the channels; from where they cancel on, the loudest channel."""

    def __init__(self, rate: int, name: str) -> None:
        self._rate = rate
        self._name = name
        self._filter = VoiceBand(rate)
        self._powers: np.ndarray = np.zeros(1)  # of the channels (C,), over the last CANCEL_SECONDS
        self._sum_power = 0.0  # of the sum of the channels
        self._channel: int | None = None

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """(S, C) -> (S, 1)."""
        if block.shape[1] > 1 and self._channel is None:
            band = self._filter(block)
            kept = np.exp(-len(block) / (CANCEL_SECONDS * self._rate))
            self._powers = kept * self._powers + np.square(band).sum(axis=0)
            self._sum_power = kept * self._sum_power + float(np.square(band.sum(axis=1)).sum())
            audible = self._powers.max() > self._rate * MIN_POWER
            if audible and self._sum_power < CANCELLED * self._powers.sum():
                self._channel = int(self._powers.argmax())
                log.warning(messages.CHANNELS_CANCEL, self._name, channel_name(self._channel, block.shape[1]))
        if self._channel is None:
            return block.mean(axis=1, keepdims=True)
        return block[:, self._channel : self._channel + 1]


def channel_name(index: int, count: int) -> str:
    """left and right of two channels, else channel1, channel2, ...; empty for a single channel."""
    if count == 1:
        return ""
    return ("left", "right")[index] if count == 2 else f"channel{index + 1}"


def select_channels(channels: str, rate: int, count: int, name: str) -> tuple[list[str], Callable[..., np.ndarray]]:
    """Names of the wanted channels (mix, split, left or right) and a function of blocks (S, C) that takes them.

    A recording with one channel has no others, whatever is wanted.
    """
    if channels == "split":
        return [channel_name(index, count) for index in range(count)], lambda block: block
    if channels == "mix" or count == 1:
        return [""], Mix(rate, name)
    index = 0 if channels == "left" else 1
    return [""], lambda block: block[:, index : index + 1]


def finite(block: np.ndarray) -> np.ndarray:
    """Zeros for NaN and infinities."""
    return np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)


@contextlib.contextmanager
def open_recording(track: Track) -> Iterator[soundfile.SoundFile]:
    """Open a recording with libsndfile, or with ffmpeg where it cannot and ffmpeg is on the path.

    Raises:
        AudioError: neither can read it, or the sample rate is that of a damaged header.
    """
    with contextlib.ExitStack() as stack:
        try:
            audio, chunk = stack.enter_context(open_audio(track.path))
        except AudioError as error:
            if not shutil.which("ffmpeg"):
                raise AudioError(f"{error} (ffmpeg, which reads more formats, is not on the path)") from error
            audio, chunk = stack.enter_context(_open_with_ffmpeg(track.path)), None
        if chunk is not None:
            chunk.warn(track.file)
        if not MIN_RATE <= audio.samplerate <= MAX_RATE:
            raise AudioError(f"got a sample rate of {audio.samplerate} Hz, wanted {MIN_RATE} to {MAX_RATE}")
        if audio.subtype in LOW_RATE_CODINGS:
            log.warning(messages.LOW_RATE_CODING, track.file, audio.subtype_info)
        yield audio


@contextlib.contextmanager
def _open_with_ffmpeg(path: Path) -> Iterator[soundfile.SoundFile]:
    """The first audio track of a file, as ffmpeg decodes it into a pipe.

    Raises:
        AudioError: ffmpeg cannot read the file, or ends with an error.
    """
    command = ["ffmpeg", "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    with (
        tempfile.TemporaryFile() as log_file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log_file) as run,
    ):

        def said(default: str) -> str:
            log_file.seek(0)
            lines = log_file.read().decode("utf-8", "replace").strip().splitlines()
            return f"ffmpeg: {lines[-1] if lines else default}"

        assert run.stdout is not None
        try:
            with soundfile.SoundFile(run.stdout.fileno(), closefd=False) as audio:
                yield audio
                if run.wait() != 0:
                    raise AudioError(said(f"exit code {run.returncode}"))
        except ERRORS as error:
            run.wait()
            raise AudioError(said(error_reason(error))) from error
        finally:
            run.kill()


def read_blocks(track: Track, audio: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Blocks (S, C) of an open recording at its own rate.

    Raises:
        AudioError: a later part cannot be read.
    """
    rate = audio.samplerate
    size = max(1, min(round(BLOCK_SECONDS * rate), MAX_BLOCK // audio.channels))
    num_read = 0
    try:
        # not SoundFile.blocks, which seeks: encodings such as GSM 6.10 and pipes cannot
        while len(block := audio.read(size, dtype="float32", always_2d=True)):
            num_read += len(block)
            yield finite(block)
    except ERRORS as error:
        raise AudioError(error_reason(error)) from error
    if audio.seekable() and num_read < audio.frames:
        log.warning(messages.TRUNCATED_FRAMES, track.file, num_read / rate, audio.frames / rate)


def read_pcm(stream: BinaryIO, rate: int, channels: int) -> Iterator[np.ndarray]:
    """Raw signed 16-bit little-endian PCM as float32 blocks (S, C), as it arrives."""
    frame_bytes = 2 * channels
    while data := stream.read(round(LIVE_BLOCK_SECONDS * rate) * frame_bytes):
        samples = np.frombuffer(data[: len(data) // frame_bytes * frame_bytes], dtype="<i2")
        yield samples.reshape(-1, channels).astype(np.float32) / 32768
