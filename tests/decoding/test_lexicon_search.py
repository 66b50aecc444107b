"""The searches over words and tokens compared with brute force, and words added to the lexicon for an utterance."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.decoding import lexicon
from atc_asr.decoding.ctc import text_of
from atc_asr.decoding.lexicon import LexiconSearch, frames_to_search, token_lexicon
from atc_asr.decoding.params import DecodeParams
from atc_asr.lm.lexicon import spell
from atc_asr.lm.ngram import estimate, load_kenlm, write_arpa
from atc_asr.tokenizer.tokens import Tokens, char_tokens, train_spm
from tests.echo import log_posteriors, spoken_path

WORDS = ["A", "AB", "BA"]
TOKENS = char_tokens(["AB BA"])
LEXICON = spell(WORDS, TOKENS, "x")
EXHAUSTIVE = DecodeParams(
    search="lexicon",
    beam_size=2000,
    lm_weight=0.0,
    word_score=0.0,
    oov_score=-1000.0,
    oov_uncertainty_penalty=0.0,
    beam_threshold=1e6,
    nbest=3,
    words=False,
    slots=False,
    boost_score=0.0,
    num_processes=1,
)


def options(**changes: float) -> DecodeParams:
    return EXHAUSTIVE.model_copy(update=changes)


@pytest.fixture(scope="module", autouse=True)
def no_pruning() -> Iterator[None]:
    """Search all tokens on all frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon, "BEAM_TOKENS", 100)
        patch.setattr(lexicon, "BLANK_THRESHOLD", 1.0)
        yield


def random_log_probs(seed: int, num_frames: int, num_tokens: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(scale=2, size=(num_frames, num_tokens))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


@pytest.fixture(scope="module")
def arpa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lm") / "word.arpa"
    write_arpa(path, estimate([["A", "AB"], ["AB", "A"], ["A", "AB", "BA"], ["AB", "BA"]], 2))
    return path


PATHS = np.array(list(itertools.product(range(len(TOKENS)), repeat=6)))
TEXTS = [text_of(path, TOKENS) for path in PATHS]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), lm_weight=st.sampled_from([0.0, 0.7]), word_score=st.sampled_from([0.0, -1.0]))
def test_lexicon_search_matches_brute_force(arpa: Path, seed: int, lm_weight: float, word_score: float) -> None:
    log_probs = random_log_probs(seed, 6, len(TOKENS))
    kenlm_model = load_kenlm(arpa)
    scores = log_probs[np.arange(6), PATHS].sum(axis=1)
    totals: dict[str, float] = {}
    for text, score in zip(TEXTS, scores.tolist(), strict=True):
        if set(text.split()) <= set(WORDS):
            totals[text] = max(totals.get(text, -math.inf), score)
    for text in totals:
        totals[text] += lm_weight * math.log(10) * kenlm_model.score(text) + word_score * len(text.split())
    search = LexiconSearch(
        options(lm_weight=lm_weight, word_score=word_score), TOKENS, LEXICON, arpa if lm_weight else None
    )
    found = search(log_probs)
    assert found[0].score == pytest.approx(max(totals.values()), abs=1e-3)
    assert [one.score for one in found] == pytest.approx([totals[one.hyp] for one in found], abs=1e-3)


@pytest.mark.parametrize("text", ["AB BA A", "A A", "BA", ""])
def test_text_and_path(text: str) -> None:
    path = spoken_path(text, TOKENS)
    search = LexiconSearch(options(), TOKENS, LEXICON, None)
    found = search(log_posteriors(path, len(TOKENS), 0.9))[0]
    assert found.hyp == text
    assert found.path.tolist() == path.tolist()


def test_oov_word_at_its_score() -> None:
    log_probs = log_posteriors(spoken_path("A BBA A", TOKENS), len(TOKENS), 0.9)
    assert LexiconSearch(options(oov_score=-1000.0), TOKENS, LEXICON, None)(log_probs)[0].hyp != "A BBA A"
    cheap = LexiconSearch(options(oov_score=-1.5), TOKENS, LEXICON, None)(log_probs)[0]
    free = LexiconSearch(options(oov_score=0.0), TOKENS, LEXICON, None)(log_probs)[0]
    assert cheap.hyp == free.hyp == "A BBA A"
    assert free.score - cheap.score == pytest.approx(1.5, abs=1e-3)


def test_oov_uncertainty_penalty_per_expected_wrong_token() -> None:
    path = spoken_path("A BBA A", TOKENS)
    log_probs = log_posteriors(path, len(TOKENS), 0.9)
    free = LexiconSearch(options(oov_score=-1.0), TOKENS, LEXICON, None)(log_probs)[0]
    cheap = LexiconSearch(options(oov_score=-1.0, oov_uncertainty_penalty=-2.0), TOKENS, LEXICON, None)(log_probs)[0]
    assert cheap.hyp == free.hyp == "A BBA A"
    assert free.score - cheap.score == pytest.approx(2.0 * 3 * 0.1, abs=1e-3)
    first_b = int(np.flatnonzero(path == TOKENS.encode("B")[0])[0])
    log_probs[first_b : first_b + 2] = np.log([0.2, 0.2, 0.5, 0.1])  # blank A B ▁: the first B is uncertain
    assert LexiconSearch(options(oov_score=-1.0), TOKENS, LEXICON, None)(log_probs)[0].hyp == "A BBA A"
    strict = LexiconSearch(options(oov_score=-1.0, oov_uncertainty_penalty=-9.0), TOKENS, LEXICON, None)
    assert strict(log_probs)[0].hyp == "A BA A"


@pytest.mark.parametrize("with_lm", [False, True])
def test_oov_score_larger_than_the_beam_threshold(arpa: Path, with_lm: bool) -> None:
    """Without the look-ahead the OOV word would fill the beam until its end, where it is dropped."""
    log_probs = log_posteriors(spoken_path("AB BABBABBABB BA AB", TOKENS), len(TOKENS), 0.6)
    narrow = options(beam_threshold=3.0, oov_score=-2.0, oov_uncertainty_penalty=-8.0, lm_weight=0.7 * with_lm)
    found = LexiconSearch(narrow, TOKENS, LEXICON, arpa if with_lm else None)(log_probs)[0]
    assert found.hyp == text_of(found.path, TOKENS)
    assert found.hyp.startswith("AB BA") and found.hyp.endswith(" BA AB")


@pytest.mark.parametrize("seed", [5, 121])
def test_text_is_complete_when_no_word_can_end(seed: int) -> None:
    """On noise a narrow beam ends inside a word."""
    log_probs = random_log_probs(seed, 20, len(TOKENS))
    narrow = options(beam_size=3, beam_threshold=1.0, oov_score=-4.0, oov_uncertainty_penalty=-8.0)
    for one in LexiconSearch(narrow, TOKENS, LEXICON, None)(log_probs):
        assert one.hyp == text_of(one.path, TOKENS)


def test_added_entries_are_removed() -> None:
    search = LexiconSearch(options(oov_score=-1.0, beam_size=100), TOKENS, LEXICON, None)
    noise = random_log_probs(3, 40, len(TOKENS))
    before = [(one.hyp, one.score) for one in search(noise)]
    for seed in range(20):
        search(random_log_probs(seed, 30, len(TOKENS)), expected=["AB BA", "BA A B"])
    assert [(one.hyp, one.score) for one in search(noise)] == before


def test_expected_callsign_is_boosted_and_scored_by_the_ngram(arpa: Path) -> None:
    path = spoken_path("A AB", TOKENS)
    log_probs = log_posteriors(path, len(TOKENS), 0.9)
    b_frames = np.flatnonzero(path == TOKENS.encode("B")[0])
    log_probs[b_frames, path[b_frames]] = np.log(0.01)
    log_probs[b_frames, 0] = np.log(0.5)
    search = LexiconSearch(options(lm_weight=0.5, boost_score=6.0), TOKENS, LEXICON, arpa)
    assert search(log_probs)[0].hyp == "A A"
    boosted = search(log_probs, expected=["A AB"])[0]
    assert boosted.hyp == "A AB"
    language = 0.5 * math.log(10) * load_kenlm(arpa).score("A AB")
    acoustic = log_probs[np.arange(len(path)), boosted.path].sum()
    assert boosted.score == pytest.approx(acoustic + language + 12.0, abs=1e-3)


def test_skipping_blank_frames_keeps_text_and_path(monkeypatch: pytest.MonkeyPatch) -> None:
    log_probs = np.log(np.array([[0.999, 0.001], [0.999, 0.001], [0.2, 0.8], [0.999, 0.001], [0.999, 0.001]]))
    assert frames_to_search(log_probs, 0.99).tolist() == [0, 2, 3]
    assert frames_to_search(log_probs, 1.0).tolist() == [0, 1, 2, 3, 4]
    log_probs = log_posteriors(np.repeat(spoken_path("AB BA", TOKENS), 3), len(TOKENS), 0.995)
    search = LexiconSearch(options(), TOKENS, LEXICON, None)
    all_frames = search(log_probs)[0]
    monkeypatch.setattr(lexicon, "BLANK_THRESHOLD", 0.9)
    some_frames = search(log_probs)[0]
    assert some_frames.hyp == all_frames.hyp == "AB BA"
    assert some_frames.path.tolist() == all_frames.path.tolist()


@pytest.fixture(scope="module")
def pieces() -> Tokens:
    return train_spm(["DELTA ONE TWO", "DELTA TWO", "UNITED ONE", "UNITED TWO ONE DELTA"] * 5, 15)


def test_sentencepiece_words_of_several_frames_and_oov(pieces: Tokens) -> None:
    path = spoken_path("UNITED DUO ONE", pieces)
    log_probs = log_posteriors(path, len(pieces), 0.9)
    search = LexiconSearch(options(oov_score=-2.0), pieces, spell(["UNITED", "ONE", "DELTA"], pieces, "x"), None)
    found = search(log_probs)[0]
    assert found.hyp == "UNITED DUO ONE"
    assert found.path.tolist() == path.tolist()


def test_lexicon_free_search_finds_any_string(tmp_path: Path) -> None:
    write_arpa(tmp_path / "token.arpa", estimate([list("AB▁BA"), list("BA▁AB")], 3))
    search = LexiconSearch(
        options(search="lexicon_free", lm_weight=0.5), TOKENS, token_lexicon(TOKENS), tmp_path / "token.arpa"
    )
    assert search(log_posteriors(spoken_path("ABBA AB", TOKENS), len(TOKENS), 0.9))[0].hyp == "ABBA AB"


def test_no_frames() -> None:
    empty = np.zeros((0, len(TOKENS)), dtype=np.float32)
    assert LexiconSearch(options(), TOKENS, LEXICON, None)(empty)[0].hyp == ""
    assert LexiconSearch(options(search="lexicon_free"), TOKENS, token_lexicon(TOKENS), None)(empty)[0].hyp == ""
