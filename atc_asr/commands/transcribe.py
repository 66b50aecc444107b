"""Transcribe recordings or live audio with a trained network: a recogniser folder, or a run folder in torch."""

import errno
import itertools
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from tqdm import tqdm

from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.core import cli, messages, workers
from atc_asr.core.config import Flags, Shard, argument
from atc_asr.core.errors import InputError
from atc_asr.core.files import write_text
from atc_asr.core.outputs import check_file
from atc_asr.core.params import OperatorsParams
from atc_asr.decoding.boost import CallsignBoost, read_expected
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import SearchSources, check_boost, log_search, resolve
from atc_asr.deploy.recognizer_folder import RecognizerFolder, find_params, open_folder
from atc_asr.hypotheses.confidence import read_calibration
from atc_asr.posteriors.params import PosteriorsParams
from atc_asr.transcribe.detectors import make_detector
from atc_asr.transcribe.formats import FORMATS, LIKE, Transmission, jsonl
from atc_asr.transcribe.onnx_network import OnnxNetwork
from atc_asr.transcribe.params import SegmentParams
from atc_asr.transcribe.recording import (
    find_audio,
    open_recording,
    read_blocks,
    read_pcm,
    resample,
    select_channels,
)
from atc_asr.transcribe.segment import Segment, Segmenter, Track, detect
from atc_asr.transcribe.transcriber import Recognizer, Transcriber

log = logging.getLogger(__name__)

STANDARD_INPUT = Path("-")
EXIT_SOME_FAILED = 1
QUIET_SECONDS = 1.0  # of sound below the lowest level of a transmission that are worth a warning
FULL_SCALE = 0.999  # samples from here on are clipped
MAX_CLIPPED = 0.001  # fraction of clipped samples that is worth a warning
BATCHES_PER_GROUP = 4  # batches whose segments are sorted by duration together


class TranscribeFlags(Flags):
    """Transcribe recordings of any length, or live audio, into transmissions with times.

    A recogniser folder of stages.package has all settings in it and needs no torch: transcribe RECOGNIZER recording.wav
    """

    inputs: list[Path] = argument(
        "recogniser folder (not with --checkpoint_dir), then audio files, folders, or - for raw PCM (signed 16 bit, "
        "little-endian) on standard input",
        positional=True,
    )
    checkpoint_dir: Path | None = argument("run folder of stages.train, instead of a recogniser folder", None)
    trust: bool = argument("execute the run folder's hyperparams.yaml, which can run any code (read it as data)", False)
    out_dir: Path | None = argument(
        "folder for the transcripts, one file per recording (standard output)", None, output=True
    )
    format: Literal["jsonl", "srt", "vtt", "TextGrid"] = argument("jsonl, srt, vtt or TextGrid (jsonl)", "jsonl")
    channels: Literal["mix", "split", "left", "right"] = argument(
        "mix, left, right, or split: a transcript for each channel (mix)", "mix"
    )
    device: str | None = argument("cpu, cuda or cuda:N of a run folder (the first GPU, or cpu without one)", None)
    lm_dir: Path | None = argument("language model folder of stages.lm (that of the recogniser folder)", None)
    lexicon: Path | None = argument("text file of further words, one a line", None)
    boost: Path | None = argument("CSV of call signs expected on frequency (callsign[,file,start,end])", None)
    calibration: Path | None = argument(
        "calibration of stages.calibrate for the word confidences (that of the recogniser folder)", None
    )
    shard: Shard | None = argument("I/N: only the I-th of N parts of the recordings, for several machines", None)
    pcm_rate: Annotated[int, Field(ge=1000)] = argument("sample rate of raw PCM, Hz (16000)", 16000)
    pcm_channels: Annotated[int, Field(ge=1)] = argument("interleaved channels of raw PCM (1)", 1)

    @classmethod
    def params_file(cls, given: Mapping[str, Any]) -> Path:
        """That of the recogniser folder."""
        return find_params(Path(given["inputs"][0])) if given["checkpoint_dir"] is None else super().params_file(given)


class RecordingReader:
    """Segments of several recordings in order; unreadable recordings are logged and listed in `failed`."""

    def __init__(self, params: SegmentParams, channels: str, sample_rate: int) -> None:
        self.files: list[Path] = []
        self.segmenters: dict[Path, list[Segmenter]] = {}  # of each file, one or one for each channel
        self.failed: list[Path] = []
        self._params = params
        self._channels = channels
        self._sample_rate = sample_rate

    def __iter__(self) -> Iterator[Segment]:
        with tqdm(unit="s", desc="transcribe", disable=None, smoothing=0) as bar:
            for file in self.files:
                try:
                    yield from self._segments(Track(file), bar)
                except Exception as error:  # whatever is wrong with one recording, the others are transcribed
                    self.fail(file, error)

    def fail(self, file: Path, error: Exception) -> None:
        """Log the error and list the file."""
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        log.error(messages.RECORDING_FAILED, Track(file).file, reason or type(error).__name__)
        self.failed.append(file)

    def _segments(self, track: Track, bar: tqdm) -> Iterator[Segment]:
        with open_recording(track) as audio:
            rate, count = audio.samplerate, audio.channels
            names, select = select_channels(self._channels, rate, count, track.file)
            segmenters = [Segmenter(self._params, self._sample_rate, replace(track, channel=name)) for name in names]
            self.segmenters[track.path] = segmenters

            num_samples = num_clipped = 0

            def blocks() -> Iterator[np.ndarray]:
                nonlocal num_samples, num_clipped
                for block in read_blocks(track, audio):
                    bar.update(len(block) / rate)
                    num_samples += block.size
                    num_clipped += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))
                    yield select(block)

            yield from detect(segmenters, resample(blocks(), rate, self._sample_rate, len(names)))
            if num_clipped > MAX_CLIPPED * num_samples:
                log.warning(messages.CLIPPED, track.file, 100 * num_clipped / num_samples)


def _run_files(transcriber: Transcriber, params: SegmentParams, group_seconds: float, flags: TranscribeFlags) -> None:
    """Transcribe files and folders; a transcript is written as soon as the next recording has transmissions.

    Raises:
        InputError: the inputs cannot be used, or none of them can be read.
        SystemExit: some of them cannot be read.
    """
    names = dict(workers.take_shard(list(find_audio(flags.inputs).items()), flags.shard))
    if flags.out_dir is None and flags.format != "jsonl" and (len(names) > 1 or flags.channels == "split"):
        raise InputError(f"--format {flags.format}: got several transcripts without --out_dir, wanted a folder")
    reader = RecordingReader(params, flags.channels, transcriber.recognizer.sample_rate)
    for file in names:
        try:
            if flags.out_dir is not None:
                check_file(_out_file(flags, names[file], ""), LIKE[flags.format])
            reader.files.append(file)
        except OSError as error:  # the name of its transcript is too long
            reader.fail(file, error)
    num_empty = 0

    def write(file: Path, transmissions: list[Transmission]) -> None:
        nonlocal num_empty
        for segmenter in () if file in reader.failed else reader.segmenters[file]:
            track = segmenter.track
            found = [transmission for transmission in transmissions if transmission.track == track]
            name = " ".join(filter(None, (track.file, track.channel)))
            if segmenter.quiet_seconds > QUIET_SECONDS:
                log.warning(messages.TOO_QUIET, name, segmenter.quiet_seconds, params.min_level)
            if not found:
                log.warning(messages.NO_WORDS, name, segmenter.num_segments, segmenter.seconds, segmenter.level)
                num_empty += 1
            text = FORMATS[flags.format](found, segmenter.seconds)
            if flags.out_dir is None:
                sys.stdout.write(text)
                continue
            try:
                write_text(_out_file(flags, names[file], track.channel), text, LIKE[flags.format])
            except (InputError, OSError) as error:
                if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
                    raise
                reader.fail(file, error)
                return

    started = time.perf_counter()
    stream = transcriber.transcribe(reader, group_seconds)
    silent = dict(names)
    for file, group in itertools.groupby(stream, key=lambda transmission: transmission.track.path):
        write(file, list(group))
        del silent[file]
    for file in silent:
        write(file, [])
    audio = sum(segmenters[0].seconds for segmenters in reader.segmenters.values())
    seconds = time.perf_counter() - started
    num_failed = len(reader.failed)
    log.info(messages.TRANSCRIBE_DONE, len(names) - num_failed, audio, seconds, audio / seconds, num_empty, num_failed)
    if names and num_failed == len(names):
        raise InputError(f"none of {num_failed} recordings could be transcribed, first: {reader.failed[0]}")
    if num_failed:
        sys.exit(EXIT_SOME_FAILED)


def _out_file(flags: TranscribeFlags, name: Path, channel: str) -> Path:
    """The transcript of a recording, or of one of its channels."""
    assert flags.out_dir is not None
    return flags.out_dir / name.with_name(".".join(filter(None, (name.name, channel, flags.format))))


def _run_live(transcriber: Transcriber, params: SegmentParams, flags: TranscribeFlags) -> None:
    """Transcribe standard input until it ends; each transmission is written as soon as it has ended."""
    rate = transcriber.recognizer.sample_rate
    track = Track(STANDARD_INPUT)
    names, select = select_channels(flags.channels, flags.pcm_rate, flags.pcm_channels, track.file)
    segmenters = [Segmenter(params, rate, replace(track, channel=name), live=True) for name in names]
    blocks = map(select, read_pcm(sys.stdin.buffer, flags.pcm_rate, flags.pcm_channels))
    segments = detect(segmenters, resample(blocks, flags.pcm_rate, rate, len(names)))
    for transmission in transcriber.transcribe(segments, 0.0):
        sys.stdout.write(jsonl([transmission], 0.0))
        sys.stdout.flush()


def _use_folder(
    flags: TranscribeFlags, operators: OperatorsParams, folder: RecognizerFolder
) -> tuple[TranscribeFlags, OperatorsParams]:
    """The flags without the recogniser folder among the inputs, and both with the folder's files where none are given.

    Raises:
        InputError: the folder is the only input, or the device is not its.
    """
    if flags.device not in (None, "cpu"):
        raise InputError(f"--device: got {flags.device} with a recogniser folder, wanted cpu, or --checkpoint_dir")
    if len(flags.inputs) == 1:
        raise InputError(f"{folder.path}: got a recogniser folder alone, wanted recordings after it")
    found = {"lm_dir": flags.lm_dir or folder.lm_dir, "calibration": flags.calibration or folder.calibration}
    if operators.operators is None and folder.operators is not None:
        operators = operators.model_copy(update={"operators": str(folder.operators)})
    return flags.model_copy(update={**found, "inputs": flags.inputs[1:]}), operators


def _load(flags: TranscribeFlags, folder: RecognizerFolder | None, batch_seconds: float) -> Recognizer:
    """The network of the recogniser folder, or in torch that of the run folder.

    Raises:
        InputError: the folder or the device cannot be used.
    """
    if folder is not None:
        return OnnxNetwork(folder)
    assert flags.checkpoint_dir is not None
    # oneDNN keeps 1,024 kernels by default, each compiled for one shape; it reads the limit before its first kernel.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    from atc_asr.transcribe.torch_network import TorchNetwork

    return TorchNetwork(flags.checkpoint_dir, device=flags.device, trust=flags.trust, batch_seconds=batch_seconds)


def run(
    decode: DecodeParams,
    posteriors: PosteriorsParams,
    segment: SegmentParams,
    operators: OperatorsParams,
    flags: TranscribeFlags,
) -> None:
    """Transcribe.

    Raises:
        InputError: an input, the recogniser, the device or another file cannot be used; readable recordings are
            written before unreadable ones are reported.
        SystemExit: some of the recordings cannot be read.
    """
    folder = open_folder(flags.inputs[0]) if flags.checkpoint_dir is None else None
    if folder is not None:
        flags, operators = _use_folder(flags, operators, folder)
    sources = SearchSources(lm_dir=flags.lm_dir, lexicon=flags.lexicon)
    asked, decode = decode, resolve(decode, sources)
    if flags.boost is not None:
        check_boost(decode)
    live = STANDARD_INPUT in flags.inputs
    if live and (len(flags.inputs) > 1 or flags.out_dir or flags.shard or flags.format != "jsonl"):
        raise InputError("-: got other inputs, --out_dir, --shard or --format, wanted standard input alone, as jsonl")
    transcriber = Transcriber(
        _load(flags, folder, posteriors.batch_seconds),
        decode.model_copy(update={"num_processes": 1}) if live else decode,
        sources,
        CallsignBoost(read_expected(flags.boost) if flags.boost is not None else [], operators.operators),
        read_calibration(flags.calibration) if flags.calibration is not None else None,
        load_operators(operators.operators) if decode.slots else None,
        cleans=segment.detector != "none",
    )
    make_detector(segment, transcriber.recognizer.sample_rate)  # raises its errors before any recording is read
    log_search(asked, decode)
    if live:
        _run_live(transcriber, segment, flags)
    else:
        _run_files(transcriber, segment, BATCHES_PER_GROUP * posteriors.batch_seconds, flags)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run(*cli.parse(argv, DecodeParams, PosteriorsParams, SegmentParams, OperatorsParams, TranscribeFlags))


if __name__ == "__main__":
    cli.enter(main)
