"""Kneser-Ney smoothing compared with hand-computed values, with its definition and with KenLM's queries."""

import itertools
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.lm.ngram import (
    BOS,
    EOS,
    FALLBACK_DISCOUNTS,
    LOG10_ZERO,
    NgramModel,
    estimate,
    estimate_discounts,
    lm_file,
    load_kenlm,
    perplexity,
    write_arpa,
)

SENTENCES = st.lists(st.lists(st.sampled_from("abcde"), min_size=2, max_size=6), min_size=1, max_size=12)


def table(model: NgramModel, order: int, values: list[np.ndarray]) -> dict[tuple[str, ...], float]:
    """Values of one order by their words."""
    names: list[tuple[str, ...]] = [()]
    for gram in model.grams[:order]:
        names = [(*names[history], model.words[word]) for history, word in zip(gram.history, gram.word, strict=True)]
    return dict(zip(names, values[order - 1].tolist(), strict=True))


def test_bigram_model_matches_hand_computed_values() -> None:
    # "a b" and "a c": too little text for discounts, so D1 = 0.5, D2 = 1, D3+ = 1.5 (as lmplz --discount_fallback).
    model = estimate([["a", "b"], ["a", "c"]], 2)
    assert model.fallbacks == [1, 2]
    unigrams = {name: 10**value for name, value in table(model, 1, model.log_probs).items()}
    # Left neighbours: a 1 (<s>), b 1, c 1, </s> 2 (b, c); sum 5. Discounted: 3 x 0.5 + 1 = 2.5, distributed over
    # <unk>, </s>, a, b, c: 2.5 / 5 / 5 = 0.1 each.
    assert unigrams[("a",)] == pytest.approx(0.5 / 5 + 0.1)
    assert unigrams[(EOS,)] == pytest.approx(1 / 5 + 0.1)
    assert unigrams[("<unk>",)] == pytest.approx(0.1)
    assert table(model, 1, model.log_probs)[(BOS,)] == LOG10_ZERO
    bigrams = {name: 10**value for name, value in table(model, 2, model.log_probs).items()}
    backoffs = {name: 10**value for name, value in table(model, 1, model.backoffs).items()}
    # <s> a twice: (2 - 1) / 2 + 1 / 2 * p(a); a b once of a's two: (1 - 0.5) / 2 + 2 x 0.5 / 2 * p(b)
    assert backoffs[(BOS,)] == pytest.approx(0.5)
    assert bigrams[(BOS, "a")] == pytest.approx(0.5 + 0.5 * 0.2)
    assert backoffs[("a",)] == pytest.approx(0.5)
    assert bigrams[("a", "b")] == pytest.approx(0.25 + 0.5 * 0.2)
    assert bigrams[("b", EOS)] == pytest.approx(0.5 + 0.5 * 0.3)


def test_discounts_match_chen_and_goodman() -> None:
    counts = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4] * 1 + [9])
    y = 8 / (8 + 2 * 4)
    assert estimate_discounts(counts) == pytest.approx((1 - 2 * y * 4 / 8, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2))
    assert estimate_discounts(np.array([1, 1, 2])) is None


def naive_probability(sentences: list[list[str]], order: int, history: tuple[str, ...], word: str) -> float:
    """The recursive definition, computed with Counters."""
    text = [(BOS, *sentence, EOS) for sentence in sentences]
    vocabulary = {word for sentence in sentences for word in sentence} | {EOS, "<unk>"}

    def grams(length: int) -> list[tuple[str, ...]]:
        return [line[i : i + length] for line in text for i in range(len(line) - length + 1)]

    def counts(length: int) -> Counter:
        raw = Counter(grams(length))
        if length == order:
            return raw
        left = Counter(gram[1:] for gram in set(grams(length + 1)))
        return Counter({gram: raw[gram] if gram[0] == BOS else left[gram] for gram in raw if gram != (BOS,)})

    def discounts(length: int) -> tuple[float, float, float]:
        return estimate_discounts(np.array(list(counts(length).values()))) or FALLBACK_DISCOUNTS

    def probability(past: tuple[str, ...]) -> float:
        length = len(past) + 1
        following = {gram[-1]: count for gram, count in counts(length).items() if gram[:-1] == past}
        lower = probability(past[1:]) if past else 1 / len(vocabulary)
        if not following:
            return lower
        total, discount = sum(following.values()), (0.0, *discounts(length))
        own = following.get(word, 0)
        backoff = sum(discount[min(count, 3)] for count in following.values()) / total
        return (own - discount[min(own, 3)]) / total + backoff * lower

    return probability(history)


@settings(max_examples=25, deadline=None)
@given(SENTENCES, st.integers(2, 3))
def test_probabilities_match_the_definition(sentences: list[list[str]], order: int) -> None:
    model = estimate(sentences, order)
    for k in range(1, order + 1):
        for gram, log_prob in table(model, k, model.log_probs).items():
            if gram != (BOS,):
                expected = naive_probability(sentences, order, gram[:-1], gram[-1])
                assert 10**log_prob == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(SENTENCES)
def test_kenlm_probabilities_sum_to_one(tmp_path_factory: pytest.TempPathFactory, sentences: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("lm") / "x.arpa"
    write_arpa(path, estimate(sentences, 3))
    model = load_kenlm(path)
    vocabulary = sorted({word for sentence in sentences for word in sentence})
    for history in itertools.product(vocabulary, repeat=2):
        context = " ".join(history)
        past = model.score(context, bos=True, eos=False)
        following = [model.score(f"{context} {word}", bos=True, eos=False) - past for word in [*vocabulary, "unknown"]]
        following.append(model.score(context, bos=True, eos=True) - past)
        assert sum(10**score for score in following) == pytest.approx(1, abs=1e-4)


def test_kenlm_scores_match_the_model(tmp_path: Path) -> None:
    sentences = ["delta one two heading three", "delta one climb", "united two heading three", "climb delta one two"]
    model = estimate([sentence.split() for sentence in sentences], 3)
    write_arpa(tmp_path / "x.arpa", model)
    kenlm_model = load_kenlm(tmp_path / "x.arpa")
    trigrams = table(model, 3, model.log_probs)
    bigrams = table(model, 2, model.log_probs)
    words = (BOS, "delta", "one", "climb", EOS)
    expected = bigrams[words[:2]] + sum(trigrams[words[i : i + 3]] for i in range(3))
    assert kenlm_model.score("delta one climb") == pytest.approx(expected, abs=1e-5)


def test_arpa_file_is_deterministic(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_arpa(tmp_path / name, estimate([["x", "y"], ["y", "x", "x"]], 2))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_perplexity_with_and_without_oov(tmp_path: Path) -> None:
    write_arpa(tmp_path / "x.arpa", estimate([["a", "b"], ["a", "c"]], 2))
    with_oov, without_oov, oov_rate = perplexity(load_kenlm(tmp_path / "x.arpa"), ["a b", "a z"])
    assert oov_rate == pytest.approx(100 / 6)
    seen = math.log10(0.6) + math.log10(0.35) + math.log10(0.65)
    after_unknown = math.log10(0.3)  # </s> from the unigram: <unk> has no bigrams
    unknown = math.log10(0.5 * 0.1)
    assert with_oov == pytest.approx(10 ** (-(seen + math.log10(0.6) + unknown + after_unknown) / 6), rel=1e-4)
    assert without_oov == pytest.approx(10 ** (-(seen + math.log10(0.6) + after_unknown) / 5), rel=1e-4)


def test_error_messages(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have no words"):
        estimate([], 2)
    with pytest.raises(InputError, match="no sentence has an n-gram of order 4"):
        estimate([["a"]], 4)
    (tmp_path / "x.arpa").write_text("no model\n")
    with pytest.raises(InputError, match=r"x\.arpa: KenLM cannot read it"):
        load_kenlm(tmp_path / "x.arpa")
    write_arpa(tmp_path / "y.arpa", estimate([["a", "b"]], 2))
    with pytest.raises(InputError, match=r"y\.arpa: knows none of the 2 words or tokens \(A, B, \.\.\.\)"):
        load_kenlm(tmp_path / "y.arpa", ["A", "B"])
    with pytest.raises(InputError, match=r"token\.arpa: no such file, wanted lm\.token_order above 0"):
        lm_file(tmp_path, "token.arpa")


def test_import_does_not_load_torch() -> None:
    code = "import sys, atc_asr.lm.ngram; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
