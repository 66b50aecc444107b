"""Transmissions in a long recording or a live stream, found by level, as a receiver's squelch finds them.

The noise floor is a low percentile of the levels of the last seconds, so it follows a fading carrier; the squelch
opens a margin above it and closes after a quiet hang time. Audio comes in blocks of any size and memory stays flat.
"""

import collections
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from atc_asr.transcribe.params import SegmentParams

FRAME_SECONDS = 0.02
SILENCE = 1e-10  # power of digital silence, -100 dB of full scale


@dataclass(frozen=True)
class Segment:
    """A stretch of audio: where it starts (seconds from the beginning) and its samples (S,)."""

    start: float
    samples: np.ndarray


def frame_levels(samples: np.ndarray, frame_samples: int) -> np.ndarray:
    """Levels (N,) in dB of full scale of whole frames of samples (N * frame_samples,)."""
    power = np.square(samples.reshape(-1, frame_samples), dtype=np.float32).mean(axis=1)
    return 10 * np.log10(np.maximum(power, SILENCE))


class Segmenter:
    """Cuts a stream of samples into transmissions."""

    def __init__(self, params: SegmentParams, sample_rate: int) -> None:
        self._params = params
        self._sample_rate = sample_rate
        self._frame_samples = round(FRAME_SECONDS * sample_rate)
        self._attack, self._hang, self._margin, self._longest = (
            max(1, round(seconds / FRAME_SECONDS))
            for seconds in (
                params.attack_seconds,
                params.hangover_seconds,
                params.padding_seconds,
                params.max_seconds,
            )
        )
        self._recent: collections.deque[float] = collections.deque(
            maxlen=max(1, round(params.floor_seconds / FRAME_SECONDS))
        )
        self._rest = np.zeros(0, dtype=np.float32)
        self._frames: list[np.ndarray] = []  # samples not yet cut, from frame `_first` on
        self._levels: list[float] = []
        self._first = 0
        self._undecided = 0  # index into `_frames` of the next frame to decide about
        self._opened: int | None = None  # frame of the stream at which the squelch opened
        self._loud = 0  # frames in a row above, while closed
        self._quiet = 0  # frames in a row below, while open

    def push(self, samples: np.ndarray) -> list[Segment]:
        """Take samples (S,) float32; returns the transmissions that ended in them."""
        samples = np.concatenate((self._rest, samples))
        whole = len(samples) // self._frame_samples * self._frame_samples
        self._rest = samples[whole:]
        if not whole:
            return []
        levels = frame_levels(samples[:whole], self._frame_samples).tolist()
        self._frames += list(samples[:whole].reshape(-1, self._frame_samples))
        self._levels += levels
        self._recent.extend(levels)
        if len(self._recent) < self._recent.maxlen:
            return []  # the first seconds wait until the noise floor is known
        return list(self._decide())

    def flush(self) -> list[Segment]:
        """The stream has ended: the transmission that was still open, if any."""
        found = list(self._decide()) if self._levels else []
        if self._opened is not None:
            found.append(self._cut(self._opened, self._first + len(self._frames)))
        self._forget(len(self._frames))
        self._opened = None
        return found

    def _threshold(self) -> float:
        floor = float(np.percentile(np.fromiter(self._recent, dtype=np.float32), self._params.floor_percentile))
        return max(floor + self._params.margin, self._params.min_level)

    def _decide(self) -> Iterator[Segment]:
        threshold = self._threshold()
        while self._undecided < len(self._levels):
            frame = self._first + self._undecided
            above = self._levels[self._undecided] > threshold
            self._undecided += 1
            if self._opened is None:
                self._loud = self._loud + 1 if above else 0
                if self._loud >= self._attack:
                    self._opened = max(self._first, frame + 1 - self._loud - self._margin)
                    self._quiet = 0
                continue
            self._quiet = 0 if above else self._quiet + 1
            if self._quiet >= self._hang:
                last = frame + 1 - self._quiet + min(self._margin, self._quiet)
                yield self._cut(self._opened, last)
                self._close(last)
            elif frame + 1 - self._opened >= self._longest:
                last = self._quietest(self._opened, frame + 1)
                yield self._cut(self._opened, last)
                self._forget(last - self._first)
                self._opened = last
        if self._opened is None:
            self._forget(max(0, self._undecided - self._margin - self._loud))

    def _close(self, last: int) -> None:
        self._forget(last - self._first)
        self._opened, self._loud, self._quiet = None, 0, 0

    def _quietest(self, opened: int, end: int) -> int:
        """Frame at which a long transmission is cut: the quietest of its last third."""
        begin = opened + 2 * (end - opened) // 3
        levels = self._levels[begin - self._first : end - self._first]
        return begin + int(np.argmin(levels))

    def _cut(self, first: int, last: int) -> Segment:
        frames = self._frames[first - self._first : last - self._first]
        return Segment(first * self._frame_samples / self._sample_rate, np.concatenate(frames))

    def _forget(self, count: int) -> None:
        del self._frames[:count]
        del self._levels[:count]
        self._first += count
        self._undecided = max(0, self._undecided - count)
