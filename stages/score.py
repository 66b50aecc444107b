"""Stage score: hypotheses and references -> rates with confidence intervals."""

import csv
from collections.abc import Sequence
from contextlib import ExitStack

from atc_asr.core import cli
from atc_asr.core.files import new_file
from atc_asr.scoring.pairs import read_pairs
from atc_asr.scoring.params import ScoreFlags, ScoreParams
from atc_asr.scoring.score import score_corpus
from atc_asr.tracking.record import write_metrics
from atc_asr.wer.wer import format_alignment


def run(params: ScoreParams, flags: ScoreFlags) -> None:
    """Score hypotheses against the transcripts of manifests; write all files or none.

    Raises:
        InputError: a file cannot be used, an id has no partner, or texts have another normalisation.
    """
    corpus = read_pairs(flags.ref_manifest, flags.hyp_file, normalize_hypotheses=params.normalize_hypotheses)
    scores = score_corpus(corpus, params, with_slices=flags.slices_file is not None)
    tables = (scores.slices, scores.confusions, scores.words)
    table_paths = (flags.slices_file, flags.confusions_file, flags.words_file)
    with ExitStack() as outputs:
        alignments = outputs.enter_context(new_file(flags.alignments_file))
        with open(alignments, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{format_alignment(item)}\n\n" for item in scores.scored)
        for path, rows in zip(table_paths, tables, strict=True):
            if path is not None:
                table = outputs.enter_context(new_file(path))
                with open(table, "w", encoding="utf-8", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerows(rows)
        write_metrics(outputs.enter_context(new_file(flags.scorecard_file)), scores.scorecard)
        write_metrics(outputs.enter_context(new_file(flags.metrics_file)), scores.metrics)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, ScoreParams, ScoreFlags))


if __name__ == "__main__":
    cli.enter(main)
