"""Flashlight's C++ beam searches (Kahn et al. 2022): `lexicon` and `lexicon_free`.

`torchaudio.models.decoder.ctc_decoder` wraps the same library. It is called here directly, because that wrapper builds
one fixed trie and needs torch in every process, while this lexicon changes with every utterance:

* Out-of-vocabulary (OOV) words: a word of the greedy text that is not in the lexicon is added for the utterance. The
  search adds to its score `oov_score + oov_uncertainty_penalty * expected number of wrong tokens`, where a token is
  wrong with probability 1 - its posterior. A new word is usually recognised with certainty in all its tokens, a
  misspelled known word is not, so the second term separates the two.
* Expected call signs: each is added as one entry of several words, with `boost_score` for every word.

Flashlight has no score for a single entry. Both scores are therefore put on the frame that ends the word, as
log-probabilities of pseudo tokens in extra columns of the emissions. With characters that frame is the word boundary
`▁`; with SentencePiece, whose boundary starts a word, it is a blank. The score of an OOV word is also part of the
trie's look-ahead. Without it, such a word fills the beam until its end and is then dropped from it.
"""

import bisect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flashlight.lib.text import decoder
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from atc_asr.decoding.ctc import BLANK_ID, Candidate, greedy, group_words, text_of, token_spans
from atc_asr.decoding.params import DecodeParams
from atc_asr.lm.ngram import UNK, load_kenlm, quiet_stderr
from atc_asr.tokenizer.tokens import SPACE, Tokens

BEAM_TOKENS = 10  # tokens tried per frame
BLANK_THRESHOLD = 0.99  # consecutive frames with a higher blank posterior are searched as one frame
EXTRA_ENTRIES = 4096  # largest number of entries added for an utterance
LN10 = math.log(10)  # KenLM's scores are log10, all others natural logarithms
FORBIDDEN = -1e4  # log-probability of a pseudo token on a frame where it must not be


@dataclass(frozen=True)
class WordEnds:
    """Numbers of the tokens that can end a word; those from V on are pseudo tokens."""

    boundary: int  # ends a word in a real path: `▁` with characters, the blank with SentencePiece
    known: int  # ends a word of the lexicon: `▁` with characters, a pseudo token with SentencePiece
    oov: int  # pseudo token that ends an OOV word
    boost: int  # pseudo token that ends a word of an expected call sign
    num_columns: int  # columns of the emissions: V and the pseudo tokens

    @classmethod
    def of(cls, tokens: Tokens) -> "WordEnds":
        """The numbers for a set of tokens."""
        num_tokens = len(tokens)
        if tokens.kind == "char" and SPACE in tokens.symbols:
            boundary = tokens.symbols.index(SPACE)
            return cls(boundary, boundary, num_tokens, num_tokens + 1, num_tokens + 2)
        return cls(BLANK_ID, num_tokens + 2, num_tokens, num_tokens + 1, num_tokens + 3)


@dataclass(frozen=True)
class Entry:
    """An entry of the lexicon: text, and spellings in tokens and pseudo tokens."""

    text: str
    spellings: tuple[tuple[int, ...], ...]


def word_entry(word: str, labels: Sequence[int], ends: WordEnds) -> Entry:
    """Entry of a word of the lexicon.

    Flashlight cannot repeat the last token of an entry. A SentencePiece word therefore has two spellings: one whose
    last piece lasts one frame, and one that ends with a blank after any number of frames.
    """
    ended = (*labels, ends.known)
    return Entry(word, (ended,) if ends.known == ends.boundary else (tuple(labels), ended))


def callsign_entry(text: str, words: Sequence[Sequence[int]], ends: WordEnds) -> Entry:
    """Entry of an expected call sign, from the labels of its words.

    Every word ends with its part of the boost, so that the beam keeps the call sign until its end. With SentencePiece
    the words may also follow each other without a blank.
    """
    separated = tuple(label for word in words for label in (*word, ends.boost))
    joined = (*(label for word in words for label in word), ends.boost)
    return Entry(text, (separated,) if ends.boundary != BLANK_ID else tuple(dict.fromkeys((separated, joined))))


def add_pseudo_tokens(log_probs: np.ndarray, ends: WordEnds, oov_scores: np.ndarray, boost_score: float) -> np.ndarray:
    """Emissions (T + 1, columns): `log_probs` (T, V), the pseudo tokens, and a last frame that can end any word.

    `oov_scores` (T + 1,) are the scores of an OOV word that ends at a frame. `boost_score` is added only at peaks of
    the boundary's log-probability, since a boundary can last several frames.
    """
    num_frames, num_tokens = log_probs.shape
    emissions = np.full((num_frames + 1, ends.num_columns), FORBIDDEN, dtype=np.float32)
    emissions[:num_frames, :num_tokens] = log_probs
    emissions[num_frames, ends.boundary] = 0.0
    boundary = emissions[:, ends.boundary]
    emissions[:, ends.known] = boundary
    emissions[:, ends.oov] = np.maximum(boundary + oov_scores, FORBIDDEN)
    rises = np.concatenate(([True], boundary[1:] >= boundary[:-1]))
    falls = np.concatenate((boundary[:-1] > boundary[1:], [True]))
    emissions[:, ends.boost] = boundary + boost_score * (rises & falls)
    return emissions


def frames_to_search(log_probs: np.ndarray, blank_threshold: float) -> np.ndarray:
    """Frames (T',) whose blank posterior is below the threshold, and the first of every run of frames above it.

    Frames with a high blank posterior hold no label (Chen et al. 2016, "Phone synchronous decoding with CTC lattice").
    """
    is_blank = log_probs[:, BLANK_ID] > math.log(blank_threshold)
    is_blank[1:] &= is_blank[:-1].copy()
    is_blank[:1] = False
    return np.flatnonzero(~is_blank)


def best_by_text(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The best candidate of each text, best first."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.hyp not in best or candidate.score > best[candidate.hyp].score:
            best[candidate.hyp] = candidate
    return sorted(best.values(), key=lambda candidate: -candidate.score)


def load_lm(arpa: Path | None, dictionary: Dictionary, vocabulary: Iterable[str]) -> tuple[Any, Any]:
    """KenLM's model for the scores of texts (None without an n-gram), and flashlight's for the search.

    Raises:
        InputError: KenLM cannot read the n-gram, or it knows no word of the vocabulary.
    """
    if arpa is None:
        return None, decoder.ZeroLM()
    model = load_kenlm(arpa, vocabulary)
    with quiet_stderr():
        return model, KenLM(str(arpa), dictionary)


class LexiconTrie:
    """The lexicon as flashlight's trie, to which entries can be added temporarily.

    The label of an entry is its index, its score is the n-gram's at the start of an utterance, for the look-ahead.
    """

    def __init__(self, entries: Sequence[Entry], scores: Sequence[float], num_columns: int, root_token: int) -> None:
        self.trie = decoder.Trie(num_columns, root_token)
        for label, (entry, score) in enumerate(zip(entries, scores, strict=True)):
            for spelling in entry.spellings:
                self.trie.insert(list(spelling), label, score)
        self.trie.smear(decoder.SmearingMode.MAX)

    def _add(self, spelling: list[int], label: int, score: float) -> Iterator[tuple[Any, str, Any]]:
        """Add a spelling; yields (node, attribute, old value) of every change.

        The look-ahead is updated along the spelling only, with the values that `smear` would set (entries with the
        same spelling are summed), because `smear` over the whole trie takes as long as the search.
        """
        lengths = range(1, len(spelling) + 1)
        num_known = bisect.bisect_left(lengths, True, key=lambda length: self.trie.search(spelling[:length]) is None)
        node = self.trie.search(spelling[:num_known])
        if num_known < len(spelling):
            yield node, "children", node.children
        else:
            yield node, "labels", list(node.labels)
            yield node, "scores", list(node.scores)
        best = float(np.logaddexp.reduce(self.trie.insert(spelling, label, score).scores))
        for token in spelling[num_known:]:
            node = node.children[token]
            node.max_score = best
        for depth in range(num_known, -1, -1):
            prefix = self.trie.search(spelling[:depth])
            if prefix.max_score >= best:
                break
            yield prefix, "max_score", prefix.max_score
            prefix.max_score = best

    @contextmanager
    def with_entries(self, entries: Sequence[tuple[Entry, int, float]]) -> Iterator[None]:
        """Add (entry, label, look-ahead score) for the duration of the block."""
        changes = [
            change
            for entry, label, score in entries
            for spelling in entry.spellings
            for change in self._add(list(spelling), label, score)
        ]
        try:
            yield
        finally:
            for node, attribute, value in reversed(changes):
                setattr(node, attribute, value)


class LexiconSearch:
    """Search over the words of a lexicon, with or without a word n-gram."""

    def __init__(
        self, params: DecodeParams, tokens: Tokens, lexicon: Mapping[str, Sequence[int]], arpa: Path | None
    ) -> None:
        """Build the search over words with their token numbers; `arpa` is the file of the n-gram.

        Raises:
            InputError: KenLM cannot read the n-gram, or it knows no word of the lexicon.
        """
        self._params = params
        self._tokens = tokens
        self._ends = ends = WordEnds.of(tokens)
        self._real_tokens = np.arange(ends.num_columns)  # the real token of every column
        self._real_tokens[[ends.oov, ends.boost, ends.known]] = ends.boundary
        self._entries = [word_entry(word, labels, ends) for word, labels in lexicon.items()]
        self._words = frozenset(lexicon)
        self._callsigns: dict[str, Entry | None] = {}
        dictionary = Dictionary([*lexicon, UNK, *(f"<extra:{number}>" for number in range(EXTRA_ENTRIES))])
        self._kenlm, self._lm = load_lm(arpa, dictionary, lexicon)
        self._lm_weight = LN10 * params.lm_weight if arpa is not None else 1.0  # 1.0: weight of the look-ahead alone
        start = self._lm.start(False)
        scores = [self._lm.score(start, number)[1] for number in range(len(lexicon) + 1)]
        self._unk_score = scores.pop()
        self._trie = LexiconTrie(self._entries, scores, ends.num_columns, ends.boundary)
        options = decoder.LexiconDecoderOptions(
            beam_size=params.beam_size,
            beam_size_token=min(BEAM_TOKENS + ends.num_columns - len(tokens), ends.num_columns),
            beam_threshold=params.beam_threshold,
            lm_weight=self._lm_weight,
            word_score=params.word_score,
            unk_score=-math.inf,
            sil_score=0.0,
            log_add=False,
            criterion_type=decoder.CriterionType.CTC,
        )
        unk = dictionary.get_index(UNK)
        self._decoder = decoder.LexiconDecoder(
            options, self._trie.trie, self._lm, ends.boundary, BLANK_ID, unk, [], False
        )

    def _oov_entries(self, log_probs: np.ndarray) -> tuple[dict[Entry, float], np.ndarray]:
        """Entries of the words of the best path that are not in the lexicon, with their highest scores.

        Returns:
            The entries and scores (formula in the module's docstring); and for every frame, (T + 1,), the score of an
            OOV word that ends there, or `FORBIDDEN`. A word ends between its last token and the next word's first.
        """
        params = self._params
        frame_scores = np.full(len(log_probs) + 1, FORBIDDEN)
        path = log_probs.argmax(axis=1)
        if self._words.issuperset(text_of(path, self._tokens).split()):
            return {}, frame_scores
        word_scores: dict[str, float] = {}
        groups = group_words(token_spans(path, log_probs), self._tokens)
        next_starts = [spans[0].first for _, spans in groups[1:]] + [len(frame_scores)]
        for (word, spans), next_start in zip(groups, next_starts, strict=True):
            if word not in self._words:
                wrong_tokens = sum(1 - math.exp(span.log_prob) for span in spans)
                score = params.oov_score + params.oov_uncertainty_penalty * wrong_tokens
                end = spans[-1].last + 1
                frame_scores[end : max(next_start, end + 1)] = score
                word_scores[word] = max(score, word_scores.get(word, FORBIDDEN))
        spellings = {word: (*self._tokens.encode(word), self._ends.oov) for word in word_scores}
        return {Entry(word, (spellings[word],)): score for word, score in word_scores.items()}, frame_scores

    def _callsign_entry(self, text: str) -> Entry | None:
        """Entry of an expected call sign; None when the tokens cannot spell it."""
        if text not in self._callsigns:
            spellable = not self._tokens.unknown(text.replace(" ", ""))
            words = [self._tokens.encode(word) for word in text.split()] if spellable else []
            self._callsigns[text] = callsign_entry(text, words, self._ends) if words else None
        return self._callsigns[text]

    def __call__(self, log_probs: np.ndarray, expected: tuple[str, ...] = ()) -> list[Candidate]:
        """Candidates for `log_probs` (T, V) float32, best first; `expected` are texts of call signs to boost."""
        params = self._params
        num_candidates = max(1, params.nbest)
        callsigns = [entry for entry in map(self._callsign_entry, expected) if entry is not None]
        oov, oov_scores = self._oov_entries(log_probs)
        extra = [*oov, *callsigns][:EXTRA_ENTRIES]
        first_label = len(self._entries) + 1  # after the lexicon and `<unk>`
        added = [
            (entry, label, self._unk_score + oov.get(entry, 0.0) / self._lm_weight)
            for label, entry in enumerate(extra, start=first_label)
        ]
        frames = frames_to_search(log_probs, BLANK_THRESHOLD)
        oov_scores = oov_scores[np.append(frames, len(log_probs))]
        emissions = add_pseudo_tokens(log_probs[frames], self._ends, oov_scores, params.boost_score)
        with self._trie.with_entries(added):
            results = self._decoder.decode(emissions.ctypes.data, *emissions.shape)
        candidates = []
        for result in results if callsigns else results[:num_candidates]:
            labels = [label for label in result.words if label >= 0]
            entries = [self._entries[label] if label < first_label else extra[label - first_label] for label in labels]
            columns = np.array(result.tokens[1:-1])  # without the start and the end of the search
            path = np.full(len(log_probs), BLANK_ID, dtype=np.int64)
            path[frames] = self._real_tokens[columns[:-1]]
            hyp = " ".join(entry.text for entry in entries)
            # The total is computed from its parts: the search's own n-gram score has `<unk>` for a whole call sign.
            acoustic = float(log_probs[np.arange(len(path)), path].sum())
            boosted = sum(len(entry.text.split()) for entry in entries if entry.spellings[0][-1] == self._ends.boost)
            oov_score = oov_scores[columns == self._ends.oov].sum()
            scores = oov_score + params.boost_score * boosted + params.word_score * len(hyp.split())
            lm_score = params.lm_weight * LN10 * self._kenlm.score(hyp) if self._kenlm is not None else 0.0
            candidates.append(Candidate(hyp, acoustic + scores + lm_score, path))
        # A text lacks the last word of its path when no hypothesis in the beam ended that word.
        complete = [
            best
            for best in best_by_text(candidates)
            if best.path is not None and best.hyp == text_of(best.path, self._tokens)
        ]
        return complete[:num_candidates] or [greedy(log_probs, self._tokens)]


class LexiconFreeSearch:
    """Search over tokens without a lexicon, with or without a token n-gram."""

    def __init__(self, params: DecodeParams, tokens: Tokens, arpa: Path | None) -> None:
        """
        Raises:
            InputError: KenLM cannot read the n-gram, or it knows none of the tokens.
        """
        self._num_candidates = max(1, params.nbest)
        self._tokens = tokens
        _, self._lm = load_lm(arpa, Dictionary(list(tokens.symbols)), tokens.symbols[BLANK_ID + 1 :])
        boundary = tokens.symbols.index(SPACE) if SPACE in tokens.symbols else BLANK_ID
        options = decoder.LexiconFreeDecoderOptions(
            beam_size=params.beam_size,
            beam_size_token=min(BEAM_TOKENS, len(tokens)),
            beam_threshold=params.beam_threshold,
            lm_weight=params.lm_weight * LN10,
            sil_score=0.0,
            log_add=True,
            criterion_type=decoder.CriterionType.CTC,
        )
        self._decoder = decoder.LexiconFreeDecoder(options, self._lm, boundary, BLANK_ID, [])

    def __call__(self, log_probs: np.ndarray, expected: tuple[str, ...] = ()) -> list[Candidate]:
        """Candidates for `log_probs` (T, V), best first; `expected` has no effect."""
        frames = frames_to_search(log_probs, BLANK_THRESHOLD)
        emissions = np.ascontiguousarray(log_probs[frames], dtype=np.float32)
        candidates = []
        for result in self._decoder.decode(emissions.ctypes.data, *emissions.shape)[: self._num_candidates]:
            path = np.full(len(log_probs), BLANK_ID, dtype=np.int64)
            path[frames] = result.tokens[1 : len(frames) + 1]
            candidates.append(Candidate(text_of(path, self._tokens), result.score, path))
        return best_by_text(candidates) or [greedy(log_probs, self._tokens)]
