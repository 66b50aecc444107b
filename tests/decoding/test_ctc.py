"""CTC operations on hand-made paths, and forced alignment compared with brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.decoding.ctc import BLANK_ID, align, collapse, greedy, text_of, words_of_path
from atc_asr.tokenizer.tokens import Tokens
from tests.echo import TOKENS, log_posteriors, spoken_path

PATHS = st.lists(st.integers(0, 3), max_size=12).map(lambda path: np.array(path, dtype=np.int64))


def naive_collapse(path: list[int]) -> list[int]:
    return [token for token, _ in itertools.groupby(path) if token != 0]


@given(PATHS)
def test_collapse_removes_repeats_then_blanks(path: np.ndarray) -> None:
    assert collapse(path).tolist() == naive_collapse(path.tolist())


@settings(deadline=None)
@given(PATHS)
def test_labels_of_a_path_fit_its_frames(path: np.ndarray) -> None:
    assert align(np.zeros((len(path), len(TOKENS)), dtype=np.float32), collapse(path)) is not None


def test_greedy_text_and_score() -> None:
    log_probs = log_posteriors(spoken_path("DELTA ONE", TOKENS), len(TOKENS), 0.9)
    candidate = greedy(log_probs, TOKENS)
    assert candidate.hyp == "DELTA ONE"
    assert candidate.score == pytest.approx(len(log_probs) * np.log(0.9), rel=1e-5)


def test_repeated_word_boundaries_become_one_space() -> None:
    space = TOKENS.encode("A B")[1]
    a, b = TOKENS.encode("A")[0], TOKENS.encode("B")[0]
    assert text_of(np.array([space, a, space, BLANK_ID, space, b, space]), TOKENS) == "A B"


def test_no_frames() -> None:
    empty = np.zeros((0, len(TOKENS)), dtype=np.float32)
    assert greedy(empty, TOKENS).hyp == ""
    assert words_of_path(np.zeros(0, dtype=np.int64), empty, TOKENS, 0.02) == ()


def best_path_by_brute_force(log_probs: np.ndarray, labels: list[int]) -> float:
    num_frames, num_tokens = log_probs.shape
    return max(
        sum(log_probs[frame, token] for frame, token in enumerate(path))
        for path in itertools.product(range(num_tokens), repeat=num_frames)
        if naive_collapse(list(path)) == labels
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_alignment_matches_brute_force(seed: int, labels: list[int]) -> None:
    logits = np.random.default_rng(seed).normal(size=(5, 3))
    log_probs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    path = align(log_probs, np.array(labels))
    assert collapse(path).tolist() == labels
    assert log_probs[np.arange(5), path].sum() == pytest.approx(best_path_by_brute_force(log_probs, labels), abs=1e-4)


def test_equal_neighbours_need_another_frame() -> None:
    assert align(np.zeros((2, 3), dtype=np.float32), np.array([1, 1])) is None
    assert align(np.zeros((3, 3), dtype=np.float32), np.array([1, 1])) is not None
    assert align(np.zeros((2, 3), dtype=np.float32), np.array([], dtype=np.int64)).tolist() == [0, 0]


def test_word_times_and_confidences() -> None:
    path = spoken_path("AB C", TOKENS)  # 0 A A 0 B B 0 ▁ ▁ 0 C C 0
    words = words_of_path(path, log_posteriors(path, len(TOKENS), 0.5), TOKENS, 0.02)
    assert [(word.word, round(word.start, 3), round(word.end, 3)) for word in words] == [
        ("AB", 0.02, 0.12),
        ("C", 0.2, 0.24),
    ]
    assert [word.confidence for word in words] == pytest.approx([0.5, 0.5])


def test_words_of_sentencepiece_tokens() -> None:
    tokens = Tokens(("<blank>", "▁DEL", "TA", "▁ONE", "▁"))
    path = np.array([1, 0, 2, 2, 3, 0, 4, 2])
    words = words_of_path(path, np.zeros((8, 5), dtype=np.float32), tokens, 1.0)
    assert [(word.word, word.start, word.end) for word in words] == [
        ("DELTA", 0.0, 4.0),
        ("ONE", 4.0, 5.0),
        ("TA", 7.0, 8.0),
    ]
