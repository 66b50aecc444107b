"""Flashlight's C++ searches (Kahn et al. 2022), `lexicon` and `lexicon_free`.

`torchaudio.models.decoder.ctc_decoder` wraps the same library; it is called here without that wrapper, which
builds one fixed trie and needs torch in every process, because a lexicon has to grow and shrink per utterance:

* a word outside the lexicon that the best path spells is added for its utterance, at `decode.oov_score` and, for
  every token of it that the network doubts, `decode.oov_uncertainty_penalty`; it can end where the best path ends it;
* an expected callsign is added as one entry of several words, each at `decode.boost_score`.

Both scores are paid on the frame that ends the word, through pseudo tokens in extra columns of the emissions:
with characters that frame is the word boundary `▁`, with SentencePiece, whose boundary starts a word, a blank. What a
word outside the lexicon will pay is known before, so the look-ahead has it: else a word that is spelled well until then
drives all others out of the beam, and is itself driven out where it pays.
"""

import bisect
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flashlight.lib.text.decoder import (
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    LexiconFreeDecoder,
    LexiconFreeDecoderOptions,
    SmearingMode,
    Trie,
    ZeroLM,
)
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from atc_asr.core.errors import InputError
from atc_asr.decoding.ctc import BLANK_ID, Candidate, collapse, greedy, group_words, text_of, token_spans
from atc_asr.lm.ngram import UNK, check_units, load_kenlm, quiet_stderr
from atc_asr.tokenizer.tokens import SPACE, Tokens

LN10 = math.log(10)  # KenLM's scores are log10, all others natural logarithms
NEVER = -1e4  # log-probability of a token where it must not be
EXTRA_ENTRIES = 4096  # lexicon entries that can be added for one utterance


@dataclass(frozen=True)
class SearchOptions:
    """Widths, weights and scores of a search; scores are natural logarithms (`atc_asr.decoding.search.DecodeParams`)."""

    beam_size: int
    beam_tokens: int
    beam_threshold: float
    blank_threshold: float
    lm_weight: float
    word_score: float
    oov_score: float
    oov_uncertainty_penalty: float
    boost_score: float
    nbest: int


@dataclass(frozen=True)
class Marks:
    """Token numbers of the columns that a search sees; those from V on are pseudo tokens.

    Attributes:
        boundary: what ends a word: `▁` of characters, the blank for SentencePiece.
        end: ends a word of the lexicon (characters: `▁` itself; SentencePiece: a blank that is paid as one).
        oov: ends a word outside the lexicon.
        boost: ends a word of an expected callsign.
        num_columns: V and the pseudo tokens.
    """

    boundary: int
    end: int
    oov: int
    boost: int
    num_columns: int

    def real_tokens(self) -> np.ndarray:
        """The token number (columns,) that each column stands for."""
        numbers = np.arange(self.num_columns)
        numbers[[self.oov, self.boost, self.end]] = self.boundary
        return numbers

    @classmethod
    def of(cls, tokens: Tokens) -> "Marks":
        """The columns for some tokens."""
        num_tokens = len(tokens)
        if tokens.kind == "char" and SPACE in tokens.symbols:
            boundary = tokens.symbols.index(SPACE)
            return cls(boundary, boundary, num_tokens, num_tokens + 1, num_tokens + 2)
        return cls(BLANK_ID, num_tokens + 2, num_tokens, num_tokens + 1, num_tokens + 3)


@dataclass(frozen=True)
class Entry:
    """An entry of the lexicon: what it writes, and its token numbers."""

    text: str
    spellings: tuple[tuple[int, ...], ...]


def word_entry(word: str, labels: Sequence[int], marks: Marks) -> Entry:
    """A word of the lexicon.

    Flashlight cannot repeat the last token of an entry, so a word of pieces is there twice: ending with one frame
    of its last piece, and ending with the blank after more of them.
    """
    with_end = (*labels, marks.end)
    return Entry(word, (with_end,) if marks.end == marks.boundary else (tuple(labels), with_end))


def phrase_entry(text: str, words: Sequence[Sequence[int]], marks: Marks) -> Entry:
    """An expected callsign, given as the labels of its words, as one entry.

    Each word ends with its share of the boost, so that the beam does not lose the callsign before its end; an entry
    that is not completed is never written. Pieces may also follow each other without a blank between their words.
    """
    shared = tuple(label for word in words for label in (*word, marks.boost))
    joined = (*(label for word in words for label in word), marks.boost)
    return Entry(text, (shared,) if marks.boundary != BLANK_ID else tuple(dict.fromkeys((shared, joined))))


def widen(log_probs: np.ndarray, marks: Marks, oov_scores: np.ndarray, boost_score: float) -> np.ndarray:
    """Emissions (T + 1, columns) from `log_probs` (T, V): the pseudo tokens, and a last frame that ends any word.

    `oov_scores` (T + 1,) is what a word outside the lexicon that ends at a frame is paid. The boost is paid at peaks of
    the boundary only, because a boundary may last several frames.
    """
    num_frames, num_tokens = log_probs.shape
    emissions = np.full((num_frames + 1, marks.num_columns), NEVER, dtype=np.float32)
    emissions[:num_frames, :num_tokens] = log_probs
    emissions[num_frames, marks.boundary] = 0.0
    boundary = emissions[:, marks.boundary]
    emissions[:, marks.end] = boundary
    emissions[:, marks.oov] = np.maximum(boundary + oov_scores, NEVER)
    rises = np.concatenate(([True], boundary[1:] >= boundary[:-1]))
    falls = np.concatenate((boundary[:-1] > boundary[1:], [True]))
    emissions[:, marks.boost] = boundary + boost_score * (rises & falls)
    return emissions


def price_unseen(
    log_probs: np.ndarray, path: np.ndarray, tokens: Tokens, words: Collection[str], options: SearchOptions
) -> tuple[np.ndarray, dict[str, float]]:
    """What each frame of `log_probs` (T, V) pays a word that ends there and is not among `words`, (T + 1,); and the
    least that each such word costs.

    A word of the best path `path` (T,) ends between its last token and the next word's first. Tokens that are expected
    to be wrong cost more: a word that the lexicon lacks is spelled without doubt, a known one spelled wrongly is not.
    """
    scores, prices = np.full(len(log_probs) + 1, NEVER), {}
    spelled = group_words(token_spans(path, log_probs), tokens)
    starts = [spans[0].first for _, spans in spelled[1:]] + [len(scores)]
    for (word, spans), start in zip(spelled, starts, strict=True):
        if word not in words:
            doubt = sum(1 - math.exp(span.log_prob) for span in spans)
            end = spans[-1].last + 1
            scores[end : max(start, end + 1)] = price = options.oov_score + options.oov_uncertainty_penalty * doubt
            prices[word] = max(price, prices.get(word, NEVER))
    return scores, prices


def searched_frames(log_probs: np.ndarray, blank_threshold: float) -> np.ndarray:
    """Frames (T',) to search: of each run of frames whose blank is more probable than the threshold, one.

    Chen et al. 2016, "Phone synchronous decoding with CTC lattice": such frames hold no label.
    """
    quiet = log_probs[:, BLANK_ID] > math.log(blank_threshold)
    quiet[1:] &= quiet[:-1].copy()
    quiet[:1] = False
    return np.flatnonzero(~quiet)


class LexiconTrie:
    """The lexicon as a trie, to which entries can be added for a while."""

    def __init__(self, entries: Sequence[Entry], scores: Sequence[float], num_columns: int, root_token: int) -> None:
        """
        Args:
            entries: the words; their labels are their indices.
            scores: language-model score of each at the start of an utterance, for the look-ahead.
            num_columns: tokens, pseudo tokens included.
            root_token: the token that may repeat between words.
        """
        self.trie = Trie(num_columns, root_token)
        for label, (entry, score) in enumerate(zip(entries, scores, strict=True)):
            for spelling in entry.spellings:
                self.trie.insert(list(spelling), label, score)
        self.trie.smear(SmearingMode.MAX)

    def _first_new(self, spelling: Sequence[int]) -> int:
        """How many tokens of a spelling the trie has."""
        return bisect.bisect_left(range(len(spelling)), True, key=lambda n: self.trie.search(spelling[: n + 1]) is None)

    def _add(self, spelling: list[int], label: int, score: float) -> Iterator[tuple]:
        """Add one spelling; yields (node, attribute, old value) of what has to be put back.

        The look-ahead is set as `smear` would, which took as long as the search: entries of one spelling are added up.
        """
        known = self._first_new(spelling)
        node = self.trie.search(spelling[:known])
        if known < len(spelling):
            yield node, "children", node.children
        else:
            yield node, "labels", list(node.labels)
            yield node, "scores", list(node.scores)
        best = float(np.logaddexp.reduce(self.trie.insert(spelling, label, score).scores))
        for token in spelling[known:]:
            node = node.children[token]
            node.max_score = best
        for depth in range(known, -1, -1):  # what leads to something better keeps its look-ahead
            prefix = self.trie.search(spelling[:depth])
            if prefix.max_score >= best:
                break
            yield prefix, "max_score", prefix.max_score
            prefix.max_score = best

    @contextmanager
    def with_entries(self, entries: Sequence[tuple[Entry, int, float]]) -> Iterator[None]:
        """The trie with further (entry, label, score) while the block lasts; afterwards as it was."""
        if not entries:
            yield
            return
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


def frame_path(columns: np.ndarray, frames: np.ndarray, num_frames: int, real_tokens: np.ndarray) -> np.ndarray:
    """What a search chose on its frames, (T',), as a frame path (T,) of real tokens."""
    path = np.full(num_frames, BLANK_ID, dtype=np.int64)
    path[frames] = real_tokens[columns]
    return path


def entry_of(number: int, entries: Sequence[Entry], extra: Sequence[Entry]) -> Entry:
    """The entry of a search's word number: the lexicon, `<unk>` (which never comes), what was added."""
    return entries[number] if number < len(entries) else extra[number - len(entries) - 1]


def best_by_text(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Each text once, with its best score; best first."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.hyp not in best or candidate.score > best[candidate.hyp].score:
            best[candidate.hyp] = candidate
    return sorted(best.values(), key=lambda candidate: -candidate.score)


def load_flashlight_lm(arpa: Path, dictionary: Dictionary) -> KenLM:
    """An n-gram for a search, over the entries of a dictionary.

    Raises:
        InputError: KenLM cannot read it.
    """
    try:
        with quiet_stderr():
            return KenLM(str(arpa), dictionary)
    except RuntimeError as error:
        raise InputError(f"{arpa}: KenLM cannot read it: {' '.join(str(error).split())[:200]}") from error


class LexiconSearch:
    """Word search over a lexicon, with or without a word n-gram."""

    def __init__(self, options: SearchOptions, tokens: Tokens, lexicon: Mapping[str, list[int]], arpa: Path | None):
        """
        Args:
            options: widths, weights and scores.
            tokens: the network's units.
            lexicon: words and their token numbers.
            arpa: word n-gram; None = none.

        Raises:
            InputError: KenLM cannot read the n-gram.
        """
        self._options = options
        self._tokens = tokens
        self._marks = Marks.of(tokens)
        self._real_tokens = self._marks.real_tokens()
        self._entries = [word_entry(word, labels, self._marks) for word, labels in lexicon.items()]
        self._words = frozenset(lexicon)
        self._phrases: dict[str, Entry | None] = {}
        slots = [f"<extra:{slot}>" for slot in range(EXTRA_ENTRIES)]
        dictionary = Dictionary([*lexicon, UNK, *slots])
        self._kenlm = None if arpa is None else load_kenlm(arpa)
        if self._kenlm is not None:
            check_units(self._kenlm, lexicon, arpa)
        self._lm = ZeroLM() if arpa is None else load_flashlight_lm(arpa, dictionary)
        self._lm_weight = LN10 * options.lm_weight if arpa is not None else 1.0  # of the look-ahead alone
        start = self._lm.start(False)
        scores = [self._lm.score(start, number)[1] for number in range(len(lexicon) + 1)]
        self._unk_score = scores.pop()
        self._trie = LexiconTrie(self._entries, scores, self._marks.num_columns, self._marks.boundary)
        flashlight_options = LexiconDecoderOptions(
            beam_size=options.beam_size,
            beam_size_token=min(options.beam_tokens + self._marks.num_columns - len(tokens), self._marks.num_columns),
            beam_threshold=options.beam_threshold,
            lm_weight=self._lm_weight,
            word_score=options.word_score,
            unk_score=-math.inf,
            sil_score=0.0,
            log_add=False,
            criterion_type=CriterionType.CTC,
        )
        self._decoder = LexiconDecoder(
            flashlight_options,
            self._trie.trie,
            self._lm,
            self._marks.boundary,
            BLANK_ID,
            dictionary.get_index(UNK),
            [],
            False,
        )

    def _unseen(self, log_probs: np.ndarray) -> tuple[dict[Entry, float], np.ndarray]:
        """Words that the best path spells and the lexicon lacks, with their prices; what frames pay, (T + 1,)."""
        path = log_probs.argmax(axis=1)
        if self._words.issuperset(text_of(collapse(path), self._tokens).split()):
            return {}, np.full(len(log_probs) + 1, NEVER)
        scores, prices = price_unseen(log_probs, path, self._tokens, self._words, self._options)
        spelled = {word: (*self._tokens.encode(word), self._marks.oov) for word in prices}
        return {Entry(word, (spelled[word],)): price for word, price in prices.items()}, scores

    def _phrase(self, text: str) -> Entry | None:
        """An expected callsign as one entry; None when no token can spell it."""
        if text not in self._phrases:
            spellable = not self._tokens.unknown(text.replace(" ", ""))
            words = [self._tokens.encode(word) for word in text.split()] if spellable else []
            self._phrases[text] = phrase_entry(text, words, self._marks) if words else None
        return self._phrases[text]

    def __call__(self, log_probs: np.ndarray, expected: tuple[str, ...] = ()) -> list[Candidate]:
        """Candidates for `log_probs` (T, V), best first.

        Args:
            log_probs: (T, V) float32.
            expected: texts of callsigns to favour.
        """
        options = self._options
        phrases = [entry for entry in map(self._phrase, expected) if entry is not None]
        unseen, oov_scores = self._unseen(log_probs)
        extra = [*unseen, *phrases][:EXTRA_ENTRIES]
        first = len(self._entries) + 1
        frames = searched_frames(log_probs, options.blank_threshold)
        oov_scores = oov_scores[np.append(frames, len(log_probs))]
        emissions = widen(log_probs[frames], self._marks, oov_scores, options.boost_score)
        added = [
            (entry, first + slot, self._unk_score + unseen.get(entry, 0.0) / self._lm_weight)
            for slot, entry in enumerate(extra)
        ]
        with self._trie.with_entries(added):
            results = self._decoder.decode(emissions.ctypes.data, *emissions.shape)
        candidates = []
        for result in results if phrases else results[: max(1, options.nbest)]:
            entries = [entry_of(number, self._entries, extra) for number in result.words if number >= 0]
            columns = np.array(result.tokens[1:-1])  # without its start and its end
            path = frame_path(columns[:-1], frames, len(log_probs), self._real_tokens)
            hyp = " ".join(entry.text for entry in entries)
            acoustic = float(log_probs[np.arange(len(path)), path].sum())
            boosted = sum(len(entry.text.split()) for entry in entries if entry.spellings[0][-1] == self._marks.boost)
            unseen_scores = oov_scores[columns == self._marks.oov].sum()
            scores = unseen_scores + options.boost_score * boosted + options.word_score * len(hyp.split())
            candidates.append(Candidate(hyp, acoustic + scores + self._language_score(hyp), path))
        whole = filter(self._is_whole, best_by_text(candidates))
        return list(itertools.islice(whole, max(1, options.nbest))) or [greedy(log_probs, self._tokens)]

    def _is_whole(self, candidate: Candidate) -> bool:
        """Whether the text is all that the path spells: where nothing in the beam ends a word, the last one is lost."""
        return candidate.hyp == text_of(collapse(candidate.path), self._tokens)

    def _language_score(self, hyp: str) -> float:
        """Weighted n-gram score of a whole text: a callsign's words too, which one entry hides from the search."""
        return self._options.lm_weight * LN10 * self._kenlm.score(hyp) if self._kenlm is not None else 0.0


class LexiconFreeSearch:
    """Token search without words, with or without a token n-gram."""

    def __init__(self, options: SearchOptions, tokens: Tokens, arpa: Path | None) -> None:
        """
        Raises:
            InputError: KenLM cannot read the n-gram.
        """
        self._options = options
        self._tokens = tokens
        if arpa is not None:
            check_units(load_kenlm(arpa), tokens.symbols[BLANK_ID + 1 :], arpa)
        self._lm = ZeroLM() if arpa is None else load_flashlight_lm(arpa, Dictionary(list(tokens.symbols)))
        boundary = tokens.symbols.index(SPACE) if SPACE in tokens.symbols else BLANK_ID
        flashlight_options = LexiconFreeDecoderOptions(
            beam_size=options.beam_size,
            beam_size_token=min(options.beam_tokens, len(tokens)),
            beam_threshold=options.beam_threshold,
            lm_weight=options.lm_weight * LN10,
            sil_score=0.0,
            log_add=True,
            criterion_type=CriterionType.CTC,
        )
        self._decoder = LexiconFreeDecoder(flashlight_options, self._lm, boundary, BLANK_ID, [])

    def __call__(self, log_probs: np.ndarray, expected: tuple[str, ...] = ()) -> list[Candidate]:
        """Candidates for `log_probs` (T, V), best first; this search favours no texts."""
        frames = searched_frames(log_probs, self._options.blank_threshold)
        emissions = np.ascontiguousarray(log_probs[frames], dtype=np.float32)
        candidates = []
        for result in self._decoder.decode(emissions.ctypes.data, *emissions.shape)[: max(1, self._options.nbest)]:
            path = np.full(len(log_probs), BLANK_ID, dtype=np.int64)
            path[frames] = result.tokens[1 : len(frames) + 1]
            candidates.append(Candidate(text_of(collapse(path), self._tokens), result.score, path))
        return best_by_text(candidates) or [greedy(log_probs, self._tokens)]
