"""Find the search's weights on valid: a grid over beam widths, n-gram weights and scores."""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from atc_asr.commands.params import TuneParams
from atc_asr.core import cli
from atc_asr.core.config import Flags, argument
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import read_manifests
from atc_asr.decoding.parallel import parallel_map
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Decoder, Job, SearchSources, resolve
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
OOV_FOLDS = 5  # parts of the rare words; one part at a time is excluded from the lexicon
RARE_FRACTION = 0.05  # a word is rare when at most this fraction of the utterances contains it


class TuneFlags(Flags):
    """Find the search's weights on stored log-probabilities of valid, without a network or a GPU.

    Reads   posteriors      file of stages.posteriors
            ref_manifest    manifests with the transcripts of its utterances
            checkpoint_dir, lm_dir, lexicon  as stages.decode
    Prints  a table of all combinations, and the best one as overrides for `dvc exp run`

    Every list of the section `tune` is an axis of the grid; all other values are those of `decode`.

    Weights that are tuned only on words of the lexicon prevent the recognition of new call signs and fixes. The
    lexicon search is therefore also measured with the rare words of valid excluded from the lexicon, part by part, on
    the utterances that contain them. The best combination has the lowest expected WER, in which these utterances have
    the weight `tune.unseen_fraction`.
    """

    checkpoint_dir: Path = argument("run folder whose network computed the log-probabilities")
    posteriors: Path = argument("log-probabilities of valid")
    ref_manifest: list[Path] = argument("manifests with the transcripts")
    lm_dir: Path | None = argument("language model folder of stages.lm", None)
    lexicon: Path | None = argument("text file of further words, one a line", None)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A combination and its word error rates in per cent."""

    params: DecodeParams
    wer: float  # on all utterances
    oov_wer: float | None  # on utterances that contain excluded words; None when no words were excluded
    expected_wer: float  # mean of both, weighted with the expected fraction of such utterances


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
    if decode.search == "lexicon_free":
        axes["word_score"] = [0.0]
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


def run_trial(
    utterances: Sequence[tuple[list[str], Job]],
    tokens: Tokens,
    frame_seconds: float,
    sources: SearchSources,
    folds: Sequence[frozenset[str]],
    unseen_fraction: float,
    params: DecodeParams,
) -> Trial:
    """Decode utterances (words of the reference, job) with a combination.

    The words of each of `folds` are also excluded from the lexicon, one fold at a time. `unseen_fraction` is the weight
    of the WER on the utterances that contain them.
    """

    def decode(excluded: frozenset[str]) -> Counts:
        """Errors on the utterances that contain excluded words; on all when no words are excluded."""
        decoder = Decoder(params, tokens, frame_seconds, dataclasses.replace(sources, excluded_words=excluded))
        return total(
            count_edits(ref, decoder(job).hyp.split())
            for ref, job in utterances
            if not excluded or not excluded.isdisjoint(ref)
        )

    counts = decode(frozenset())
    wer = 100 * counts.errors / counts.ref_length
    if not folds:
        return Trial(params, wer, None, wer)
    counts = total(map(decode, folds))
    oov_wer = 100 * counts.errors / counts.ref_length
    return Trial(params, wer, oov_wer, (1 - unseen_fraction) * wer + unseen_fraction * oov_wer)


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
    if decode.search == "auto":
        decode = resolve(decode.model_copy(update={"beam_size": 2}), sources)  # the grid has the beam widths
    points = grid(tune, decode)
    meta = StoredPosteriors(posteriors).meta
    missing = [name for name in meta.ids if name not in transcripts]
    if missing:
        raise InputError(f"{posteriors}: id {missing[0]} has no transcript in the manifests ({len(missing)} in all)")
    excludes_words = tune.unseen_fraction > 0 and decode.search == "lexicon"
    folds = rare_word_folds(transcripts[name] for name in meta.ids) if excludes_words else []
    sources = dataclasses.replace(sources, posteriors=posteriors)
    Decoder(points[0], tokens, meta.frame_seconds, sources)  # raises errors here, before the processes start
    utterances = [(transcripts[name].split(), Job(name, row)) for row, name in enumerate(meta.ids)]
    arguments = (run_trial, utterances, tokens, meta.frame_seconds, sources, folds, tune.unseen_fraction)
    trials = parallel_map(functools.partial, arguments, points, num_processes=0)
    return list(tqdm(trials, total=len(points), desc="tune", disable=None))


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the lowest expected WER; of equal ones that with the narrowest beam, then the smallest weights."""
    return min(trials, key=lambda trial: (trial.expected_wer, *(abs(getattr(trial.params, name)) for name in AXES)))


def print_table(trials: Sequence[Trial]) -> None:
    """Print the trials, best last, and the best as overrides."""
    print(*(f"{name:>11}" for name in (*AXES, "WER %", "OOV WER %", "expected %")))
    for trial in sorted(trials, key=lambda trial: -trial.expected_wer):
        rates = (trial.wer, trial.oov_wer, trial.expected_wer)
        cells = [f"{getattr(trial.params, name):11g}" for name in AXES]
        print(*cells, *(f"{'-' if rate is None else format(rate, '.2f'):>11}" for rate in rates))
    best = best_of(trials).params
    print("dvc exp run " + " ".join(f"-S decode.{name}={getattr(best, name)}" for name in ("search", *AXES)))


def run(tune: TuneParams, decode: DecodeParams, flags: TuneFlags) -> None:
    """Run the grid and print its table.

    Raises:
        InputError: as `run_grid`.
    """
    transcripts = {utterance.id: utterance.transcript for utterance in read_manifests(flags.ref_manifest)}
    tokens = StoredPosteriors(flags.posteriors).load_tokens(flags.checkpoint_dir)
    sources = SearchSources(lm_dir=flags.lm_dir, lexicon=flags.lexicon)
    print_table(
        run_grid(tune, decode, posteriors=flags.posteriors, transcripts=transcripts, tokens=tokens, sources=sources)
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    run(*cli.parse(argv, TuneParams, DecodeParams, TuneFlags))


if __name__ == "__main__":
    cli.enter(main)
