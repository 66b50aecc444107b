"""tune_decoding: find the search's weights on stored log-probabilities, without a network or a GPU.

Reads   posteriors    file of stages.posteriors, of valid
        ref_manifest  manifests with the transcripts of its utterances
        checkpoint_dir, lm_dir, lexicon  as stages.decode
Prints  a table of all combinations, and the best as overrides for `dvc exp run`

Every list of the section `tune` is one axis of the grid; what it does not list is taken from `decode`.

Weights that are best on words of the lexicon make new callsigns and fixes unreachable. So the lexicon search is also
tried with valid's rare words left out of the lexicon, part by part, on the utterances that hold them;
`tune.unseen_fraction` weighs.
"""

import collections
import dataclasses
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from atc_asr.commands.params import TuneParams
from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import read_manifests
from atc_asr.decoding.parallel import parallel_map
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Decoder, Job, SearchSources
from atc_asr.posteriors.store import StoredPosteriors
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.wer.wer import Counts, count_edits, total

SECTIONS = (TuneParams, DecodeParams)
AXES = ("beam_size", "lm_weight", "word_score", "oov_score", "oov_uncertainty_penalty")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One combination and its word error rates in per cent.

    Attributes:
        params: the combination.
        wer: on all utterances.
        unseen_wer: on those that hold a word left out of the lexicon; None where nothing was left out.
        expected_wer: both, weighed by how many such utterances the traffic has.
    """

    params: DecodeParams
    wer: float
    unseen_wer: float | None
    expected_wer: float


def grid(tune: TuneParams, decode: DecodeParams) -> list[DecodeParams]:
    """All combinations that differ.

    Raises:
        InputError: the search has nothing to tune, or an axis is empty.
    """
    if decode.search == "greedy":
        raise InputError("decode.search: got greedy, wanted a search with weights (beam, lexicon, lexicon_free)")
    axes = {name: getattr(tune, f"{name}s") for name in AXES}
    for name, values in axes.items():
        if not values:
            raise InputError(f"tune.{name}s: got an empty list, wanted at least one value")
    if decode.search != "lexicon":
        axes |= {"oov_score": [decode.oov_score], "oov_uncertainty_penalty": [decode.oov_uncertainty_penalty]}
    points = itertools.product(*axes.values())
    return [dataclasses.replace(decode, **dict(zip(axes, point, strict=True))) for point in points]


def unseen_folds(tune: TuneParams, decode: DecodeParams, transcripts: Iterable[str]) -> list[frozenset[str]]:
    """Words to leave out of the lexicon, in parts: each rare word of some transcripts is in one of them.

    Raises:
        InputError: no word is rare.
    """
    if not tune.unseen_fraction or decode.search != "lexicon":
        return []
    words = [set(text.split()) for text in transcripts]
    counts = collections.Counter(itertools.chain.from_iterable(words))
    rare = sorted(word for word, count in counts.items() if count <= tune.rare_fraction * len(words))
    if not rare:
        raise InputError(
            f"tune.rare_fraction: no word is in at most {tune.rare_fraction:g} of {len(words)} utterances, "
            "wanted a greater share, more utterances or unseen_fraction 0"
        )
    return [frozenset(rare[first :: tune.unseen_folds]) for first in range(min(tune.unseen_folds, len(rare)))]


class TrialRunner:
    """Decodes a split with one combination after the other; made once per process."""

    def __init__(
        self,
        posteriors: Path,
        rows: Sequence[int],
        transcripts: dict[str, str],
        tokens: Tokens,
        sources: SearchSources,
        folds: Sequence[frozenset[str]],
        unseen_fraction: float,
    ) -> None:
        """
        Args:
            posteriors: stored log-probabilities.
            rows: which of them to decode.
            transcripts: what was said, by id.
            tokens: the network's units.
            sources: language model and lexicon.
            folds: words that are left out of the lexicon, one set after the other.
            unseen_fraction: weight of the utterances that hold such words.
        """
        stored = StoredPosteriors(posteriors)
        self._jobs = [Job(stored.meta.ids[row], stored.read(row)) for row in rows]
        self._frame_seconds = stored.meta.frame_seconds
        self._transcripts = transcripts
        self._tokens = tokens
        self._sources = sources
        self._folds = folds
        self._unseen_share = unseen_fraction

    def _count(self, params: DecodeParams, absent: frozenset[str]) -> Counts:
        """Errors without some words in the lexicon, on the utterances that hold them; on all when there are none."""
        sources = dataclasses.replace(self._sources, absent=absent)
        decoder = Decoder(params, self._tokens, self._frame_seconds, sources)
        pairs = ((self._transcripts[job.id].split(), job) for job in self._jobs)
        return total(
            count_edits(ref, decoder(job).hyp.split()) for ref, job in pairs if not absent or not absent.isdisjoint(ref)
        )

    def __call__(self, params: DecodeParams) -> Trial:
        """The word error rates of a combination."""
        seen = self._count(params, frozenset())
        wer = 100 * seen.errors / seen.ref_length
        if not self._folds:
            return Trial(params, wer, None, wer)
        unseen = total(self._count(params, absent) for absent in self._folds)
        unseen_wer = 100 * unseen.errors / unseen.ref_length
        return Trial(params, wer, unseen_wer, (1 - self._unseen_share) * wer + self._unseen_share * unseen_wer)


def pick_rows(count: int, wanted: int) -> list[int]:
    """Rows spread evenly over a file; all of them for `wanted` 0."""
    if not wanted or wanted >= count:
        return list(range(count))
    return [math.floor(index * count / wanted) for index in range(wanted)]


def best_of(trials: Sequence[Trial]) -> Trial:
    """The lowest WER expected of the traffic; of equals the narrower beam, then the weights nearer to 0."""

    def rank(trial: Trial) -> tuple[float, ...]:
        params = trial.params
        prices = abs(params.word_score), abs(params.oov_score), abs(params.oov_uncertainty_penalty)
        return trial.expected_wer, params.beam_size, params.lm_weight, *prices

    return min(trials, key=rank)


def run(
    tune: TuneParams,
    decode: DecodeParams,
    *,
    checkpoint_dir: Path,
    posteriors: Path,
    ref_manifest: Sequence[Path],
    sources: SearchSources,
) -> Iterator[Trial]:
    """Try every combination of the grid; the trials come in the grid's order.

    Raises:
        InputError: a file cannot be used, or the transcripts lack an utterance.
    """
    meta = StoredPosteriors(posteriors).meta
    tokens = Tokens.load(checkpoint_dir)
    if meta.symbols != tokens.symbols:
        raise InputError(f"{posteriors}: was made with other tokens than {checkpoint_dir} holds")
    transcripts = {utterance.id: utterance.transcript for utterance in read_manifests(ref_manifest)}
    missing = [utterance_id for utterance_id in meta.ids if utterance_id not in transcripts]
    if missing:
        raise InputError(f"{posteriors}: id {missing[0]} has no transcript in the manifests ({len(missing)} in all)")
    points = grid(tune, decode)
    rows = pick_rows(len(meta.ids), tune.tune_utterances)
    folds = unseen_folds(tune, decode, [transcripts[meta.ids[row]] for row in rows])
    arguments = (posteriors, rows, transcripts, tokens, sources, folds, tune.unseen_fraction)
    for params in points[:1]:
        Decoder(params, tokens, meta.frame_seconds, sources)  # what is wrong is said here, before the processes start
    return parallel_map(TrialRunner, arguments, points, tune.tune_processes)


def print_table(trials: Sequence[Trial], file: TextIO) -> None:
    """Trials, best last, and the best as overrides."""
    print(*(f"{name:>11}" for name in (*AXES, "WER %", "unseen %", "expected %")), file=file)
    for trial in sorted(trials, key=lambda trial: -trial.expected_wer):
        rates = (trial.wer, trial.unseen_wer, trial.expected_wer)
        cells = [f"{getattr(trial.params, name):11g}" for name in AXES]
        print(*cells, *(f"{'-' if rate is None else format(rate, '.2f'):>11}" for rate in rates), file=file)
    best = best_of(trials).params
    print("dvc exp run " + " ".join(f"-S decode.{name}={getattr(best, name)}" for name in ("search", *AXES)), file=file)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the tool."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--checkpoint_dir", required=True, help="run folder whose tokens made the log-probabilities")
    door.path("--posteriors", required=True, help="stored log-probabilities of valid")
    door.path("--ref_manifest", nargs="+", required=True, help="manifests with their transcripts")
    door.path("--lm_dir", help="language model folder of stages.lm")
    door.path("--lexicon", help="text file of further words, one a line")
    args = door.parse(argv)
    paths = args.paths
    tune, decode = args.sections
    trials = run(
        tune,
        decode,
        checkpoint_dir=paths.checkpoint_dir,
        posteriors=paths.posteriors,
        ref_manifest=paths.ref_manifest,
        sources=SearchSources(lm_dir=paths.lm_dir, lexicon=paths.lexicon),
    )
    print_table(list(tqdm(trials, total=len(grid(tune, decode)), desc="tune", disable=None)), sys.stdout)


if __name__ == "__main__":
    enter(main)
