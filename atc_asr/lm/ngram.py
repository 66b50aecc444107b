"""N-gram language models: interpolated modified Kneser-Ney smoothing, written as ARPA, queried with KenLM.

The smoothing is that of Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling",
section 3, estimated as `lmplz` does (Heafield et al. 2013): lower orders count distinct left neighbours, n-grams that
start with `<s>` keep their counts, and unigrams are interpolated with the uniform distribution over the words, `<unk>`
and `</s>`.
"""

import contextlib
import itertools
import logging
import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.core.outputs import new_file

log = logging.getLogger(__name__)

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
UNK_ID, BOS_ID, EOS_ID = 0, 1, 2
LOG10_ZERO = -99.0  # ARPA's log10 of zero: the probability of `<s>` after any history
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # lmplz --discount_fallback
WORD_ARPA, TOKEN_ARPA, WORDS_FILE = "word.arpa", "token.arpa", "words.txt"


@dataclass(frozen=True)
class Grams:
    """The N distinct n-grams of one order k; all arrays (N,)."""

    history: np.ndarray  # index of the first k-1 words among the n-grams of order k-1
    suffix: np.ndarray  # index of the last k-1 words among the n-grams of order k-1
    word: np.ndarray  # number of the last word
    count: np.ndarray  # number of occurrences
    from_start: np.ndarray  # whether the first word is `<s>`


@dataclass(frozen=True)
class NgramModel:
    """Probabilities of all n-grams; index k-1 of a list is order k."""

    words: tuple[str, ...]  # word by number; `<unk>`, `<s>`, `</s>` first
    grams: list[Grams]
    log_probs: list[np.ndarray]  # log10 of the interpolated probabilities, (N,) each
    backoffs: list[np.ndarray]  # log10 of the backoff weights, (N,) each; 0 for an n-gram that is no history
    discounts: list[tuple[float, float, float]]  # D1, D2, D3+
    fallbacks: list[int]  # orders without valid discounts, which have `FALLBACK_DISCOUNTS`


def number_words(sentences: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Number the words of sentences in alphabetical order after `<unk>`, `<s>` and `</s>`.

    Returns:
        The word of each number; the numbers of all sentences with `<s>` and `</s>`, (M,); the sentence of each, (M,).
    """
    special = (UNK, BOS, EOS)
    numbers = {word: number for number, word in enumerate(special)}  # in order of appearance
    text, lengths = array("i"), array("i")
    for sentence in sentences:
        text.extend([numbers.setdefault(word, len(numbers)) for word in (BOS, *sentence, EOS)])
        lengths.append(len(sentence) + 2)
    words = (*special, *sorted(numbers.keys() - special))
    alphabetical = np.empty(len(words), dtype=np.int32)
    alphabetical[[numbers[word] for word in words]] = np.arange(len(words))
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return words, alphabetical[np.array(text, dtype=np.int32)], rows


def count_grams(text: np.ndarray, rows: np.ndarray, num_words: int, order: int) -> list[Grams]:
    """Count the distinct n-grams of every order up to `order`, for words and their sentences as in `number_words`.

    Raises:
        InputError: no sentence has as many words as the highest order.
    """
    unigrams = np.bincount(text, minlength=num_words)
    numbers = np.arange(num_words)
    empty = np.zeros(num_words, dtype=np.int64)
    grams = [Grams(empty, empty, numbers, unigrams, numbers == BOS_ID)]
    ids = text
    for k in range(2, order + 1):
        starts = np.flatnonzero(rows[: len(rows) - k + 1] == rows[k - 1 :])
        if len(starts) == 0:
            raise InputError(f"lm: no sentence has an n-gram of order {k}, wanted a lower order or more text")
        keys = ids[starts].astype(np.int64) * num_words + text[starts + k - 1]
        _, firsts, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        firsts = starts[firsts]
        grams.append(Grams(ids[firsts], ids[firsts + 1], text[firsts + k - 1], counts, text[firsts] == BOS_ID))
        ids = np.full(len(text), -1, dtype=np.int32)
        ids[starts] = inverse
    return grams


def adjusted_counts(grams: list[Grams]) -> list[np.ndarray]:
    """Occurrences at the highest order and of n-grams that start with `<s>`; distinct left neighbours of all others."""
    lower = [
        np.where(gram.from_start, gram.count, np.bincount(longer.suffix, minlength=len(gram.count)))
        for gram, longer in itertools.pairwise(grams)
    ]
    adjusted = [*lower, grams[-1].count.copy()]
    adjusted[0][BOS_ID] = 0
    return adjusted


def estimate_discounts(counts: np.ndarray) -> tuple[float, float, float] | None:
    """D1, D2, D3+ from counts of counts (Chen & Goodman 1999, equation 17); None when they are undefined or invalid."""
    n1, n2, n3, n4 = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if 0 in (n1, n2, n3):
        return None
    y = n1 / (n1 + 2 * n2)
    discounts = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    valid = all(0 <= discount <= number for number, discount in enumerate(discounts, start=1))
    return discounts if valid else None


def estimate(sentences: Iterable[Sequence[str]], order: int) -> NgramModel:
    """Estimate a model.

    Raises:
        InputError: the sentences have no words, or none has as many words as the order.
    """
    words, text, rows = number_words(sentences)
    if len(words) == 3:
        raise InputError("lm: the sentences have no words, wanted text")
    grams = count_grams(text, rows, len(words), order)
    model = NgramModel(words, grams, [], [], [], [])
    lower = np.full(1, 1 / (len(words) - 1))  # uniform over every word, `<unk>` and `</s>`, not `<s>`
    for k, (gram, counts) in enumerate(zip(grams, adjusted_counts(grams), strict=True), start=1):
        discounts = estimate_discounts(counts)
        if discounts is None:
            model.fallbacks.append(k)
            discounts = FALLBACK_DISCOUNTS
        discount = np.array((0.0, *discounts))[np.minimum(counts, 3)]
        totals = np.bincount(gram.history, weights=counts, minlength=len(lower))
        discounted = np.bincount(gram.history, weights=discount, minlength=len(lower))
        backoff = np.divide(discounted, totals, out=np.ones(len(lower)), where=totals > 0)
        probabilities = (counts - discount) / totals[gram.history] + backoff[gram.history] * lower[gram.suffix]
        if k == 1:
            probabilities[BOS_ID] = 10**LOG10_ZERO
        else:
            model.backoffs.append(np.log10(np.maximum(backoff, 10**LOG10_ZERO)))  # KenLM refuses -inf
        model.log_probs.append(np.log10(probabilities))
        model.discounts.append(discounts)
        lower = probabilities
    model.backoffs.append(np.zeros(len(grams[-1].word)))
    if model.fallbacks:
        log.warning(messages.FALLBACK_DISCOUNTS, model.fallbacks, FALLBACK_DISCOUNTS)
    return model


def write_arpa(path: Path, model: NgramModel) -> None:
    """Write a model as an ARPA file."""
    with new_file(path, r"\\data\\") as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {k}={len(gram.word)}\n" for k, gram in enumerate(model.grams, start=1))
        texts: list[str] = []
        for k, gram in enumerate(model.grams, start=1):
            file.write(f"\n\\{k}-grams:\n")
            words = [model.words[word] for word in gram.word.tolist()]
            histories = (texts[history] for history in gram.history.tolist())
            texts = [f"{history} {word}" for history, word in zip(histories, words, strict=True)] if k > 1 else words
            columns = zip(model.log_probs[k - 1].tolist(), texts, model.backoffs[k - 1].tolist(), strict=True)
            if k == len(model.grams):
                file.writelines(f"{log_prob:.7g}\t{text}\n" for log_prob, text, _ in columns)
            else:
                file.writelines(f"{log_prob:.7g}\t{text}\t{backoff:.7g}\n" for log_prob, text, backoff in columns)
        file.write("\n\\end\\\n")


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Suppress standard error at the level of the file descriptor: KenLM's C++ code draws a progress bar there."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def lm_file(lm_dir: Path, name: str) -> Path:
    """Path of a file in a language-model folder.

    Raises:
        InputError: the file does not exist.
    """
    path = Path(lm_dir) / name
    if not path.is_file():
        wanted = "lm.token_order above 0" if name == TOKEN_ARPA else "a folder of stages.lm"
        raise InputError(f"{path}: no such file, wanted {wanted}")
    return path


def load_kenlm(path: Path, vocabulary: Iterable[str] = ()) -> Any:
    """Load an ARPA or binary file with KenLM.

    The model must know at least one word of `vocabulary`, if given: under a model of other words or of tokens every
    word would be `<unk>`.

    Raises:
        InputError: KenLM cannot read the file, or it knows no word of the vocabulary.
    """
    import kenlm

    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        with quiet_stderr():
            model = kenlm.Model(str(path), config)
    except OSError as error:
        raise InputError(f"{path}: KenLM cannot read it: {' '.join(str(error).split())[:200]}") from error
    words = list(vocabulary)
    if words and not any(word in model for word in words):
        examples = ", ".join(words[:3])
        raise InputError(
            f"{path}: knows none of the {len(words)} words or tokens ({examples}, ...), wanted their n-gram"
        )
    return model


def perplexity(model: Any, sentences: Iterable[str]) -> tuple[float, float, float]:
    """Perplexity of sentences (words or tokens separated by spaces) under a KenLM model; `</s>` counts as a word.

    Returns:
        Perplexity of all words, with `<unk>` for out-of-vocabulary words; perplexity of the words in the vocabulary;
        fraction of out-of-vocabulary words, per cent.

    Raises:
        InputError: no word is in the vocabulary.
    """
    scores = [(score, oov) for sentence in sentences for score, _, oov in model.full_scores(sentence)]
    known = [score for score, oov in scores if not oov]
    if not known:
        raise InputError("lm: no valid word is in the language model, wanted train and valid texts of the same kind")
    with_oov = 10 ** (-sum(score for score, _ in scores) / len(scores))
    return with_oov, 10 ** (-sum(known) / len(known)), 100 * (len(scores) - len(known)) / len(scores)
