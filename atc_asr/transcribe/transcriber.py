"""A stream of audio -> transmissions: cut, run through the network in batches, searched, placed in time.

Memory stays flat however long the stream is: of audio only the windows under way are held.
"""

import collections
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atc_asr.decoding.boost import CallsignBoost
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Job, SearchSources, decode_all
from atc_asr.hypotheses.confidence import Calibration, recalibrate
from atc_asr.transcribe.captions import Transmission, place
from atc_asr.transcribe.memory import return_freed
from atc_asr.transcribe.segment import Segment, Segmenter

if TYPE_CHECKING:
    from atc_asr.posteriors.forward import Recognizer


@dataclass(frozen=True)
class Engine:
    """All that turns segments into transmissions."""

    recognizer: "Recognizer"
    params: DecodeParams
    batch_seconds: float
    sources: SearchSources
    boost: CallsignBoost
    calibration: Calibration | None


@dataclass(frozen=True)
class Piece:
    """A segment and the file it is from."""

    file: str
    segment: Segment
    seconds: float


def pieces_of(file: str, blocks: Iterable[np.ndarray], segmenter: Segmenter, sample_rate: int) -> Iterator[Piece]:
    """Transmissions of a stream of blocks, each as soon as its squelch closes."""
    for block in blocks:
        for segment in segmenter.push(block):
            yield Piece(file, segment, len(segment.samples) / sample_rate)
    for segment in segmenter.flush():
        yield Piece(file, segment, len(segment.samples) / sample_rate)


def windows(pieces: Iterable[Piece], seconds: float) -> Iterator[list[Piece]]:
    """Pieces gathered up to so many seconds of audio; 0 = each alone, at once."""
    gathered: list[Piece] = []
    total = 0.0
    for piece in pieces:
        gathered.append(piece)
        total += piece.seconds
        if total >= seconds:
            yield gathered
            gathered, total = [], 0.0
    if gathered:
        yield gathered


def search_jobs(
    engine: Engine, pieces: Iterable[Piece], window_seconds: float, waiting: collections.deque[Piece]
) -> Iterator[Job]:
    """Log-probabilities of pieces in their order; each piece is put into `waiting` before its job."""
    # Here and not above: the processes of the search import this module and need no torch.
    from atc_asr.posteriors.forward import batch_log_probs, sorted_batches

    for window in windows(pieces, window_seconds):
        found: dict[int, np.ndarray] = {}
        for batch in sorted_batches([piece.seconds for piece in window], engine.batch_seconds):
            names = [f"{window[row].file} at {window[row].segment.start:.1f} s" for row in batch]
            signals = [window[row].segment.samples for row in batch]
            found |= dict(zip(batch, batch_log_probs(engine.recognizer, signals, names), strict=True))
        for row, piece in enumerate(window):
            start = piece.segment.start
            waiting.append(Piece(piece.file, Segment(start, np.zeros(0, dtype=np.float32)), piece.seconds))
            forms = engine.boost.forms(Path(piece.file).stem, start, start + piece.seconds)
            yield Job(f"{piece.file}#{start}", found[row], forms)
        return_freed()


def transcribe(engine: Engine, pieces: Iterable[Piece], window_seconds: float) -> Iterator[Transmission]:
    """Transmissions in order; stretches in which the network hears nothing but blanks are left out."""
    waiting: collections.deque[Piece] = collections.deque()
    jobs = search_jobs(engine, pieces, window_seconds, waiting)
    tokens, frame_seconds = engine.recognizer.tokens, engine.recognizer.frame_seconds
    for hypothesis in decode_all(engine.params, tokens, frame_seconds, engine.sources, jobs):
        piece = waiting.popleft()
        if hypothesis.hyp:
            if engine.calibration is not None:
                hypothesis = recalibrate(engine.calibration, hypothesis)
            start = piece.segment.start
            yield place(hypothesis, piece.file, start, start + piece.seconds)
