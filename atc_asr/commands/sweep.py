"""sweep: search the parameters with DVC experiments, several at a time, resumable.

Reads   section sweep of params.yaml: what may change (`space`), how values are drawn (`method`), how many runs
Writes  study_dir/     study.db (Optuna's), one log per run; the same folder again goes on where it was left
        metrics_csv    when given, the 32-column row of every experiment (as atc_asr.commands.sweep_csv writes it)

Each run is an experiment `<name of study_dir>-<number>` of `dvc exp show`. A run that is killed is done again.
"""

import logging
import signal
from collections.abc import Sequence
from pathlib import Path

import optuna

from atc_asr.core.cli import Door, enter
from atc_asr.core.config import PARAMS_FILE
from atc_asr.core.errors import InputError
from atc_asr.sweep import attempt, experiments
from atc_asr.sweep.params import SweepParams
from atc_asr.sweep.space import check_names, grid_values, parse_space
from atc_asr.sweep.study import Places, Sweep, format_ranking, open_study
from atc_asr.tracking import record

SECTIONS = (SweepParams,)

log = logging.getLogger(__name__)


def check(params: SweepParams, places: Places) -> None:
    """Refuse what the first run would stumble over.

    Raises:
        InputError: the space cannot be used, or runs are to be ended early without a curve.
    """
    parameters = parse_space(params.space)
    check_names(parameters, places.root / PARAMS_FILE)
    if params.method == "grid":
        grid_values(parameters)
    if params.prune and places.curve is None:
        raise InputError("--curve: is missing, sweep.prune ends runs by their curve")


def run(params: SweepParams, *, places: Places, run_metrics: str | None, metrics_csv: Path | None) -> str:
    """Drive a sweep to its end.

    Returns:
        A table of its runs.

    Raises:
        InputError: settings cannot be used, the CSV has another header, or runs failed.
    """
    check(params, places)
    if metrics_csv is not None:
        record.read_sweep(metrics_csv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with attempt.sole_driver(places.study_dir):
        study = open_study(params, places)
        Sweep(params, places, study).run()
    if metrics_csv is not None and run_metrics is not None:
        rows, _ = experiments.sweep_rows(places.root, run_metrics)
        record.merge_sweep_rows(metrics_csv, rows)
    failed = study.get_trials(states=(optuna.trial.TrialState.FAIL,))
    if failed:
        names = ", ".join(f"{study.study_name}-{trial.number}" for trial in failed)
        raise InputError(
            f"{places.study_dir}: {len(failed)} of {len(study.trials)} runs failed: {names}; see their logs there"
        )
    return format_ranking(study, params.metric)


def interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> None:
    door = Door(__doc__, sections=SECTIONS)
    door.path("--study_dir", required=True, help="folder of the sweep; its name is the name of the sweep")
    door.path("--metrics", type=str, required=True, help="metrics file that has sweep.metric, as dvc.yaml names it")
    door.path(
        "--curve",
        type=str,
        help="training curve (CSV, or a pattern of it) that grows during a run; needed to end runs early",
    )
    door.path("--run_metrics", type=str, help="metrics.json of a run, as dvc.yaml names it; needed for --metrics_csv")
    door.path("--metrics_csv", help="the sweep's master CSV")
    args = door.parse(argv)
    paths = args.paths
    if paths.metrics_csv is not None and paths.run_metrics is None:
        raise InputError("--run_metrics: is missing, --metrics_csv takes its rows from there")
    signal.signal(signal.SIGTERM, interrupt)
    places = Places(root=Path(), study_dir=paths.study_dir, metrics=paths.metrics, curve=paths.curve)
    print(run(*args.sections, places=places, run_metrics=paths.run_metrics, metrics_csv=paths.metrics_csv))


if __name__ == "__main__":
    enter(main)
