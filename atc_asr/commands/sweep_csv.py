"""sweep_csv: write the sweep's CSV from the experiments of the repository."""

import logging
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import cli, messages
from atc_asr.core.config import Flags, argument
from atc_asr.tracking.sweep_csv import merge_sweep_rows, read_sweep

log = logging.getLogger(__name__)


class SweepCsvFlags(Flags):
    """Write the sweep's CSV: one row per DVC experiment in the 32 columns of the Whisper sweeps.

    Run again, it adds new experiments, updates changed ones and keeps the rows of others. Experiments that are queued,
    running or failed are left out and listed.
    """

    run_metrics: str = argument("metrics.json of a run, as dvc.yaml names it")
    metrics_csv: Path = argument("the CSV to write", output=True)


def run(flags: SweepCsvFlags) -> None:
    """Merge all experiments that have a result into the CSV.

    Raises:
        InputError: there is no repository, the CSV has another header, or a metrics.json lacks a column.
    """
    from atc_asr.sweep import experiments  # loads DVC, which --help does not need

    read_sweep(flags.metrics_csv)  # raises its errors before the experiments are read
    rows, skipped = experiments.sweep_rows(flags.run_metrics)
    added, changed = merge_sweep_rows(flags.metrics_csv, rows)
    for reason in skipped:
        log.warning(messages.EXPERIMENT_SKIPPED, reason)
    log.info(messages.SWEEP_CSV_DONE, flags.metrics_csv, len(rows), added, changed, len(skipped))


def main(argv: Sequence[str] | None = None) -> None:
    run(*cli.parse(argv, SweepCsvFlags))


if __name__ == "__main__":
    cli.enter(main)
