"""Detection of transmissions in a long recording or a live stream, by level.

The noise floor is a low percentile of the levels of the last seconds, so it follows a fading carrier. A transmission
starts when the level exceeds the floor by a threshold and ends after a hangover time below it. Blocks may have any
size, and memory does not grow with the length of the stream.
"""

import collections
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from atc_asr.transcribe.params import SegmentParams

FRAME_SECONDS = 0.02
MIN_POWER = 1e-10  # power of digital silence, -100 dB of full scale
FLOOR_PERCENTILE = 10.0  # percentile of the recent levels that is the noise floor
FLOOR_SECONDS = 10.0  # duration of the recent levels
ATTACK_SECONDS = 0.06  # the level must stay above the threshold this long to start a transmission


@dataclass(frozen=True)
class Segment:
    """A transmission in a recording; `start` and `duration` in seconds, `samples` (S,) float32."""

    file: str
    start: float
    duration: float
    samples: np.ndarray


def frame_levels(samples: np.ndarray, frame_samples: int) -> np.ndarray:
    """Levels (N,) in dB of full scale of samples (N * frame_samples,)."""
    power = np.square(samples.reshape(-1, frame_samples), dtype=np.float32).mean(axis=1)
    return 10 * np.log10(np.maximum(power, MIN_POWER))


def num_frames(seconds: float) -> int:
    """A duration in frames, at least 1."""
    return max(1, round(seconds / FRAME_SECONDS))


class Segmenter:
    """Cuts a stream of samples at `sample_rate` (Hz) into transmissions; `file` names the recording."""

    def __init__(self, params: SegmentParams, sample_rate: int, file: str) -> None:
        self._params = params
        self._sample_rate = sample_rate
        self._file = file
        self._frame_samples = round(FRAME_SECONDS * sample_rate)
        self._attack = num_frames(ATTACK_SECONDS)
        self._hangover = num_frames(params.hangover_seconds)
        self._padding = num_frames(params.padding_seconds)
        self._max_frames = num_frames(params.max_seconds)
        self._floor_frames = num_frames(FLOOR_SECONDS)
        self._recent_levels: collections.deque[float] = collections.deque(maxlen=self._floor_frames)
        self._remainder: np.ndarray = np.zeros(0, dtype=np.float32)  # samples that do not fill a frame yet
        # Buffered frames and their levels. Frame numbers count from the beginning of the stream.
        self._frames: list[np.ndarray] = []
        self._levels: list[float] = []
        self._first_frame = 0  # number of the first buffered frame
        self._position = 0  # index into the buffer of the next frame to examine
        self._start_frame: int | None = None  # first frame of the current transmission
        self._num_above = 0  # consecutive frames above the threshold, outside a transmission
        self._num_below = 0  # consecutive frames below the threshold, inside a transmission

    def segments(self, blocks: Iterable[np.ndarray]) -> Iterator[Segment]:
        """The transmissions of a whole stream of blocks (S,) float32, each as soon as it has ended."""
        for block in blocks:
            self._add(block)
            if len(self._recent_levels) == self._floor_frames:  # otherwise the noise floor is not known yet
                yield from self._examine()
        if self._levels:
            yield from self._examine()
        if self._start_frame is not None:  # the stream ends within a transmission
            yield self._cut(self._start_frame, self._first_frame + len(self._frames))

    def _add(self, samples: np.ndarray) -> None:
        """Add the whole frames of samples (S,) to the buffer; the rest waits for the next samples."""
        samples = np.concatenate((self._remainder, samples))
        whole = len(samples) // self._frame_samples * self._frame_samples
        self._remainder = samples[whole:]
        levels = frame_levels(samples[:whole], self._frame_samples).tolist()
        self._frames += list(samples[:whole].reshape(-1, self._frame_samples))
        self._levels += levels
        self._recent_levels.extend(levels)

    def _examine(self) -> Iterator[Segment]:
        """Examine the new frames of the buffer; yields the transmissions that end in them."""
        floor = float(np.percentile(np.fromiter(self._recent_levels, dtype=np.float32), FLOOR_PERCENTILE))
        threshold = max(floor + self._params.threshold_db, self._params.min_level)
        while self._position < len(self._levels):
            frame = self._first_frame + self._position
            above = self._levels[self._position] > threshold
            self._position += 1
            if self._start_frame is None:
                self._num_above = self._num_above + 1 if above else 0
                if self._num_above >= self._attack:
                    self._start_frame = max(self._first_frame, frame + 1 - self._num_above - self._padding)
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
        if self._start_frame is None:
            self._drop(max(0, self._position - self._padding - self._num_above))

    def _quietest_frame(self, start: int, end: int) -> int:
        """The quietest frame in the last third of a transmission, at which it is cut."""
        begin = start + 2 * (end - start) // 3
        return begin + int(np.argmin(self._levels[begin - self._first_frame : end - self._first_frame]))

    def _cut(self, start: int, end: int) -> Segment:
        """The frames `start` to `end` as a segment; frames before `end` leave the buffer."""
        samples = np.concatenate(self._frames[start - self._first_frame : end - self._first_frame])
        self._drop(end - self._first_frame)
        start_seconds = start * self._frame_samples / self._sample_rate
        return Segment(self._file, start_seconds, len(samples) / self._sample_rate, samples)

    def _drop(self, count: int) -> None:
        """Remove the first frames of the buffer."""
        del self._frames[:count]
        del self._levels[:count]
        self._first_frame += count
        self._position = max(0, self._position - count)
