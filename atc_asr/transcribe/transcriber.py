"""Recognition of the segments of recordings: runs the network in batches and the search, and adds start times."""

import collections
import contextlib
import ctypes
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from atc_asr.atc.grammar.structure import add_slots
from atc_asr.atc.vocabulary.operators import Operators
from atc_asr.decoding.boost import CallsignBoost
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Job, SearchSources, decode_all
from atc_asr.hypotheses.confidence import Calibration, recalibrate
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.transcribe.clean import clean
from atc_asr.transcribe.formats import Transmission, place
from atc_asr.transcribe.segment import Segment

NO_SAMPLES = np.zeros(0, dtype=np.float32)


class Recognizer(Protocol):
    """A trained network: of a recogniser folder (`OnnxNetwork`) or of a run folder (`TorchNetwork`)."""

    tokens: Tokens
    sample_rate: int  # Hz
    frame_seconds: float  # duration of an encoder frame

    def log_probs(self, signals: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Log-probabilities (T, V) float16 of waveforms (S,) float32 in [-1, 1); `names` are for messages."""


def release_freed_memory() -> None:
    """Return freed memory to the operating system, where the C library is glibc (malloc_trim(3)).

    Without this, batches of new shapes fragment the heap. Mapping each large block separately (mallopt(3)) also bounds
    memory, but half of the time is then spent on page faults.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # raised by other C libraries
        ctypes.CDLL(None).malloc_trim(0)


def group_by_duration(segments: Iterable[Segment], seconds: float) -> Iterator[list[Segment]]:
    """Consecutive segments with at least `seconds` of audio together; 0 = one segment at a time."""
    group: list[Segment] = []
    total = 0.0
    for segment in segments:
        group.append(segment)
        total += segment.duration
        if total >= seconds:
            yield group
            group, total = [], 0.0
    if group:
        yield group


@dataclass(frozen=True)
class Transcriber:
    """Recognises segments; memory does not grow with the length of the recording."""

    recognizer: Recognizer
    params: DecodeParams
    sources: SearchSources
    boost: CallsignBoost
    calibration: Calibration | None
    operators: Operators | None = None  # those that slots are read with, None = slots are not read
    cleans: bool = True  # whether what receivers add to transmissions is removed from them

    def transcribe(self, segments: Iterable[Segment], group_seconds: float) -> Iterator[Transmission]:
        """Transmissions in order; segments without recognised words are left out.

        Args:
            segments: of one or more recordings.
            group_seconds: audio that is collected and sorted into batches of similar duration, seconds; 0 = each
                segment is recognised at once.
        """
        pending: collections.deque[Segment] = collections.deque()
        jobs = self._jobs(segments, group_seconds, pending)
        tokens, frame_seconds = self.recognizer.tokens, self.recognizer.frame_seconds
        for hypothesis in decode_all(self.params, tokens, frame_seconds, self.sources, jobs):
            segment = pending.popleft()
            if hypothesis.hyp:
                if self.calibration is not None:
                    hypothesis = recalibrate(self.calibration, hypothesis)
                one = place(hypothesis, segment.track, segment.start, segment.start + segment.duration)
                if self.operators is not None:
                    one = dataclasses.replace(one, hypothesis=add_slots(one.hypothesis, self.operators))
                yield one

    def _jobs(
        self, segments: Iterable[Segment], group_seconds: float, pending: collections.deque[Segment]
    ) -> Iterator[Job]:
        """Search jobs of segments in order; appends each segment, without its samples, to `pending` before its job."""
        for group in group_by_duration(segments, group_seconds):
            names = [f"{segment.track.file} at {segment.start:.1f} s" for segment in group]
            signals = [segment.samples for segment in group]
            if self.cleans:
                signals = [clean(samples, self.recognizer.sample_rate) for samples in signals]
            for segment, log_probs in zip(group, self.recognizer.log_probs(signals, names), strict=True):
                pending.append(dataclasses.replace(segment, samples=NO_SAMPLES))
                end = segment.start + segment.duration
                expected = self.boost.forms(Path(segment.track.file).stem, segment.start, end)
                yield Job(f"{segment.track.file}#{segment.start}", log_probs, expected)
            release_freed_memory()
