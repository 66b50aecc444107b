"""N-gram language models: interpolated modified Kneser-Ney smoothing, written as ARPA, queried by KenLM.

Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3; estimated as
Heafield et al. 2013 do (`lmplz`): lower orders count distinct left neighbours, n-grams that start with `<s>` keep
their counts, unigrams are interpolated with the uniform distribution over the words, `<unk>` and `</s>`.
"""

import contextlib
import logging
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atc_asr.core.errors import InputError
from atc_asr.core.files import new_file

log = logging.getLogger(__name__)

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
UNK_ID, BOS_ID, EOS_ID = 0, 1, 2
NEVER = -99.0  # ARPA's log10 of a probability that is never asked for: `<s>` given anything
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # lmplz --discount_fallback
WORD_ARPA, TOKEN_ARPA, WORDS_FILE = "word.arpa", "token.arpa", "words.txt"


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of one order k, N of them; all arrays (N,).

    Attributes:
        history: index of the first k-1 words among the n-grams of order k-1.
        suffix: index of the last k-1 words, likewise.
        word: number of the last word.
        count: times seen.
        from_start: whether the first word is `<s>`.
    """

    history: np.ndarray
    suffix: np.ndarray
    word: np.ndarray
    count: np.ndarray
    from_start: np.ndarray


@dataclass(frozen=True)
class NgramModel:
    """Probabilities of all n-grams; index k-1 of a list is order k.

    Attributes:
        words: word per number; `<unk>`, `<s>`, `</s>` first.
        grams: the n-grams.
        log_probs: log10 of the interpolated probabilities, (N,) each.
        backoffs: log10 of the backoff weights, (N,) each; 0 where nothing follows.
        discounts: D1, D2, D3+ of each order.
        fallbacks: orders whose counts of counts gave no usable discounts.
    """

    words: tuple[str, ...]
    grams: list[Grams]
    log_probs: list[np.ndarray]
    backoffs: list[np.ndarray]
    discounts: list[tuple[float, float, float]]
    fallbacks: list[int]


def number_words(sentences: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Words in order of their spelling after the three marks, all sentences as one array, each word's sentence."""
    numbers: dict[str, int] = {}
    text: list[int] = []
    lengths: list[int] = []
    for sentence in sentences:
        text.append(-1)
        text.extend(numbers.setdefault(word, len(numbers)) for word in sentence)
        text.append(-2)
        lengths.append(len(sentence) + 2)
    words = sorted(numbers)
    new_numbers = np.empty(len(numbers) + 2, dtype=np.int64)
    new_numbers[[numbers[word] for word in words]] = np.arange(3, len(words) + 3)
    new_numbers[-1], new_numbers[-2] = BOS_ID, EOS_ID
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return (UNK, BOS, EOS, *words), new_numbers[np.array(text, dtype=np.int64)], rows


def count_grams(text: np.ndarray, rows: np.ndarray, num_words: int, order: int) -> list[Grams]:
    """Distinct n-grams of every order up to `order`, none across sentences.

    Args:
        text: word numbers of all sentences, marks included, (M,).
        rows: sentence of each of them, (M,).
        num_words: vocabulary with its marks.
        order: the highest order.

    Raises:
        InputError: no sentence is as long as the highest order.
    """
    unigrams = np.bincount(text, minlength=num_words)
    numbers = np.arange(num_words)
    nothing = np.zeros(num_words, dtype=np.int64)
    grams = [Grams(nothing, nothing, numbers, unigrams, numbers == BOS_ID)]
    ids = text
    for k in range(2, order + 1):
        starts = np.flatnonzero(rows[: len(rows) - k + 1] == rows[k - 1 :])
        if len(starts) == 0:
            raise InputError(f"lm: no sentence has an n-gram of order {k}, wanted a lower order or more text")
        keys = ids[starts] * num_words + text[starts + k - 1]
        _, firsts, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        firsts = starts[firsts]
        grams.append(Grams(ids[firsts], ids[firsts + 1], text[firsts + k - 1], counts, text[firsts] == BOS_ID))
        ids = np.full(len(text), -1)
        ids[starts] = inverse
    return grams


def adjusted_counts(grams: list[Grams]) -> list[np.ndarray]:
    """Counts as Kneser-Ney takes them: below the highest order, distinct left neighbours, but for `<s> …`."""
    adjusted = []
    for order, gram in enumerate(grams, start=1):
        counts = gram.count
        if order < len(grams):
            neighbours = np.bincount(grams[order].suffix, minlength=len(counts))
            counts = np.where(gram.from_start, counts, neighbours)
        if order == 1:
            counts = counts.copy()
            counts[BOS_ID] = 0
        adjusted.append(counts)
    return adjusted


def discounts_of(counts: np.ndarray) -> tuple[float, float, float] | None:
    """D1, D2, D3+ from counts of counts (Chen & Goodman 1999, equation 17); None when they cannot be estimated."""
    n1, n2, n3, n4 = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if 0 in (n1, n2, n3):
        return None
    y = n1 / (n1 + 2 * n2)
    discounts = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    usable = all(0 <= discount <= number for number, discount in enumerate(discounts, start=1))
    return discounts if usable else None


def estimate(sentences: Iterable[Sequence[str]], order: int) -> NgramModel:
    """The model of some sentences.

    Raises:
        InputError: there is no sentence, or none is as long as the order.
    """
    words, text, rows = number_words(sentences)
    if len(words) == 3:
        raise InputError("lm: the sentences hold no words, wanted some text")
    grams = count_grams(text, rows, len(words), order)
    model = NgramModel(words, grams, [], [], [], [])
    lower = np.full(1, 1 / (len(words) - 1))  # uniform: every word, `<unk>` and `</s>`, not `<s>`
    for k, (gram, counts) in enumerate(zip(grams, adjusted_counts(grams), strict=True), start=1):
        discounts = discounts_of(counts)
        if discounts is None:
            model.fallbacks.append(k)
            discounts = FALLBACK_DISCOUNTS
        discount = np.array((0.0, *discounts))[np.minimum(counts, 3)]
        num_histories = len(lower)
        totals = np.bincount(gram.history, weights=counts, minlength=num_histories)
        kept = np.bincount(gram.history, weights=discount, minlength=num_histories)
        followed = totals > 0
        backoff = np.divide(kept, totals, out=np.ones(num_histories), where=followed)
        probabilities = (counts - discount) / totals[gram.history] + backoff[gram.history] * lower[gram.suffix]
        if k == 1:
            probabilities[BOS_ID] = 10**NEVER
        else:
            model.backoffs.append(np.log10(backoff))
        model.log_probs.append(np.log10(probabilities))
        model.discounts.append(discounts)
        lower = probabilities
    model.backoffs.append(np.zeros(len(grams[-1].word)))
    if model.fallbacks:
        log.warning("orders %s: too little text to estimate discounts, took %s", model.fallbacks, FALLBACK_DISCOUNTS)
    return model


def write_arpa(path: Path, model: NgramModel) -> None:
    """Write a model in ARPA form, the same bytes for the same text."""
    with new_file(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {k}={len(gram.word)}\n" for k, gram in enumerate(model.grams, start=1))
        texts: list[str] = []
        for k, gram in enumerate(model.grams, start=1):
            file.write(f"\n\\{k}-grams:\n")
            names = [model.words[word] for word in gram.word.tolist()]
            if k > 1:
                names = [f"{texts[history]} {name}" for history, name in zip(gram.history.tolist(), names, strict=True)]
            texts = names
            lines = zip(model.log_probs[k - 1].tolist(), texts, model.backoffs[k - 1].tolist(), strict=True)
            if k == len(model.grams):
                file.writelines(f"{log_prob:.7g}\t{name}\n" for log_prob, name, _ in lines)
            else:
                file.writelines(f"{log_prob:.7g}\t{name}\t{backoff:.7g}\n" for log_prob, name, backoff in lines)
        file.write("\n\\end\\\n")


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Without what C++ writes to standard error: KenLM draws a progress bar for every ARPA."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def load_kenlm(path: Path):
    """KenLM's model of an ARPA or binary file.

    Raises:
        InputError: the file is missing or KenLM cannot read it.
    """
    import kenlm

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file, wanted an ARPA of stages.lm")
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        with quiet_stderr():
            return kenlm.Model(str(path), config)
    except OSError as error:
        raise InputError(f"{path}: KenLM cannot read it: {' '.join(str(error).split())[:200]}") from error


def check_units(model, units: Iterable[str], arpa: Path) -> None:
    """Refuse a model of another alphabet or another kind of unit, under which everything is `<unk>`.

    Raises:
        InputError: it knows none of the units.
    """
    units = list(units)
    if not any(unit in model for unit in units):
        raise InputError(f"{arpa}: knows none of {len(units)} units ({', '.join(units[:3])} …), wanted their n-gram")


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts some sentences; `</s>` counts as a word.

    Attributes:
        with_oov: perplexity of all words, unknown ones at the probability of `<unk>`.
        without_oov: perplexity of the known words.
        oov_rate: share of unknown words, per cent.
    """

    with_oov: float
    without_oov: float
    oov_rate: float


def perplexity(model, sentences: Iterable[str]) -> Perplexity:
    """Perplexity of sentences (words or tokens with spaces between them) under a KenLM model."""
    scores = [(score, oov) for sentence in sentences for score, _, oov in model.full_scores(sentence)]
    known = [score for score, oov in scores if not oov]
    if not known:
        raise InputError("lm: no valid word is in the language model, wanted texts of one kind")
    return Perplexity(
        math.pow(10, -sum(score for score, _ in scores) / len(scores)),
        math.pow(10, -sum(known) / len(known)),
        100 * (len(scores) - len(known)) / len(scores),
    )


def arpa_of(lm_dir: Path, name: str) -> Path:
    """A file of a language-model folder.

    Raises:
        InputError: it is not there.
    """
    path = Path(lm_dir) / name
    if not path.is_file():
        wanted = "lm.token_order above 0" if name == TOKEN_ARPA else "a folder of stages.lm"
        raise InputError(f"{path}: no such file, wanted {wanted}")
    return path
