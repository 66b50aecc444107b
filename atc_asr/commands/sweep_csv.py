"""sweep_csv: the sweep's master CSV from DVC's experiments.

Reads   the experiments of the repository (`dvc exp show`) and each one's own metrics.json
Writes  metrics_csv   one row per experiment in the 32 columns of the Whisper sweeps; run again, it adds
                      what is new, refreshes what changed and keeps the rows that others wrote

Experiments that are queued, running or failed are left out and listed.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core.cli import Door, enter
from atc_asr.sweep import experiments
from atc_asr.tracking import record

SECTIONS = ()

log = logging.getLogger(__name__)


def run(*, root: Path, run_metrics: str, metrics_csv: Path) -> None:
    """Bring all finished experiments into the CSV.

    Raises:
        InputError: no repository, a CSV with another header, or a metrics.json without the CSV's columns.
    """
    rows, skipped = experiments.sweep_rows(root, run_metrics)
    added, changed = record.merge_sweep_rows(metrics_csv, rows)
    for line in skipped:
        log.warning("left out: %s", line)
    log.info(
        "%s: %d experiments, %d new, %d changed, %d left out", metrics_csv, len(rows), added, changed, len(skipped)
    )


def main(argv: Sequence[str] | None = None) -> None:
    door = Door(__doc__, sections=SECTIONS)
    door.path("--run_metrics", type=str, required=True, help="metrics.json of a run, as dvc.yaml names it")
    door.path("--metrics_csv", required=True, help="the CSV to write")
    args = door.parse(argv)
    run(root=Path(), run_metrics=args.paths.run_metrics, metrics_csv=args.paths.metrics_csv)


if __name__ == "__main__":
    enter(main)
