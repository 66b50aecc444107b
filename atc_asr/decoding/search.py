"""Selection of a search, and its run over many utterances. T encoder frames, V tokens."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atc_asr.core.errors import InputError
from atc_asr.decoding.ctc import Candidate, align, greedy, words_of_path
from atc_asr.decoding.parallel import parallel_map
from atc_asr.decoding.params import DecodeParams, check_search
from atc_asr.hypotheses.hypotheses import Alternative, Hypothesis, Word
from atc_asr.lm.lexicon import read_words, spell
from atc_asr.lm.ngram import TOKEN_ARPA, WORD_ARPA, WORDS_FILE, lm_file
from atc_asr.posteriors.store import StoredPosteriors
from atc_asr.tokenizer.tokens import Tokens

# Log-probabilities (T, V) float32 and texts of call signs to boost -> candidates, best first, at least one.
Search = Callable[[np.ndarray, tuple[str, ...]], list[Candidate]]


@dataclass(frozen=True)
class Job:
    """An utterance to search.

    The log-probabilities are an array (T, V), or their row in `SearchSources.posteriors`, which the searching process
    reads: sending an array to a process takes as long as a narrow search.
    """

    id: str
    log_probs: np.ndarray | int
    expected: tuple[str, ...] = ()  # texts of call signs to boost (search `lexicon` only)


@dataclass(frozen=True)
class SearchSources:
    """Files that a search reads."""

    lm_dir: Path | None = None  # folder of stages.lm
    lexicon: Path | None = None  # word list that extends the lexicon of `lm_dir`
    posteriors: Path | None = None  # log-probabilities of the jobs that name a row
    excluded_words: frozenset[str] = frozenset()  # left out of the lexicon


def is_greedy(params: DecodeParams) -> bool:
    """Whether only the best path is computed: `greedy`, or `beam` with width 1."""
    return params.search == "greedy" or params.beam_size == 1


def check_boost(params: DecodeParams) -> None:
    """Check that the search can boost call signs.

    Raises:
        InputError: the search is not `lexicon`.
    """
    if params.search != "lexicon":
        raise InputError(f"--boost: got decode.search {params.search}, wanted lexicon")


def build_search(params: DecodeParams, tokens: Tokens, sources: SearchSources) -> Search:
    """Build the search that the parameters name.

    Raises:
        InputError: the parameters contradict each other, or the language model or lexicon is missing or invalid.
    """
    check_search(params)
    lm_dir = sources.lm_dir
    if params.lm_weight and lm_dir is None:
        raise InputError(f"decode.lm_weight: got {params.lm_weight:g} without --lm_dir, wanted a folder of stages.lm")
    if is_greedy(params):
        return lambda log_probs, expected: [greedy(log_probs, tokens)]
    if params.search == "beam":
        from atc_asr.decoding.beam import BeamSearch

        return BeamSearch(params, tokens, lm_dir)
    try:
        from atc_asr.decoding.flashlight import LexiconFreeSearch, LexiconSearch
    except ModuleNotFoundError as error:
        raise InputError(
            f"decode.search: got {params.search} without flashlight-text (no release for Python 3.13 and later), "
            "wanted Python 3.10 to 3.12, or greedy or beam"
        ) from error
    arpa_name = WORD_ARPA if params.search == "lexicon" else TOKEN_ARPA
    arpa = lm_file(lm_dir, arpa_name) if params.lm_weight and lm_dir is not None else None
    if params.search == "lexicon":
        return LexiconSearch(params, tokens, read_lexicon(sources, tokens), arpa)
    return LexiconFreeSearch(params, tokens, arpa)


def read_lexicon(sources: SearchSources, tokens: Tokens) -> dict[str, list[int]]:
    """Words of the language model and of a further list, with their token numbers.

    Raises:
        InputError: there is no list, or a word cannot be spelled.
    """
    lm_words = sources.lm_dir / WORDS_FILE if sources.lm_dir is not None else None
    word_lists = [path for path in (lm_words, sources.lexicon) if path is not None]
    if not word_lists:
        raise InputError("decode.search: got lexicon without --lm_dir or --lexicon, wanted a list of words")
    lexicon: dict[str, list[int]] = {}
    for path in word_lists:
        lexicon |= spell(read_words(path), tokens, str(path))
    return {word: labels for word, labels in lexicon.items() if word not in sources.excluded_words}


class Decoder:
    """Searches utterances one after the other; created once per process."""

    def __init__(self, params: DecodeParams, tokens: Tokens, frame_seconds: float, sources: SearchSources) -> None:
        """
        Raises:
            InputError: as `build_search`.
        """
        self._params = params
        self._tokens = tokens
        self._frame_seconds = frame_seconds
        self._search = build_search(params, tokens, sources)
        self._stored = StoredPosteriors(sources.posteriors) if sources.posteriors is not None else None

    def __call__(self, job: Job) -> Hypothesis:
        """The best candidate with its word times, and the alternatives."""
        log_probs = job.log_probs
        if isinstance(log_probs, int):
            assert self._stored is not None, "a job that names a row needs SearchSources.posteriors"
            log_probs = self._stored.read(log_probs)
        log_probs = log_probs.astype(np.float32)
        candidates = self._search(log_probs, job.expected)
        best = candidates[0]
        words: tuple[Word, ...] = ()
        if self._params.words:
            path = best.path if best.path is not None else align(log_probs, np.array(self._tokens.encode(best.hyp)))
            words = words_of_path(path, log_probs, self._tokens, self._frame_seconds) if path is not None else ()
        nbest = tuple(Alternative(candidate.hyp, candidate.score) for candidate in candidates[: self._params.nbest])
        return Hypothesis(job.id, best.hyp, best.score, words, nbest)


def decode_all(
    params: DecodeParams, tokens: Tokens, frame_seconds: float, sources: SearchSources, jobs: Iterable[Job]
) -> Iterator[Hypothesis]:
    """Search many utterances; the hypotheses are in the order of the jobs.

    Raises:
        InputError: as `build_search`, before any job is taken.
    """
    num_processes = 1 if is_greedy(params) else params.num_processes
    arguments = (params, tokens, frame_seconds, sources)
    if num_processes != 1:
        Decoder(*arguments)  # raises errors here, once, before the processes start
    return parallel_map(Decoder, arguments, jobs, num_processes)
