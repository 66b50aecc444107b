"""sweep: search parameters with DVC experiments, several at a time, resumable."""

import re
import signal
from collections.abc import Sequence

from atc_asr.core import cli
from atc_asr.core.config import PARAMS_FILE
from atc_asr.core.errors import InputError
from atc_asr.core.outputs import check_folder
from atc_asr.sweep.params import SweepFlags, SweepParams
from atc_asr.tracking.sweep_csv import merge_sweep_rows, read_sweep


def check(params: SweepParams, flags: SweepFlags) -> None:
    """Check the settings before the first trial.

    Raises:
        InputError: the space, the study's name, the CSV or a missing flag would fail later.
    """
    from atc_asr.sweep import study, worker
    from atc_asr.sweep.space import check_names, parse_space

    if flags.metrics_csv is not None and flags.run_metrics is None:
        raise InputError("--run_metrics: is missing, --metrics_csv takes its rows from there")
    space = parse_space(params.space)
    check_names(space, PARAMS_FILE)
    if params.method == "grid":
        study.grid_points(space)
    if params.prune and flags.curve is None:
        raise InputError("--curve: is missing, sweep.prune compares training curves")
    check_folder(flags.study_dir, (worker.SWEEP_LOCK, "*"))
    name = flags.study_dir.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise InputError(f"--study_dir: got {name!r}, wanted letters, digits and _: experiments are named after it")
    if flags.metrics_csv is not None:
        read_sweep(flags.metrics_csv)


def run(params: SweepParams, flags: SweepFlags) -> None:
    """Run or resume a sweep, and print a table of its trials.

    Raises:
        InputError: settings cannot be used, or trials failed.
    """
    # Imported here because --help needs neither Optuna nor DVC.
    import optuna

    from atc_asr.sweep import experiments, study, worker

    check(params, flags)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with worker.lock_study(flags.study_dir):
        sweep = study.Sweep(params, flags)
        sweep.run()
    if flags.metrics_csv is not None and flags.run_metrics is not None:
        merge_sweep_rows(flags.metrics_csv, experiments.sweep_rows(flags.run_metrics)[0])
    failed = [sweep.experiment(trial) for trial in sweep.study.get_trials(states=(optuna.trial.TrialState.FAIL,))]
    if failed:
        counts = f"{len(failed)} of {len(sweep.study.trials)}"
        raise InputError(f"{flags.study_dir}: {counts} trials failed: {', '.join(failed)}; see their logs there")
    print(sweep.ranking())


def interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> None:
    params, flags = cli.parse(argv, SweepParams, SweepFlags)
    signal.signal(signal.SIGTERM, interrupt)
    run(params, flags)


if __name__ == "__main__":
    cli.enter(main)
