"""One interface over all searches, and their run over many utterances.

`beam_size` 1 is the best path in every search, as the specification says; above it `decode.search` chooses.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from atc_asr.core.errors import InputError
from atc_asr.decoding.ctc import Candidate, align, greedy, words_of_path
from atc_asr.decoding.parallel import parallel_map
from atc_asr.decoding.params import DecodeParams
from atc_asr.hypotheses.hypotheses import Alternative, Hypothesis
from atc_asr.lm.lexicon import read_words, spell
from atc_asr.lm.ngram import TOKEN_ARPA, WORD_ARPA, WORDS_FILE, arpa_of
from atc_asr.posteriors.store import StoredPosteriors
from atc_asr.tokenizer.tokens import Tokens


@dataclass(frozen=True)
class Job:
    """One utterance to search: log-probabilities (T, V), and texts of callsigns to favour (lexicon search only).

    Instead of log-probabilities a row of `SearchSources.posteriors`, which the process that searches reads itself:
    handing them over took as long as a narrow search.
    """

    id: str
    log_probs: np.ndarray | int
    expected: tuple[str, ...] = ()


class Search(Protocol):
    """Log-probabilities (T, V) float32 and texts to favour -> candidates, best first, at least one."""

    def __call__(self, log_probs: np.ndarray, expected: tuple[str, ...]) -> list[Candidate]: ...


@dataclass(frozen=True)
class SearchSources:
    """The files a search may need, and words to leave out of the lexicon, as if they had never been seen."""

    lm_dir: Path | None = None
    lexicon: Path | None = None
    posteriors: Path | None = None
    absent: frozenset[str] = frozenset()


def build_search(params: DecodeParams, tokens: Tokens, sources: SearchSources) -> Search:
    """The search that the params name.

    Raises:
        InputError: the language model or the lexicon that the search needs is missing or cannot be used.
    """
    if params.lm_weight and sources.lm_dir is None:
        raise InputError(f"decode.lm_weight: got {params.lm_weight:g} without --lm_dir, wanted a folder of stages.lm")
    if params.search == "greedy" or params.beam_size == 1:
        return lambda log_probs, expected: [greedy(log_probs, tokens)]
    if params.search == "beam":
        from atc_asr.decoding.beam import BeamSearch

        return BeamSearch(params, tokens, sources.lm_dir)
    try:
        from atc_asr.decoding.flashlight import LexiconFreeSearch, LexiconSearch, SearchOptions
    except ModuleNotFoundError as error:
        raise InputError(
            f"decode.search: {params.search} wants flashlight-text, which is not installed (it has no release for "
            "Python 3.13 and later); wanted Python 3.10 to 3.12, or greedy or beam"
        ) from error

    names = [field.name for field in dataclasses.fields(SearchOptions)]
    options = SearchOptions(**{name: getattr(params, name) for name in names})
    if params.search == "lexicon_free":
        return LexiconFreeSearch(options, tokens, arpa_of(sources.lm_dir, TOKEN_ARPA) if params.lm_weight else None)
    arpa = arpa_of(sources.lm_dir, WORD_ARPA) if params.lm_weight else None
    return LexiconSearch(options, tokens, read_lexicon(sources, tokens), arpa)


def check_boost(params: DecodeParams) -> None:
    """Refuse to boost where the search cannot.

    Raises:
        InputError: it is no lexicon search.
    """
    if params.search != "lexicon" or params.beam_size == 1:
        got = "beam_size 1" if params.beam_size == 1 else params.search
        raise InputError(f"--boost: got decode.search {got}, wanted lexicon with beam_size above 1")


def read_lexicon(sources: SearchSources, tokens: Tokens) -> dict[str, list[int]]:
    """Words of the language model and of a further list, with their token numbers.

    Raises:
        InputError: there is neither, or a word cannot be spelt.
    """
    lists = [Path(sources.lm_dir) / WORDS_FILE] if sources.lm_dir is not None else []
    lists += [sources.lexicon] if sources.lexicon is not None else []
    if not lists:
        raise InputError("decode.search: got lexicon without --lm_dir or --lexicon, wanted a list of words")
    lexicon: dict[str, list[int]] = {}
    for path in lists:
        lexicon |= spell(read_words(path), tokens, str(path))
    return {word: labels for word, labels in lexicon.items() if word not in sources.absent}


def to_hypothesis(
    utterance_id: str,
    log_probs: np.ndarray,
    candidates: list[Candidate],
    *,
    tokens: Tokens,
    frame_seconds: float,
    nbest: int,
    words: bool,
) -> Hypothesis:
    """The best candidate with its word times, and the alternatives."""
    best = candidates[0]
    timed = ()
    if words:
        path = best.path if best.path is not None else align(log_probs, np.array(tokens.encode(best.hyp)))
        timed = words_of_path(path, log_probs, tokens, frame_seconds) if path is not None else ()
    alternatives = tuple(Alternative(one.hyp, one.score) for one in candidates[:nbest])
    return Hypothesis(utterance_id, best.hyp, best.score, timed, alternatives)


class Decoder:
    """Searches one utterance after the other; made once per process."""

    def __init__(self, params: DecodeParams, tokens: Tokens, frame_seconds: float, sources: SearchSources) -> None:
        self.params = params
        self.tokens = tokens
        self.frame_seconds = frame_seconds
        self.search = build_search(params, tokens, sources)
        self._stored = StoredPosteriors(sources.posteriors) if sources.posteriors is not None else None

    def __call__(self, job: Job) -> Hypothesis:
        """Search one utterance."""
        log_probs = self._stored.read(job.log_probs) if isinstance(job.log_probs, int) else job.log_probs
        log_probs = log_probs.astype(np.float32)
        return to_hypothesis(
            job.id,
            log_probs,
            self.search(log_probs, job.expected),
            tokens=self.tokens,
            frame_seconds=self.frame_seconds,
            nbest=self.params.nbest,
            words=self.params.words,
        )


def is_greedy(params: DecodeParams) -> bool:
    """Whether the best path is wanted, which needs no other process."""
    return params.search == "greedy" or params.beam_size == 1


def decode_all(
    params: DecodeParams,
    tokens: Tokens,
    frame_seconds: float,
    sources: SearchSources,
    jobs: Iterable[Job],
) -> Iterator[Hypothesis]:
    """Hypotheses in the order of the jobs.

    Raises:
        InputError: as `build_search`, before any job is taken.
    """
    num_processes = 1 if is_greedy(params) else params.num_processes
    arguments = (params, tokens, frame_seconds, sources)
    if num_processes != 1:
        Decoder(*arguments)  # what is wrong with the files is said here, once, before the processes start
    return parallel_map(Decoder, arguments, jobs, num_processes)
