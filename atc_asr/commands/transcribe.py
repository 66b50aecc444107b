"""transcribe: recordings of any length, or live audio, -> transmissions with times.

Reads   inputs          audio files, folders of them, or `-`: raw PCM (16 bit, little-endian) from standard input
        checkpoint_dir  run folder of stages.train, or one brought by `dvc get`
Writes  out_dir/        one file per recording (jsonl, srt, vtt, TextGrid); without it, standard output
"""

import contextlib
import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

from atc_asr.core.cli import Door, enter
from atc_asr.core.config import option
from atc_asr.core.errors import InputError
from atc_asr.core.files import new_file
from atc_asr.decoding.boost import CallsignBoost, read_expected
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import SearchSources, check_boost
from atc_asr.hypotheses.confidence import read_calibration
from atc_asr.posteriors.params import PosteriorsParams
from atc_asr.transcribe.captions import FORMATS, Transmission, to_jsonl
from atc_asr.transcribe.memory import keep_few_kernels
from atc_asr.transcribe.params import SegmentParams
from atc_asr.transcribe.recording import find_audio, read_blocks, read_pcm
from atc_asr.transcribe.segment import Segmenter
from atc_asr.transcribe.transcriber import Engine, Piece, pieces_of, transcribe

log = logging.getLogger(__name__)

LIVE = Path("-")
WINDOW_BATCHES = 4  # batches' worth of audio that is sorted by length at a time


@dataclasses.dataclass(frozen=True)
class PcmParams:
    """Section `pcm`."""

    section: ClassVar[str] = "pcm"
    pcm_rate: int = option("sample rate of raw PCM on standard input, Hz", low=1000)
    pcm_channels: int = option("interleaved channels of raw PCM on standard input", low=1)


SECTIONS = (DecodeParams, PosteriorsParams, SegmentParams, PcmParams)


class PieceReader:
    """The pieces of many files one after the other; what cannot be read is logged and counted."""

    def __init__(self, files: Sequence[Path], segment: SegmentParams, sample_rate: int) -> None:
        self.durations: dict[str, float] = {}
        self.failed: list[str] = []
        self._files = files
        self._segment = segment
        self._sample_rate = sample_rate

    def _blocks(self, file: Path, bar: tqdm) -> Iterator[np.ndarray]:
        self.durations[str(file)] = 0.0
        for block in read_blocks(file, self._sample_rate):
            self.durations[str(file)] += len(block) / self._sample_rate
            bar.update(len(block) / self._sample_rate)
            yield block

    def __iter__(self) -> Iterator[Piece]:
        with tqdm(unit="s", desc="transcribe", disable=None, smoothing=0) as bar:
            for file in self._files:
                segmenter = Segmenter(self._segment, self._sample_rate)
                try:
                    yield from pieces_of(str(file), self._blocks(file, bar), segmenter, self._sample_rate)
                except InputError as error:
                    log.error("%s", error)
                    self.failed.append(str(file))


def by_recording(
    found: Iterable[tuple[Path, Path]], stream: Iterator[Transmission]
) -> Iterator[tuple[Path, Path, Iterator[Transmission]]]:
    """(file, name of its output, its transmissions as they come), which have to be taken before the next file's."""
    ahead = next(stream, None)

    def of_file(file: Path) -> Iterator[Transmission]:
        nonlocal ahead
        while ahead is not None and ahead.file == str(file):
            yield ahead
            ahead = next(stream, None)

    for file, name in found:
        yield file, name, of_file(file)


class UnreadableError(Exception):
    """A recording whose reading failed, which has been logged."""


def text_of(
    file: Path, transmissions: Iterable[Transmission], readings: PieceReader, file_format: str
) -> Iterator[str]:
    """A recording's text in parts, as its transmissions come.

    Raises:
        UnreadableError: the recording could not be read to its end; its text is worth nothing.
    """
    heard = 0

    def counted() -> Iterator[Transmission]:
        nonlocal heard
        for one in transmissions:
            heard += 1
            yield one

    yield from FORMATS[file_format](counted(), lambda: readings.durations[str(file)])
    if str(file) in readings.failed:
        raise UnreadableError
    if not heard:
        log.warning("%s: no transmissions found", file)


def run_files(
    engine: Engine, segment: SegmentParams, *, inputs: list[Path], out_dir: Path | None, file_format: str
) -> None:
    """Transcribe files and folders; every recording that can be read gets its output as soon as it is done.

    Raises:
        InputError: an input is missing, or some recordings could not be read (the others are written).
    """
    found = find_audio(inputs)
    if out_dir is None and len(found) > 1 and file_format != "jsonl":
        raise InputError(f"--format {file_format}: got {len(found)} recordings without --out_dir, wanted a folder")
    readings = PieceReader([file for file, _ in found], segment, engine.recognizer.sample_rate)
    started = time.perf_counter()
    stream = transcribe(engine, readings, WINDOW_BATCHES * engine.batch_seconds)
    for file, name, transmissions in by_recording(found, stream):
        parts = text_of(file, transmissions, readings, file_format)
        with contextlib.suppress(UnreadableError):
            if out_dir is None:
                sys.stdout.write("".join(parts))
            else:
                path = out_dir / name.with_name(f"{name.name}.{file_format}")
                with new_file(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as out:
                    out.writelines(parts)
    audio = sum(readings.durations.values())
    seconds = time.perf_counter() - started
    log.info("%d recordings, %.0f s of audio in %.1f s: %.0f x real time", len(found), audio, seconds, audio / seconds)
    if readings.failed:
        raise InputError(f"{len(readings.failed)} of {len(found)} recordings cannot be read: {readings.failed[0]} …")


def run_live(engine: Engine, segment: SegmentParams, pcm: PcmParams, write: Callable[[str], object]) -> None:
    """Transcribe standard input until it ends; each transmission is written when its squelch closes."""
    rate = engine.recognizer.sample_rate
    blocks = read_pcm(sys.stdin.buffer, pcm.pcm_rate, pcm.pcm_channels, rate)
    for one in transcribe(engine, pieces_of("-", blocks, Segmenter(segment, rate), rate), 0.0):
        write(to_jsonl(one))
        sys.stdout.flush()


def find_device(name: str | None):
    """The device of a name; without one the first GPU there is, else the CPU.

    Raises:
        InputError: there is no such device.
    """
    import torch

    from atc_asr.model.network import pick_device

    try:
        return torch.zeros(1, device=name).device if name else pick_device()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise InputError(f"--device {name}: cannot be used: {str(error).splitlines()[0]}") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the tool."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("inputs", nargs="+", help="audio files, folders, or - for raw PCM on standard input")
    door.path("--checkpoint_dir", required=True, help="run folder")
    door.path("--out_dir", help="folder for the transcripts (standard output)")
    door.path("--format", type=str, choices=sorted(FORMATS), default="jsonl", help="form of the transcripts (jsonl)")
    door.path("--device", type=str, help="cpu, cuda or cuda:N (the first GPU there is, else cpu)")
    door.path("--lm_dir", help="language model folder of stages.lm")
    door.path("--lexicon", help="text file of further words, one a line")
    door.path("--boost", help="CSV of callsigns expected on frequency (callsign[,file,start,end])")
    door.path("--calibration", help="calibration of stages.calibrate for the word confidences")
    args = door.parse(argv)
    paths = args.paths
    decode, posteriors, segment, pcm = args.sections
    if paths.boost is not None:
        check_boost(decode)
    live = LIVE in paths.inputs
    if live and (len(paths.inputs) > 1 or paths.out_dir is not None or paths.format != "jsonl"):
        raise InputError("-: standard input goes alone, as jsonl, to standard output")
    # Here and not above: the processes of the search import this module and need no torch.
    from atc_asr.model import run_folder

    engine = Engine(
        run_folder.load_recognizer(paths.checkpoint_dir, device=find_device(paths.device)),
        dataclasses.replace(decode, num_processes=1) if live else decode,
        posteriors.batch_seconds,
        SearchSources(lm_dir=paths.lm_dir, lexicon=paths.lexicon),
        CallsignBoost(read_expected(paths.boost) if paths.boost is not None else []),
        read_calibration(paths.calibration) if paths.calibration is not None else None,
    )
    if live:
        run_live(engine, segment, pcm, sys.stdout.write)
    else:
        run_files(engine, segment, inputs=paths.inputs, out_dir=paths.out_dir, file_format=paths.format)


if __name__ == "__main__":
    keep_few_kernels()
    enter(main)
