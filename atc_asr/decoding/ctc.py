"""CTC arithmetic: best path, collapsing, and where on the time axis each word lies.

Legend: T encoder frames, V tokens (blank at 0), U labels of one hypothesis.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atc_asr.hypotheses.hypotheses import Word
from atc_asr.tokenizer.tokens import SPACE, Tokens

BLANK_ID = 0


@dataclass(frozen=True)
class Candidate:
    """One result of a search: text, total score (natural log) and, where the search knows it, its frame path.

    `path` holds a token number per frame, (T,), blanks and repeats included.
    """

    hyp: str
    score: float
    path: np.ndarray | None = None


class TokenSpan(NamedTuple):
    """One label on the time axis: first frame, last frame, and log-probability at its best frame."""

    token: int
    first: int
    last: int
    log_prob: float


def collapse(path: np.ndarray) -> np.ndarray:
    """Remove repeats, then blanks: the labels (U,) of a frame path (T,) (Graves et al. 2006, section 3)."""
    if path.size == 0:
        return path
    changed = np.concatenate(([True], path[1:] != path[:-1]))
    return path[changed & (path != BLANK_ID)]


def text_of(labels: np.ndarray, tokens: Tokens) -> str:
    """Text of labels with single spaces: a network may write several word boundaries in a row."""
    return " ".join(tokens.decode(labels.tolist()).split())


def greedy(log_probs: np.ndarray, tokens: Tokens) -> Candidate:
    """The most probable token of every frame of `log_probs` (T, V)."""
    path = log_probs.argmax(axis=1)
    score = float(log_probs.max(axis=1).sum(dtype=np.float64)) if len(path) else 0.0
    return Candidate(text_of(collapse(path), tokens), score, path)


def fits(labels: np.ndarray, num_frames: int) -> bool:
    """Whether labels (U,) have a CTC path of that many frames: a blank must part equal neighbours."""
    return len(labels) + int((labels[1:] == labels[:-1]).sum()) <= num_frames


def align(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """The best frame path (T,) of given labels (U,) through `log_probs` (T, V); None when they cannot fit."""
    if not fits(labels, len(log_probs)):
        return None
    if len(labels) == 0:
        return np.zeros(len(log_probs), dtype=np.int64)
    import torch
    from torchaudio.functional import forced_align

    path, _ = forced_align(
        torch.from_numpy(np.ascontiguousarray(log_probs, dtype=np.float32))[None],
        torch.from_numpy(labels.astype(np.int64))[None],
        blank=BLANK_ID,
    )
    return path[0].numpy()


def token_spans(path: np.ndarray, log_probs: np.ndarray) -> list[TokenSpan]:
    """The runs of equal, non-blank tokens of a frame path (T,)."""
    if path.size == 0:
        return []
    firsts = np.flatnonzero(np.concatenate(([True], path[1:] != path[:-1])))
    lasts = np.concatenate((firsts[1:], [len(path)])) - 1
    frame_scores = log_probs[np.arange(len(path)), path]
    bests = np.maximum.reduceat(frame_scores, firsts)
    runs = zip(*(column.tolist() for column in (path[firsts], firsts, lasts, bests)), strict=True)
    return [TokenSpan(*run) for run in runs if run[0] != BLANK_ID]


def group_words(spans: list[TokenSpan], tokens: Tokens) -> list[tuple[str, list[TokenSpan]]]:
    """Spans of every word with its text; `▁` alone is a boundary, in front of a piece it starts a word."""
    words: list[tuple[list[str], list[TokenSpan]]] = []
    starts_word = True
    for span in spans:
        symbol = tokens.symbols[span.token]
        if symbol.startswith(SPACE):
            starts_word = True
            symbol = symbol[len(SPACE) :]
        if not symbol:
            continue
        if starts_word:
            words.append(([], []))
        starts_word = False
        symbols, members = words[-1]
        symbols.append(symbol)
        members.append(span)
    return [("".join(symbols), members) for symbols, members in words]


def words_of_path(path: np.ndarray, log_probs: np.ndarray, tokens: Tokens, frame_seconds: float) -> tuple[Word, ...]:
    """Words of a frame path with times in seconds.

    Confidence is the geometric mean over the word's labels of the posterior at the label's best frame.
    """
    return tuple(
        Word(
            text,
            members[0].first * frame_seconds,
            (members[-1].last + 1) * frame_seconds,
            float(min(1.0, np.exp(np.mean([span.log_prob for span in members])))),
        )
        for text, members in group_words(token_spans(path, log_probs), tokens)
    )
