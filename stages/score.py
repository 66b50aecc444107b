"""score: compare hypotheses with references.

Reads   ref_manifest (CSV or JSONL), hyp_file (decode.jsonl)
Writes  metrics_file     numbers only: WER and CER in per cent with their counts and intervals
        alignments_file  every utterance, reference above hypothesis
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from asr.atomic import new_file
from asr.corpus.manifest import read_manifests
from asr.decoding.hypotheses import read_hypotheses
from asr.door import Door, enter
from asr.params import option
from asr.record import write_metrics
from asr.scoring import bootstrap, wer


@dataclass(frozen=True)
class ScoreParams:
    """How to put error bars on the scores."""

    section: ClassVar[str] = "score"
    resamples: int = option("bootstrap resamples of the test set", low=100)
    confidence: float = option("per cent covered by an interval", above=0, high=99.9)
    seed: int = option("of the bootstrap's random draws", low=0)


SECTIONS = (ScoreParams,)


def run(
    params: ScoreParams,
    *,
    ref_manifest: Sequence[Path],
    hyp_file: Path,
    metrics_file: Path,
    alignments_file: Path,
) -> None:
    """Score hypotheses against the transcripts of manifests.

    Raises:
        InputError: a file cannot be used, or an id has no partner.
    """
    references = {utterance.id: utterance.transcript for utterance in read_manifests(ref_manifest)}
    hypotheses = {hypothesis.id: hypothesis.hyp for hypothesis in read_hypotheses(hyp_file)}
    scored = [wer.score_pair(pair) for pair in wer.pair_by_id(references, hypotheses)]
    metrics = wer.summarize(scored) | interval_of_wer(scored, params)
    with ExitStack() as outputs:
        alignments = outputs.enter_context(new_file(alignments_file))
        with open(alignments, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(wer.format_alignments(scored))
        write_metrics(outputs.enter_context(new_file(metrics_file)), metrics)


def interval_of_wer(scored: Sequence[wer.ScoredPair], params: ScoreParams) -> dict[str, float | None]:
    """`wer_low` and `wer_high`: the interval of the corpus WER."""
    counts = [item.words for item in scored if item.words.ref_length]
    found = bootstrap.intervals(
        np.array([item.errors for item in counts]).reshape(-1, 1),
        np.array([item.ref_length for item in counts]).reshape(-1, 1),
        groups=None,
        resamples=params.resamples,
        confidence=params.confidence,
        seed=params.seed,
    )[0]
    return {"wer_low": found.low, "wer_high": found.high}


def main(argv: Sequence[str] | None = None) -> None:
    door = Door(__doc__, sections=SECTIONS)
    door.path("--ref_manifest", nargs="+", required=True, help="manifests with the references")
    door.path("--hyp_file", required=True, help="hypotheses, decode.jsonl")
    door.path("--metrics_file", required=True, help="scores to write, JSON")
    door.path("--alignments_file", required=True, help="alignments to write, text")
    args = door.parse(argv)
    run(*args.sections, **vars(args.paths))


if __name__ == "__main__":
    enter(main)
