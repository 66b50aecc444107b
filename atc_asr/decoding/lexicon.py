"""The searches `lexicon` and `lexicon_free`: CTC beam searches over words, or over tokens, with an n-gram.

A hypothesis is a node in the prefix tree of the words, and a context: the words before. The search is written in
Python, because a frame has few hypotheses within the beam (6 on the demo). It therefore runs on every Python, and
scores that change with the utterance are ordinary numbers in it.

* Out-of-vocabulary (OOV) words: a word of the greedy text that is not in the lexicon is added for the utterance. It
  adds `oov_score + oov_uncertainty_penalty * expected number of wrong tokens` to the score, where a token is wrong with
  probability 1 - its posterior. A new word is usually recognised with certainty in all its tokens, a misspelled known
  word is not, so the second term separates the two.
* Expected call signs: every word of one adds `boost_score`, which is taken back when the call sign is not completed.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atc_asr.decoding.ctc import BLANK_ID, Candidate, greedy, group_words, text_of, token_spans
from atc_asr.decoding.params import DecodeParams
from atc_asr.lm.ngram import load_kenlm
from atc_asr.tokenizer.tokens import SPACE, Tokens

BEAM_TOKENS = 10  # tokens tried per frame
BLANK_THRESHOLD = 0.99  # consecutive frames with a higher blank posterior are searched as one frame
LN10 = math.log(10)  # KenLM's scores are log10, all others natural logarithms


def frames_to_search(log_probs: np.ndarray, blank_threshold: float) -> np.ndarray:
    """Frames (T',) whose blank posterior is below the threshold, and the first of every run of frames above it.

    Frames with a high blank posterior hold no label (Chen et al. 2016, "Phone synchronous decoding with CTC lattice").
    """
    is_blank = log_probs[:, BLANK_ID] > math.log(blank_threshold)
    is_blank[1:] &= is_blank[:-1].copy()
    is_blank[:1] = False
    return np.flatnonzero(~is_blank)


class Node:
    """A node in the prefix tree of the words."""

    __slots__ = ("children", "look_ahead", "score", "word")

    def __init__(
        self, children: dict[int, "Node"], look_ahead: float = -math.inf, word: str | None = None, score: float = 0.0
    ) -> None:
        self.children = children  # by token
        self.look_ahead = look_ahead  # highest score of the words below; 0 at the root
        self.word = word  # that ends here
        self.score = score  # of this word, besides the n-gram's

    def copy(self) -> "Node":
        """A node whose children can be replaced."""
        return Node(dict(self.children), self.look_ahead, self.word, self.score)


class Context:
    """The words so far, as far as the next ones depend on them; hypotheses of the same words share it."""

    __slots__ = ("completed", "said", "state", "steps")

    def __init__(self, state: Any, said: tuple[str, ...], completed: int) -> None:
        self.state = state  # KenLM's
        self.said = said  # the beginning of an expected call sign, as far as it was said
        self.completed = completed  # number of its words up to the last one that ends a call sign
        self.steps: dict[str, tuple[Context, float]] = {}  # by the next word: context after it, and its score


class Language:
    """Scores of words: n-gram, word score, and boost of expected call signs."""

    def __init__(self, params: DecodeParams, model: Any, expected: Iterable[str] = ()) -> None:
        self._params = params
        self._model = model
        self._callsigns = {tuple(text.split()) for text in expected}
        self._prefixes = {words[:count] for words in self._callsigns for count in range(1, len(words) + 1)}
        self._new_state: Callable[[], Any] = lambda: None
        self._start_state = None
        if model is not None:
            import kenlm

            self._new_state = kenlm.State
            self._start_state = kenlm.State()
            model.BeginSentenceWrite(self._start_state)

    def start(self) -> Context:
        """A new context without words."""
        return Context(self._start_state, (), 0)

    def ngram_score(self, state: Any, word: str) -> tuple[float, Any]:
        """Weighted score of a word after a state, and the state after it."""
        if self._model is None:
            return 0.0, None
        after = self._new_state()
        return self._params.lm_weight * LN10 * self._model.BaseScore(state, word, after), after

    def step(self, context: Context, word: str) -> tuple[Context, float]:
        """The context after a word, and the word's score."""
        if word in context.steps:
            return context.steps[word]
        score, state = self.ngram_score(context.state, word)
        said, completed = (*context.said, word), context.completed
        boosted = 1
        if said not in self._prefixes:
            # The words after the last complete call sign may begin another one; the boost of the others is taken back.
            rests = (said[first:] for first in range(max(1, completed), len(said)))
            boosted = completed - len(context.said)
            said, completed = next((rest for rest in rests if rest in self._prefixes), ()), 0
            boosted += len(said)
        if said in self._callsigns:
            completed = len(said)
        score += self._params.word_score + self._params.boost_score * boosted
        context.steps[word] = Context(state, said, completed), score
        return context.steps[word]

    def end(self, context: Context) -> float:
        """Score of the end of the utterance."""
        incomplete = len(context.said) - context.completed
        return self.ngram_score(context.state, "</s>")[0] - self._params.boost_score * incomplete


# Score, node, token of the last frame (blank included), context, and the tokens of all frames as nested pairs.
Hypothesis = tuple[float, Node, int, Context, Any]


def advance(
    active: Iterable[Hypothesis], row: Mapping[int, float], root: Node, language: Language, params: DecodeParams
) -> list[Hypothesis]:
    """The hypotheses after a further frame, best first; `row` has the log-probabilities of the tokens to try."""
    found: dict[tuple[Node, int, Context], Hypothesis] = {}
    lowest = -math.inf  # the best score so far, less the threshold

    def keep(score: float, node: Node, token: int, context: Context, frames: Any) -> None:
        nonlocal lowest
        key = node, token, context
        if score > lowest and (key not in found or score > found[key][0]):
            found[key] = score, node, token, context, (token, frames)
            lowest = max(lowest, score - params.beam_threshold)

    for score, node, last, context, frames in active:
        keep(score + row[BLANK_ID], node, BLANK_ID, context, frames)
        if last != BLANK_ID and last in row:
            keep(score + row[last], node, last, context, frames)
        for token, log_prob in row.items():
            child = node.children.get(token)
            if child is None or token == last:
                continue
            ahead = score - node.look_ahead + log_prob
            if child.children:
                keep(ahead + child.look_ahead, child, token, context, frames)
            if child.word is not None:
                after, word_score = language.step(context, child.word)
                keep(ahead + word_score + child.score, root, token, after, frames)
    alive = [hypothesis for hypothesis in found.values() if hypothesis[0] > lowest]
    return sorted(alive, key=lambda hypothesis: -hypothesis[0])[: params.beam_size]


def token_lexicon(tokens: Tokens) -> dict[str, list[int]]:
    """Every token as a word, for the search `lexicon_free`."""
    return {symbol: [number] for number, symbol in enumerate(tokens.symbols) if number != BLANK_ID}


class LexiconSearch:
    """Search over the words of a lexicon, with or without their n-gram; `lexicon_free`: over tokens."""

    def __init__(
        self, params: DecodeParams, tokens: Tokens, lexicon: Mapping[str, Sequence[int]], arpa: Path | None
    ) -> None:
        """Build the search over words with their token numbers; `arpa` is the file of the n-gram.

        Raises:
            InputError: KenLM cannot read the n-gram, or it knows no word of the lexicon.
        """
        self._params = params
        self._tokens = tokens
        # With characters a word ends with the boundary `▁`, with SentencePiece with its last piece.
        has_boundary = params.search == "lexicon" and tokens.kind == "char" and SPACE in tokens.symbols
        self._boundary = tokens.symbols.index(SPACE) if has_boundary else None
        self._model = load_kenlm(arpa, lexicon) if arpa is not None else None
        self._expected: tuple[str, ...] = ()
        self._language = Language(params, self._model)
        self._words = frozenset(lexicon)
        self._root = self._as_root(Node({}))
        for word, labels in lexicon.items():
            self._add_word(self._root, word, labels)

    def _as_root(self, node: Node) -> Node:
        node.look_ahead = 0.0
        if self._boundary is not None:
            node.children[self._boundary] = node  # the boundary may follow itself, and begin the utterance
        return node

    def _add_word(self, root: Node, word: str, labels: Iterable[int], score: float = 0.0) -> None:
        """Add a word; the nodes on its path are replaced by copies, and all others are left as they are."""
        look_ahead = score + self._language.ngram_score(self._language.start().state, word)[0]
        node = root
        for label in labels if self._boundary is None else (*labels, self._boundary):
            child = node.children[label].copy() if label in node.children else Node({})
            child.look_ahead = max(child.look_ahead, look_ahead)
            node.children[label] = child
            node = child
        node.word, node.score = word, score

    def _new_words(self, log_probs: np.ndarray, expected: Iterable[str]) -> dict[str, float]:
        """Words that the lexicon lacks, with their scores: those of expected call signs (0) and of the best path."""
        params = self._params
        callsign_words = {word for text in expected for word in text.split()} - self._words
        scores = {word: 0.0 for word in sorted(callsign_words) if not self._tokens.unknown(word)}
        path = log_probs.argmax(axis=1)
        if self._words.issuperset(text_of(path, self._tokens).split()):
            return scores
        for word, spans in group_words(token_spans(path, log_probs), self._tokens):
            if word not in self._words:
                wrong_tokens = sum(1 - math.exp(span.log_prob) for span in spans)
                score = params.oov_score + params.oov_uncertainty_penalty * wrong_tokens
                scores[word] = max(score, scores.get(word, -math.inf))
        return scores

    def _rows(self, log_probs: np.ndarray) -> Iterator[dict[int, float]]:
        """Log-probabilities of the tokens to try in every frame of `log_probs` (T, V), and a frame that ends a word."""
        count = min(BEAM_TOKENS, len(self._tokens))
        likely = np.sort(np.argpartition(log_probs, -count, axis=1)[:, -count:], axis=1)
        scores = np.take_along_axis(log_probs, likely, axis=1)
        blanks = log_probs[:, BLANK_ID].tolist()
        for tokens, values, blank in zip(likely.tolist(), scores.tolist(), blanks, strict=True):
            yield dict(zip(tokens, values, strict=True)) | {BLANK_ID: blank}
        yield {BLANK_ID: 0.0} if self._boundary is None else {BLANK_ID: 0.0, self._boundary: 0.0}

    def __call__(self, log_probs: np.ndarray, expected: tuple[str, ...] = ()) -> list[Candidate]:
        """Candidates for `log_probs` (T, V) float32, best first; `expected` are texts of call signs to boost."""
        params, tokens, root = self._params, self._tokens, self._root
        if expected != self._expected:
            self._expected, self._language = expected, Language(params, self._model, expected)
        if params.search == "lexicon" and (new_words := self._new_words(log_probs, expected)):
            root = self._as_root(root.copy())
            for word, score in new_words.items():
                self._add_word(root, word, tokens.encode(word), score)
        frames = frames_to_search(log_probs, BLANK_THRESHOLD)
        language = self._language
        active: list[Hypothesis] = [(0.0, root, BLANK_ID, language.start(), None)]
        for row in self._rows(log_probs[frames]):
            active = advance(active, row, root, language, params)
        skipped = float(np.delete(log_probs[:, BLANK_ID], frames).sum(dtype=np.float64))
        # Hypotheses within a word are left out.
        ended = [
            (score + skipped + language.end(context), nested)
            for score, node, _, context, (_, nested) in active
            if node is root
        ]
        candidates: dict[str, Candidate] = {}
        for score, nested in sorted(ended, key=lambda one: -one[0]):
            path = np.full(len(log_probs), BLANK_ID, dtype=np.int64)
            for frame in frames[::-1].tolist():
                path[frame], nested = nested
            text = text_of(path, tokens)
            candidates.setdefault(text, Candidate(text, score, path))
            if len(candidates) == max(1, params.nbest):
                break
        return list(candidates.values()) or [greedy(log_probs, tokens)]
