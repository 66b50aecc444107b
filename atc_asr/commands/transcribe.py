"""Transcribe recordings or live audio with a trained network."""

import itertools
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field
from tqdm import tqdm

from atc_asr.core import cli, messages
from atc_asr.core.config import Flags, argument
from atc_asr.core.errors import InputError
from atc_asr.core.files import write_text
from atc_asr.decoding.boost import CallsignBoost, read_expected
from atc_asr.decoding.params import DecodeParams, OperatorsParams
from atc_asr.decoding.search import SearchSources, check_boost, log_search, resolve
from atc_asr.hypotheses.confidence import read_calibration
from atc_asr.posteriors.params import PosteriorsParams
from atc_asr.transcribe.formats import FORMATS, Transmission, jsonl
from atc_asr.transcribe.params import SegmentParams
from atc_asr.transcribe.recording import find_audio, read_blocks, read_pcm
from atc_asr.transcribe.segment import Segment, Segmenter
from atc_asr.transcribe.transcriber import Transcriber

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

STANDARD_INPUT = Path("-")
BATCHES_PER_GROUP = 4  # batches whose segments are sorted by duration together


class TranscribeFlags(Flags):
    """Transcribe recordings of any length, or live audio, into transmissions with times."""

    inputs: list[Path] = argument(
        "audio files, folders, or - for raw PCM (signed 16 bit, little-endian) on standard input", positional=True
    )
    checkpoint_dir: Path = argument("run folder of stages.train")
    out_dir: Path | None = argument("folder for the transcripts, one file per recording (standard output)", None)
    format: Literal["jsonl", "srt", "vtt", "TextGrid"] = argument("jsonl, srt, vtt or TextGrid (jsonl)", "jsonl")
    device: str | None = argument("cpu, cuda or cuda:N (the first GPU, or cpu where there is none)", None)
    lm_dir: Path | None = argument("language model folder of stages.lm", None)
    lexicon: Path | None = argument("text file of further words, one a line", None)
    boost: Path | None = argument("CSV of call signs expected on frequency (callsign[,file,start,end])", None)
    calibration: Path | None = argument("calibration of stages.calibrate for the word confidences", None)
    pcm_rate: Annotated[int, Field(ge=1000)] = argument("sample rate of raw PCM, Hz (16000)", 16000)
    pcm_channels: Annotated[int, Field(ge=1)] = argument("interleaved channels of raw PCM (1)", 1)


class RecordingReader:
    """Segments of several recordings in order; unreadable recordings are logged and listed in `failed`."""

    def __init__(self, files: Sequence[Path], params: SegmentParams, sample_rate: int) -> None:
        self.durations: dict[Path, float] = {}  # seconds read of each file
        self.failed: list[Path] = []
        self._files = files
        self._params = params
        self._sample_rate = sample_rate

    def __iter__(self) -> Iterator[Segment]:
        with tqdm(unit="s", desc="transcribe", disable=None, smoothing=0) as bar:
            for file in self._files:
                segmenter = Segmenter(self._params, self._sample_rate, str(file))
                try:
                    yield from segmenter.segments(self._blocks(file, bar))
                except InputError as error:
                    log.error("%s", error)
                    self.failed.append(file)

    def _blocks(self, file: Path, bar: tqdm) -> Iterator[np.ndarray]:
        self.durations[file] = 0.0
        for block in read_blocks(file, self._sample_rate):
            self.durations[file] += len(block) / self._sample_rate
            bar.update(len(block) / self._sample_rate)
            yield block


def _run_files(transcriber: Transcriber, params: SegmentParams, flags: TranscribeFlags) -> None:
    """Transcribe files and folders; a transcript is written as soon as the next recording has transmissions."""
    names = dict(find_audio(flags.inputs))
    if flags.out_dir is None and len(names) > 1 and flags.format != "jsonl":
        raise InputError(f"--format {flags.format}: got {len(names)} recordings without --out_dir, wanted a folder")
    reader = RecordingReader(list(names), params, transcriber.recognizer.sample_rate)

    def write(file: Path, transmissions: list[Transmission]) -> None:
        if file in reader.failed:
            return
        text = FORMATS[flags.format](transmissions, reader.durations[file])
        if flags.out_dir is None:
            sys.stdout.write(text)
        else:
            write_text(flags.out_dir / names[file].with_name(f"{names[file].name}.{flags.format}"), text)

    started = time.perf_counter()
    stream = transcriber.transcribe(reader, BATCHES_PER_GROUP * transcriber.batch_seconds)
    empty = set(names)
    for file, group in itertools.groupby(stream, key=lambda transmission: Path(transmission.file)):
        write(file, list(group))
        empty.discard(file)
    for file in sorted(empty - set(reader.failed)):
        log.warning(messages.NO_TRANSMISSIONS, file)
        write(file, [])
    audio = sum(reader.durations.values())
    seconds = time.perf_counter() - started
    log.info(messages.TRANSCRIBE_DONE, len(names), audio, seconds, audio / seconds)
    if reader.failed:
        raise InputError(f"{len(reader.failed)} of {len(names)} recordings cannot be read: {reader.failed[0]} …")


def _run_live(transcriber: Transcriber, params: SegmentParams, flags: TranscribeFlags) -> None:
    """Transcribe standard input until it ends; each transmission is written as soon as it has ended."""
    rate = transcriber.recognizer.sample_rate
    blocks = read_pcm(sys.stdin.buffer, flags.pcm_rate, flags.pcm_channels, rate)
    segmenter = Segmenter(params, rate, str(STANDARD_INPUT))
    for transmission in transcriber.transcribe(segmenter.segments(blocks), 0.0):
        sys.stdout.write(jsonl([transmission], 0.0))
        sys.stdout.flush()


def _find_device(name: str | None) -> "torch.device":
    """The device of a name; without a name the first GPU, or the CPU where there is none."""
    import torch

    from atc_asr.model.network import pick_device

    try:
        return torch.zeros(1, device=name).device if name else pick_device()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise InputError(f"--device {name}: cannot be used: {str(error).splitlines()[0]}") from error


def run(
    decode: DecodeParams,
    posteriors: PosteriorsParams,
    segment: SegmentParams,
    operators: OperatorsParams,
    flags: TranscribeFlags,
) -> None:
    """Transcribe.

    Raises:
        InputError: an input, the run folder, the device or another file cannot be used; readable recordings are
            written before unreadable ones are reported.
    """
    sources = SearchSources(lm_dir=flags.lm_dir, lexicon=flags.lexicon)
    asked, decode = decode, resolve(decode, sources)
    if flags.boost is not None:
        check_boost(decode)
    live = STANDARD_INPUT in flags.inputs
    if live and (len(flags.inputs) > 1 or flags.out_dir is not None or flags.format != "jsonl"):
        raise InputError("-: got other inputs, --out_dir or --format, wanted standard input alone, as jsonl")
    # Imported here because the processes of the search import this module and do not need torch.
    from atc_asr.model import run_folder

    transcriber = Transcriber(
        run_folder.load_recognizer(flags.checkpoint_dir, device=_find_device(flags.device)),
        decode.model_copy(update={"num_processes": 1}) if live else decode,
        posteriors.batch_seconds,
        sources,
        CallsignBoost(read_expected(flags.boost) if flags.boost is not None else [], operators.operators),
        read_calibration(flags.calibration) if flags.calibration is not None else None,
    )
    log_search(asked, decode)
    (_run_live if live else _run_files)(transcriber, segment, flags)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run(*cli.parse(argv, DecodeParams, PosteriorsParams, SegmentParams, OperatorsParams, TranscribeFlags))


if __name__ == "__main__":
    # oneDNN keeps 1,024 kernels by default, each compiled for one shape; it reads the limit before its first kernel.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    cli.enter(main)
