"""Find the search's weights on valid: a grid over beam widths, n-gram weights and scores."""

import collections
import dataclasses
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from atc_asr.commands.params import TuneParams
from atc_asr.core import cli
from atc_asr.core.config import Flags, argument
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import read_manifests
from atc_asr.decoding.parallel import parallel_map
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Decoder, Job, SearchSources
from atc_asr.posteriors.store import StoredPosteriors
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.wer.wer import Counts, count_edits, total

AXES = {  # key of `decode` -> key of `tune`
    "beam_size": "beam_sizes",
    "lm_weight": "lm_weights",
    "word_score": "word_scores",
    "oov_score": "oov_scores",
    "oov_uncertainty_penalty": "oov_uncertainty_penalties",
}
OOV_FOLDS = 5  # parts of the rare words; the words of one part at a time are excluded from the lexicon
RARE_FRACTION = 0.05  # a word is rare when at most this fraction of the utterances contains it


class TuneFlags(Flags):
    """Find the search's weights on stored log-probabilities of valid, without a network or a GPU.

    Reads   posteriors      file of stages.posteriors
            ref_manifest    manifests with the transcripts of its utterances
            checkpoint_dir, lm_dir, lexicon  as stages.decode
    Prints  a table of all combinations, and the best one as overrides for `dvc exp run`

    Every list of the section `tune` is an axis of the grid; all other values are those of `decode`.

    Weights that are best on words of the lexicon make new call signs and fixes unreachable. The lexicon search is
    therefore also measured with the rare words of valid excluded from the lexicon, part by part, on the utterances
    that contain them. The best combination has the lowest expected WER, in which these utterances have the weight
    `tune.unseen_fraction`.
    """

    checkpoint_dir: Path = argument("run folder whose network computed the log-probabilities")
    posteriors: Path = argument("log-probabilities of valid")
    ref_manifest: list[Path] = argument("manifests with the transcripts")
    lm_dir: Path | None = argument("language model folder of stages.lm", None)
    lexicon: Path | None = argument("text file of further words, one a line", None)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A combination and its word error rates in per cent.

    Attributes:
        params: the combination.
        wer: on all utterances.
        oov_wer: on utterances that contain excluded words; None when no words were excluded.
        expected_wer: mean of both, weighted with the expected fraction of such utterances.
    """

    params: DecodeParams
    wer: float
    oov_wer: float | None
    expected_wer: float


def grid(tune: TuneParams, decode: DecodeParams) -> list[DecodeParams]:
    """All combinations.

    Raises:
        InputError: the search has no weights, or an axis is empty.
    """
    if decode.search == "greedy":
        raise InputError("decode.search: got greedy, wanted a search with weights (beam, lexicon, lexicon_free)")
    axes = {name: getattr(tune, values) for name, values in AXES.items()}
    for name, values in axes.items():
        if not values:
            raise InputError(f"tune.{AXES[name]}: got an empty list, wanted at least one value")
    if decode.search != "lexicon":
        axes |= {"oov_score": [decode.oov_score], "oov_uncertainty_penalty": [decode.oov_uncertainty_penalty]}
    points = itertools.product(*axes.values())
    return [decode.model_copy(update=dict(zip(axes, point, strict=True))) for point in points]


def rare_word_folds(transcripts: Iterable[str]) -> list[frozenset[str]]:
    """Split the rare words of transcripts into parts.

    Raises:
        InputError: no word is rare.
    """
    texts = [set(text.split()) for text in transcripts]
    counts = collections.Counter(itertools.chain.from_iterable(texts))
    rare = sorted(word for word, count in counts.items() if count <= RARE_FRACTION * len(texts))
    if not rare:
        raise InputError(
            f"tune.unseen_fraction: no word is rare (in at most {RARE_FRACTION:.0%} of {len(texts)} utterances), "
            "wanted more utterances, or unseen_fraction 0"
        )
    return [frozenset(rare[first::OOV_FOLDS]) for first in range(min(OOV_FOLDS, len(rare)))]


@dataclasses.dataclass
class TrialRunner:
    """Decodes a split with one combination after the other; created once per process.

    Attributes:
        posteriors: log-probabilities of the split.
        transcripts: references by id.
        tokens: the network's tokens.
        sources: language model and lexicon.
        folds: sets of words to exclude from the lexicon, one after the other.
        unseen_fraction: weight of the utterances that contain excluded words.
    """

    posteriors: Path
    transcripts: Mapping[str, str]
    tokens: Tokens
    sources: SearchSources
    folds: Sequence[frozenset[str]]
    unseen_fraction: float

    def __post_init__(self) -> None:
        stored = StoredPosteriors(self.posteriors)
        self._utterances = [
            (self.transcripts[name].split(), Job(name, stored.read(row))) for row, name in enumerate(stored.meta.ids)
        ]
        self._frame_seconds = stored.meta.frame_seconds

    def _count(self, params: DecodeParams, excluded: frozenset[str]) -> Counts:
        """Errors with some words excluded from the lexicon, on the utterances that contain them; on all without."""
        sources = dataclasses.replace(self.sources, excluded_words=excluded)
        decoder = Decoder(params, self.tokens, self._frame_seconds, sources)
        return total(
            count_edits(ref, decoder(job).hyp.split())
            for ref, job in self._utterances
            if not excluded or not excluded.isdisjoint(ref)
        )

    def __call__(self, params: DecodeParams) -> Trial:
        """Word error rates of a combination."""
        counts = self._count(params, frozenset())
        wer = 100 * counts.errors / counts.ref_length
        if not self.folds:
            return Trial(params, wer, None, wer)
        counts = total(self._count(params, fold) for fold in self.folds)
        oov_wer = 100 * counts.errors / counts.ref_length
        return Trial(params, wer, oov_wer, (1 - self.unseen_fraction) * wer + self.unseen_fraction * oov_wer)


def run_grid(
    tune: TuneParams,
    decode: DecodeParams,
    *,
    posteriors: Path,
    transcripts: Mapping[str, str],
    tokens: Tokens,
    sources: SearchSources,
) -> list[Trial]:
    """Trials of all combinations on stored log-probabilities with references by id, in the order of the grid.

    Raises:
        InputError: the grid is empty, a file cannot be used, or an utterance has no transcript.
    """
    points = grid(tune, decode)
    meta = StoredPosteriors(posteriors).meta
    missing = [name for name in meta.ids if name not in transcripts]
    if missing:
        raise InputError(f"{posteriors}: id {missing[0]} has no transcript in the manifests ({len(missing)} in all)")
    tries_oov = tune.unseen_fraction > 0 and decode.search == "lexicon"
    folds = rare_word_folds(transcripts[name] for name in meta.ids) if tries_oov else []
    Decoder(points[0], tokens, meta.frame_seconds, sources)  # raises errors here, before the processes start
    arguments = (posteriors, transcripts, tokens, sources, folds, tune.unseen_fraction)
    trials = parallel_map(TrialRunner, arguments, points, num_processes=0)
    return list(tqdm(trials, total=len(points), desc="tune", disable=None))


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the lowest expected WER; of equal ones that with the narrowest beam, then the smallest weights."""
    return min(trials, key=lambda trial: (trial.expected_wer, *(abs(getattr(trial.params, name)) for name in AXES)))


def print_table(trials: Sequence[Trial], file: TextIO) -> None:
    """Print the trials, best last, and the best as overrides."""
    print(*(f"{name:>11}" for name in (*AXES, "WER %", "OOV WER %", "expected %")), file=file)
    for trial in sorted(trials, key=lambda trial: -trial.expected_wer):
        rates = (trial.wer, trial.oov_wer, trial.expected_wer)
        cells = [f"{getattr(trial.params, name):11g}" for name in AXES]
        print(*cells, *(f"{'-' if rate is None else format(rate, '.2f'):>11}" for rate in rates), file=file)
    best = best_of(trials).params
    print("dvc exp run " + " ".join(f"-S decode.{name}={getattr(best, name)}" for name in ("search", *AXES)), file=file)


def run(tune: TuneParams, decode: DecodeParams, flags: TuneFlags) -> None:
    """Run the grid and print its table.

    Raises:
        InputError: as `run_grid`.
    """
    trials = run_grid(
        tune,
        decode,
        posteriors=flags.posteriors,
        transcripts={utterance.id: utterance.transcript for utterance in read_manifests(flags.ref_manifest)},
        tokens=StoredPosteriors(flags.posteriors).load_tokens(flags.checkpoint_dir),
        sources=SearchSources(lm_dir=flags.lm_dir, lexicon=flags.lexicon),
    )
    print_table(trials, sys.stdout)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run(*cli.parse(argv, TuneParams, DecodeParams, TuneFlags))


if __name__ == "__main__":
    cli.enter(main)
