"""tune_decoding: find the search's weights on stored log-probabilities, without a network or a GPU.

Reads   posteriors    file of stages.posteriors, of valid
        ref_manifest  manifests with the transcripts of its utterances
        checkpoint_dir, lm_dir, lexicon  as stages.decode
Prints  a table of all combinations, and the best as overrides for `dvc exp run`

Every list of the section `tune` is one axis of the grid; what it does not list is taken from `decode`.
"""

import dataclasses
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, TextIO

from tqdm import tqdm

from asr.corpus.manifest import read_manifests
from asr.decoding.parallel import parallel_map
from asr.decoding.posteriors import StoredPosteriors
from asr.decoding.search import DecodeParams, Decoder, Job, SearchSources
from asr.door import Door, enter
from asr.errors import InputError
from asr.model.tokens import Tokens
from asr.params import option
from asr.scoring.wer import count_edits


@dataclasses.dataclass(frozen=True)
class TuneParams:
    """Section `tune`; each list is named after a key of `decode`, with an s."""

    section: ClassVar[str] = "tune"
    beam_sizes: list[int] = option("beam widths to try", low=2)
    lm_weights: list[float] = option("n-gram weights to try", low=0)
    word_scores: list[float] = option("word scores to try, natural log")
    oov_scores: list[float] = option("scores of words outside the lexicon to try, natural log", high=0)
    tune_utterances: int = option("utterances to try them on, spread evenly over the file; 0 = all", low=0)
    tune_processes: int = option("combinations tried at a time, 0 = one per core", low=0)


SECTIONS = (TuneParams, DecodeParams)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One combination and its word error rate in per cent."""

    params: DecodeParams
    wer: float


def grid(tune: TuneParams, decode: DecodeParams) -> list[DecodeParams]:
    """All combinations that differ.

    Raises:
        InputError: the search has nothing to tune, or an axis is empty.
    """
    if decode.search == "greedy":
        raise InputError("decode.search: got greedy, wanted a search with weights (beam, lexicon, lexicon_free)")
    axes = {
        "beam_size": tune.beam_sizes,
        "lm_weight": tune.lm_weights,
        "word_score": tune.word_scores,
        "oov_score": tune.oov_scores,
    }
    for name, values in axes.items():
        if not values:
            raise InputError(f"tune.{name}s: got an empty list, wanted at least one value")
    if decode.search != "lexicon":
        axes["oov_score"] = [decode.oov_score]
    points = itertools.product(*axes.values())
    return [dataclasses.replace(decode, **dict(zip(axes, point, strict=True))) for point in points]


class TrialRunner:
    """Decodes a split with one combination after the other; made once per process."""

    def __init__(
        self, posteriors: Path, rows: Sequence[int], transcripts: dict[str, str], tokens: Tokens, sources: SearchSources
    ) -> None:
        stored = StoredPosteriors(posteriors)
        self._jobs = [Job(stored.meta.ids[row], stored.read(row)) for row in rows]
        self._frame_seconds = stored.meta.frame_seconds
        self._transcripts = transcripts
        self._tokens = tokens
        self._sources = sources

    def __call__(self, params: DecodeParams) -> Trial:
        """The word error rate of a combination."""
        decoder: Callable = Decoder(params, self._tokens, self._frame_seconds, self._sources)
        errors = words = 0
        for job in self._jobs:
            ref = self._transcripts[job.id].split()
            errors += count_edits(ref, decoder(job).hyp.split()).errors
            words += len(ref)
        return Trial(params, 100 * errors / words)


def pick_rows(count: int, wanted: int) -> list[int]:
    """Rows spread evenly over a file; all of them for `wanted` 0."""
    if not wanted or wanted >= count:
        return list(range(count))
    return [math.floor(index * count / wanted) for index in range(wanted)]


def best_of(trials: Sequence[Trial]) -> Trial:
    """The lowest WER; of equals the narrower beam, then the weights nearer to 0."""

    def rank(trial: Trial) -> tuple[float, ...]:
        params = trial.params
        return trial.wer, params.beam_size, params.lm_weight, abs(params.word_score), abs(params.oov_score)

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
    arguments = (posteriors, rows, transcripts, tokens, sources)
    for params in points[:1]:
        Decoder(params, tokens, meta.frame_seconds, sources)  # what is wrong is said here, before the processes start
    return parallel_map(TrialRunner, arguments, points, tune.tune_processes)


def print_table(trials: Sequence[Trial], file: TextIO) -> None:
    """Trials, best last, and the best as overrides."""
    print(f"{'beam_size':>9} {'lm_weight':>9} {'word_score':>10} {'oov_score':>9} {'WER %':>7}", file=file)
    for trial in sorted(trials, key=lambda trial: -trial.wer):
        params = trial.params
        cells = f"{params.beam_size:9d} {params.lm_weight:9g} {params.word_score:10g} {params.oov_score:9g}"
        print(f"{cells} {trial.wer:7.2f}", file=file)
    best = best_of(trials).params
    names = ("search", "beam_size", "lm_weight", "word_score", "oov_score")
    print("dvc exp run " + " ".join(f"-S decode.{name}={getattr(best, name)}" for name in names), file=file)


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
