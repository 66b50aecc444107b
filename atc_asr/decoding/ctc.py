"""CTC operations: best path, collapsing, forced alignment, and word times.

T encoder frames, V tokens (0 = blank), U labels of a hypothesis. A path holds one token number per frame.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atc_asr.hypotheses.hypotheses import Word
from atc_asr.tokenizer.tokens import SPACE, Tokens

BLANK_ID = 0


@dataclass(frozen=True)
class Candidate:
    """A result of a search: text, total score (natural log), and the path (T,) if the search provides it."""

    hyp: str
    score: float
    path: np.ndarray | None = None


class TokenSpan(NamedTuple):
    """The frames of a label: token number, first and last frame, and its highest log-probability in them."""

    token: int
    first: int
    last: int
    log_prob: float


def collapse(path: np.ndarray) -> np.ndarray:
    """Labels (U,) of a path (T,): repeats removed, then blanks (Graves et al. 2006, section 3)."""
    return path[(np.diff(path, prepend=-1) != 0) & (path != BLANK_ID)]


def text_of(path: np.ndarray, tokens: Tokens) -> str:
    """Text of a path (T,); several word boundaries in a row become one space."""
    return " ".join(tokens.decode(collapse(path).tolist()).split())


def greedy(log_probs: np.ndarray, tokens: Tokens) -> Candidate:
    """Best path: the most probable token of every frame of `log_probs` (T, V)."""
    path = log_probs.argmax(axis=1)
    return Candidate(text_of(path, tokens), float(log_probs.max(axis=1).sum(dtype=np.float64)), path)


def align(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """The most probable path (T,) of labels (U,) through `log_probs` (T, V); None when there are too few frames."""
    num_repeats = int((labels[1:] == labels[:-1]).sum())  # equal neighbours need a blank between them
    if len(labels) + num_repeats > len(log_probs):
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
    """Spans of the labels of a path (T,) through `log_probs` (T, V)."""
    if path.size == 0:
        return []
    firsts = np.flatnonzero(np.diff(path, prepend=-1))
    lasts = np.append(firsts[1:], len(path)) - 1
    frame_scores = log_probs[np.arange(len(path)), path]
    best_scores = np.maximum.reduceat(frame_scores, firsts)
    spans = map(TokenSpan, path[firsts].tolist(), firsts.tolist(), lasts.tolist(), best_scores.tolist())
    return [span for span in spans if span.token != BLANK_ID]


def group_words(spans: list[TokenSpan], tokens: Tokens) -> list[tuple[str, list[TokenSpan]]]:
    """Group spans into words with their texts; a symbol that starts with `▁` starts a word, `▁` alone is a boundary."""
    words: list[tuple[str, list[TokenSpan]]] = []
    starts_word = True
    for span in spans:
        symbol = tokens.symbols[span.token]
        starts_word = starts_word or symbol.startswith(SPACE)
        if symbol == SPACE:
            continue
        text, members = ("", []) if starts_word else words.pop()
        words.append((text + symbol.removeprefix(SPACE), [*members, span]))
        starts_word = False
    return words


def words_of_path(path: np.ndarray, log_probs: np.ndarray, tokens: Tokens, frame_seconds: float) -> tuple[Word, ...]:
    """Words of a path (T,) with times in seconds.

    The confidence of a word is the geometric mean of its labels' highest posteriors.
    """
    return tuple(
        Word(
            word=text,
            start=spans[0].first * frame_seconds,
            end=(spans[-1].last + 1) * frame_seconds,
            confidence=float(min(1.0, np.exp(np.mean([span.log_prob for span in spans])))),
        )
        for text, spans in group_words(token_spans(path, log_probs), tokens)
    )
