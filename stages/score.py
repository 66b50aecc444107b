"""Stage score: hypotheses and references -> rates with confidence intervals."""

import logging
from collections.abc import Sequence

from atc_asr.core import cli, messages
from atc_asr.core.files import write_csv
from atc_asr.core.outputs import new_file, together
from atc_asr.scoring.pairs import read_pairs
from atc_asr.scoring.params import ScoreFlags, ScoreParams
from atc_asr.scoring.score import score_corpus
from atc_asr.tracking.record import write_metrics

log = logging.getLogger(__name__)


def run(params: ScoreParams, flags: ScoreFlags) -> None:
    """Score hypotheses against the transcripts of manifests; write all files or none.

    Raises:
        InputError: a file cannot be used, an id has no partner, or texts have another normalisation.
    """
    corpus = read_pairs(flags.ref_manifest, flags.hyp_file, normalize_hypotheses=params.normalize_hypotheses)
    table_paths = (flags.slices_file, flags.confusions_file, flags.words_file)
    with together():
        with (
            new_file(flags.alignments_file, "id: ") as partial,
            open(partial, "w", encoding="utf-8", newline="\n") as file,
        ):
            scores = score_corpus(corpus, params, file, with_slices=flags.slices_file is not None)
        tables = (scores.slices, scores.confusions, scores.words)
        for path, rows in zip(table_paths, tables, strict=True):
            if path is not None:
                write_csv(path, rows[0], rows[1:])
        write_metrics(flags.scorecard_file, scores.scorecard)
        write_metrics(flags.metrics_file, scores.metrics)
        if flags.corpora_file is not None:
            write_metrics(flags.corpora_file, scores.corpora)
    counts = (scores.scorecard["callsign"][f"utterances_{status}"] for status in ("read", "unreadable", "without"))
    log.info(messages.CALLSIGNS_OF_REFERENCES, *counts)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, ScoreParams, ScoreFlags))


if __name__ == "__main__":
    cli.enter(main)
