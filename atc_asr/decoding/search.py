"""Selection of a search, and its run over many utterances. T encoder frames, V tokens."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.decoding.ctc import Candidate, align, greedy, words_of_path
from atc_asr.decoding.lexicon import LexiconSearch, token_lexicon
from atc_asr.decoding.parallel import parallel_map
from atc_asr.decoding.params import DecodeParams, check_search
from atc_asr.hypotheses.hypotheses import Alternative, Hypothesis, Word
from atc_asr.lm.lexicon import read_words, spell
from atc_asr.lm.ngram import TOKEN_ARPA, WORD_ARPA, WORDS_FILE, lm_file
from atc_asr.posteriors.store import StoredPosteriors
from atc_asr.tokenizer.tokens import Tokens

log = logging.getLogger(__name__)

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


def resolve(params: DecodeParams, sources: SearchSources) -> DecodeParams:
    """The parameters with the search that runs, and with 0 for the weights that it does not use.

    Raises:
        InputError: the search cannot run with these files or values.
    """
    search = params.search
    if search == "auto":
        search = "beam" if sources.lm_dir is None and sources.lexicon is None else "lexicon"
        search = "greedy" if params.beam_size == 1 else search
    elif search == "beam" and params.beam_size == 1:
        search = "greedy"
    lm_weight = 0.0 if search == "greedy" or (params.search == "auto" and sources.lm_dir is None) else params.lm_weight
    word_score = params.word_score if search == "lexicon" or (search == "beam" and lm_weight) else 0.0
    params = params.model_copy(update={"search": search, "lm_weight": lm_weight, "word_score": word_score})
    check_search(params)
    if lm_weight and sources.lm_dir is None:
        raise InputError(f"decode.lm_weight: got {lm_weight:g} without --lm_dir, wanted a folder of stages.lm")
    if sources.lexicon is not None and search != "lexicon":
        raise InputError(f"--lexicon: got decode.search {search}, wanted lexicon")
    return params


def describe(params: DecodeParams) -> dict[str, str | int | float]:
    """The search of resolved parameters, its library with version, beam width and n-gram weight."""
    libraries = {"greedy": "numpy", "beam": "speechbrain"}
    library = libraries.get(params.search, "camel-kenlm" if params.lm_weight else "numpy")
    with contextlib.suppress(PackageNotFoundError):
        library = f"{library} {version(library)}"
    return {
        "search": params.search,
        "library": library,
        "beam_size": 1 if params.search == "greedy" else params.beam_size,
        "lm_weight": params.lm_weight,
    }


def log_search(asked: DecodeParams, params: DecodeParams) -> None:
    """Log the search of resolved parameters, and the weights that were asked for and have no effect."""
    log.info(messages.DECODE_SEARCH, *describe(params).values())
    for name in ("lm_weight", "word_score"):
        if getattr(asked, name) != getattr(params, name):
            log.info(messages.NO_EFFECT, params.search, name)


def check_boost(params: DecodeParams) -> None:
    """Check that the search of resolved parameters can boost call signs.

    Raises:
        InputError: the search is not `lexicon`.
    """
    if params.search != "lexicon":
        raise InputError(f"--boost: got decode.search {params.search}, wanted lexicon")


def build_search(params: DecodeParams, tokens: Tokens, sources: SearchSources) -> Search:
    """Build the search of resolved parameters.

    Raises:
        InputError: the language model or lexicon is missing or invalid, or a library cannot be loaded here.
    """
    if params.search == "greedy":
        return lambda log_probs, expected: [greedy(log_probs, tokens)]
    try:
        if params.search == "beam":
            from atc_asr.decoding.beam import BeamSearch

            return BeamSearch(params, tokens, sources.lm_dir)
        arpa_name = WORD_ARPA if params.search == "lexicon" else TOKEN_ARPA
        arpa = lm_file(sources.lm_dir, arpa_name) if params.lm_weight and sources.lm_dir is not None else None
        lexicon = read_lexicon(sources, tokens) if params.search == "lexicon" else token_lexicon(tokens)
        return LexiconSearch(params, tokens, lexicon, arpa)
    except ImportError as error:
        raise InputError(
            f"decode.search: got {params.search}, whose library cannot be loaded ({error}), wanted greedy"
        ) from error


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
            InputError: as `resolve` and `build_search`.
        """
        self._params = params = resolve(params, sources)
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
        greedy_text = greedy(log_probs, self._tokens).hyp if self._params.search != "greedy" else None
        return Hypothesis(job.id, best.hyp, best.score, words, nbest, greedy_text)


def decode_all(
    params: DecodeParams, tokens: Tokens, frame_seconds: float, sources: SearchSources, jobs: Iterable[Job]
) -> Iterator[Hypothesis]:
    """Search many utterances; the hypotheses are in the order of the jobs.

    Raises:
        InputError: as `resolve` and `build_search`, before any job is taken.
    """
    params = resolve(params, sources)
    num_processes = 1 if params.search == "greedy" else params.num_processes
    arguments = (params, tokens, frame_seconds, sources)
    if num_processes != 1:
        Decoder(*arguments)  # raises errors here, once, before the processes start
    return parallel_map(Decoder, arguments, jobs, num_processes)
