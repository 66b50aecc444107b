"""Detection of transmissions in a long recording or a live stream.

A transmission starts when a detector's score exceeds its threshold, and ends after a hangover time below it. Blocks may
have any size, and memory does not grow with the length of the stream.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atc_asr.core.files import utf8_name
from atc_asr.transcribe.detectors import VoiceBand, decibels, make_detector
from atc_asr.transcribe.params import SegmentParams

ATTACK_SECONDS = 0.06  # the score must stay above the threshold this long to start a transmission


@dataclass(frozen=True)
class Track:
    """A recording, or one of its channels."""

    path: Path
    channel: str = ""  # empty where the channels are not kept apart

    @property
    def file(self) -> str:
        """The path as text; bytes of its name that are not UTF-8 are escaped."""
        return utf8_name(str(self.path))


@dataclass(frozen=True)
class Segment:
    """A transmission in a recording; `start` and `duration` in seconds, `samples` (S,) float32."""

    track: Track
    start: float
    duration: float
    samples: np.ndarray


class Segmenter:
    """Cuts a stream of samples at `sample_rate` (Hz) into transmissions.

    A live stream is examined from its first second on: until the threshold is known, what was heard so far is examined
    again with each block.
    """

    def __init__(self, params: SegmentParams, sample_rate: int, track: Track, *, live: bool = False) -> None:
        """
        Raises:
            InputError: the detector cannot be used.
        """
        self.track = track
        self.num_segments = 0
        self.quiet_seconds = 0.0  # sound above the noise, below the lowest level of a transmission
        self._sample_rate = sample_rate
        self._live = live
        self._filter = VoiceBand(sample_rate)
        self._detector = make_detector(params, sample_rate)
        self._frame_samples = round(self._detector.frame_seconds * sample_rate)
        self._attack = self._num_frames(ATTACK_SECONDS)
        self._hangover = self._num_frames(params.hangover_seconds)
        self._padding = self._num_frames(params.padding_seconds)
        self._max_frames = self._num_frames(params.max_seconds)
        self._energy = 0.0  # of the stream in the voice band
        self._num_added = 0  # frames of the stream
        self._is_settled = False  # whether the detector was ready when the buffer was examined
        self._remainder: np.ndarray = np.zeros(0, dtype=np.float32)  # samples that do not fill a frame yet
        # Buffered frames and their scores. Frame numbers count from the beginning of the stream.
        self._frames: list[np.ndarray] = []
        self._scores: list[float] = []
        self._first_frame = 0  # number of the first buffered frame
        self._restart()

    def _restart(self) -> None:
        self._position = 0  # index into the buffer of the next frame to examine
        self._start_frame: int | None = None  # first frame of the current transmission
        self._num_above = 0  # consecutive frames above the threshold, outside a transmission
        self._num_below = 0  # consecutive frames below the threshold, inside a transmission

    def _num_frames(self, seconds: float) -> int:
        """A duration in frames, at least 1."""
        return max(1, round(seconds / self._detector.frame_seconds))

    @property
    def seconds(self) -> float:
        """Duration of the stream so far."""
        return (self._num_added * self._frame_samples + len(self._remainder)) / self._sample_rate

    @property
    def level(self) -> float:
        """Level of the stream so far in the voice band, dB of full scale."""
        return float(decibels(self._energy / max(1, self._num_added * self._frame_samples)))

    def add(self, samples: np.ndarray) -> Iterator[Segment]:
        """Take the next samples (S,) float32; yields the transmissions that end in them."""
        samples = np.concatenate((self._remainder, samples))
        whole = len(samples) // self._frame_samples * self._frame_samples
        self._remainder = samples[whole:]
        band = self._filter(samples[:whole]).reshape(-1, self._frame_samples)
        self._energy += float(np.square(band).sum(dtype=np.float64))
        self._num_added += len(band)
        self._frames += list(samples[:whole].reshape(-1, self._frame_samples))
        self._scores += self._detector.scores(band).tolist()
        if self._is_settled or self._live or self._detector.is_ready():
            yield from self._examine()

    def finish(self) -> Iterator[Segment]:
        """The last transmissions, at the end of the stream."""
        if self._scores:
            yield from self._examine()
        if self._start_frame is not None:  # the stream ends within a transmission
            self._frames.append(self._remainder)
            yield self._cut(self._start_frame, self._first_frame + len(self._frames))

    def _examine(self) -> Iterator[Segment]:
        """Examine the new frames of the buffer; yields the transmissions that end in them."""
        if not self._is_settled:
            self._restart()
            self._is_settled = self._detector.is_ready()
        if not self._scores:
            return
        threshold = self._detector.threshold()
        while self._position < len(self._scores):
            frame = self._first_frame + self._position
            above = self._scores[self._position] > threshold
            self._position += 1
            if self._start_frame is None:
                if self._is_settled and self._detector.is_too_quiet(self._scores[self._position - 1]):
                    self.quiet_seconds += self._detector.frame_seconds
                self._num_above = self._num_above + 1 if above else 0
                if self._num_above >= self._attack:
                    start = max(self._first_frame, frame + 1 - self._num_above - self._padding)
                    # A recording that begins with a transmission loses nothing of it.
                    self._start_frame = start if start > self._padding else self._first_frame
                    self._num_below = 0
                continue
            self._num_below = 0 if above else self._num_below + 1
            if self._num_below >= self._hangover:
                end = frame + 1 - self._num_below + min(self._padding, self._num_below)
                if end > self._start_frame:  # not when a long transmission was cut in the silence at its end
                    yield self._cut(self._start_frame, end)
                self._start_frame, self._num_above, self._num_below = None, 0, 0
            elif frame + 1 - self._start_frame >= self._max_frames:
                end = self._quietest_frame(self._start_frame, frame + 1)
                yield self._cut(self._start_frame, end)
                self._start_frame = end
        if self._start_frame is None and self._is_settled:
            self._drop(max(0, self._position - self._padding - self._num_above))

    def _quietest_frame(self, start: int, end: int) -> int:
        """The frame with the lowest score in the last third of a transmission, at which it is cut."""
        begin = start + 2 * (end - start) // 3
        return begin + int(np.argmin(self._scores[begin - self._first_frame : end - self._first_frame]))

    def _cut(self, start: int, end: int) -> Segment:
        """The frames `start` to `end` as a segment; frames before `end` leave the buffer."""
        samples = np.concatenate(self._frames[start - self._first_frame : end - self._first_frame])
        self._drop(end - self._first_frame)
        self.num_segments += 1
        start_seconds = start * self._frame_samples / self._sample_rate
        return Segment(self.track, start_seconds, len(samples) / self._sample_rate, samples)

    def _drop(self, count: int) -> None:
        """Remove the first frames of the buffer."""
        del self._frames[:count]
        del self._scores[:count]
        self._first_frame += count
        self._position = max(0, self._position - count)


def detect(segmenters: Sequence[Segmenter], blocks: Iterable[np.ndarray]) -> Iterator[Segment]:
    """The transmissions of a stream of blocks (S, C), each as soon as it has ended; a channel for each segmenter."""
    for block in blocks:
        for segmenter, samples in zip(segmenters, block.T, strict=True):
            yield from segmenter.add(samples)
    for segmenter in segmenters:
        yield from segmenter.finish()
