"""A sweep: Optuna proposes, DVC runs and remembers, and what was killed is done again."""

import itertools
import json
import logging
import os
import re
import subprocess
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from atc_asr.core.errors import InputError
from atc_asr.sweep import attempt, experiments
from atc_asr.sweep.params import SweepParams
from atc_asr.sweep.space import Choice, Range, grid_values, parse_space

log = logging.getLogger(__name__)

DONE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
STUDY_NAME = re.compile(r"[A-Za-z0-9_]+")
# What a sweep may not change between two sittings: its runs would no longer belong together.
FIXED_SETTINGS = ("method", "space", "seed", "metric", "direction")


@dataclass(frozen=True)
class Places:
    """Where a sweep reads and writes.

    Attributes:
        root: the repository.
        study_dir: the sweep's own folder.
        metrics: metrics file of a run, inside the repository.
        curve: training curve that grows during a run, inside the repository; may be a pattern.
    """

    root: Path
    study_dir: Path
    metrics: str
    curve: str | None


def settings_of(params: SweepParams) -> dict[str, Any]:
    """The settings that one sweep keeps for good."""
    values = asdict(params)
    return {name: values[name] for name in FIXED_SETTINGS}


def open_study(params: SweepParams, places: Places) -> optuna.Study:
    """The study of a folder, new or as it was left.

    Raises:
        InputError: it was begun with other settings, or its experiments' names are taken.
    """
    name = places.study_dir.resolve().name
    if not STUDY_NAME.fullmatch(name):
        raise InputError(
            f"--study_dir: got {name!r}, wanted letters, digits and _ only: experiments are called after it"
        )
    pruner = optuna.pruners.MedianPruner(params.prune_startup_trials, params.prune_warmup_steps)
    study = optuna.create_study(
        study_name=name,
        storage=f"sqlite:///{places.study_dir.resolve() / 'study.db'}",
        direction=params.direction,
        pruner=pruner if params.prune else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    settings = settings_of(params)
    begun_with = study.user_attrs.get("settings")
    if begun_with is None:
        check_names_free(places.root, name)
        study.set_user_attr("settings", settings)
    elif begun_with != settings:
        changed = next(key for key in FIXED_SETTINGS if begun_with[key] != settings[key])
        raise InputError(
            f"{places.study_dir}: this sweep has {changed} {begun_with[changed]!r}, got {settings[changed]!r}; "
            "a sweep with other settings wants another folder"
        )
    return study


def check_names_free(root: Path, study: str) -> None:
    """Refuse a new sweep whose runs would be taken for those of an older one.

    Raises:
        InputError: an experiment of that name is there.
    """
    for experiment in experiments.list_experiments(root):
        if experiment.name.rpartition("-")[0] == study and experiment.name.rpartition("-")[2].isdigit():
            raise InputError(
                f"experiment {experiment.name} is there already: name the sweep's folder otherwise than {study}"
            )


def grid_points(parameters: Sequence[Choice | Range]) -> list[dict[str, str]]:
    """All points of a grid, the last parameter changing fastest."""
    values = grid_values(parameters)
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def new_sampler(params: SweepParams, number: int) -> optuna.samplers.BaseSampler:
    """A sampler for the trial of that number: a sweep that is resumed draws on, it does not draw the same again."""
    seed = zlib.crc32(f"{params.seed} {number}".encode())
    if params.method == "bayes":
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return optuna.samplers.RandomSampler(seed=seed)


class Sweep:
    """Hands out trials to workers, and drives each to its end."""

    def __init__(self, params: SweepParams, places: Places, study: optuna.Study) -> None:
        self._params = params
        self._places = places
        self._study = study
        self._parameters = parse_space(params.space)
        self._points = grid_points(self._parameters) if params.method == "grid" else None
        self._num_trials = params.num_trials if self._points is None else min(params.num_trials, len(self._points))
        # Trials a killed sweep left unfinished come first.
        self._unfinished = study.get_trials(states=(TrialState.RUNNING,))
        self._bookkeeping = threading.Lock()  # Optuna's and DVC's Python interfaces are used by one thread at a time
        self._stopping = threading.Event()
        self._reported: Counter[int] = Counter()  # points of each trial's curve that Optuna knows

    def run(self) -> None:
        """Drive all trials to their end; on Ctrl-C end the runs, to be done again when the sweep is resumed."""
        gpus = attempt.visible_gpus()
        num_workers = self._params.num_workers
        with attempt.runs_lock(self._places.study_dir) as lock, ThreadPoolExecutor(num_workers) as pool:
            shares = [
                attempt.worker_environment(worker, num_workers, gpus, os.cpu_count() or 1)
                for worker in range(num_workers)
            ]
            workers = [pool.submit(self._work, share, lock) for share in shares]
            try:
                wait(workers, return_when=FIRST_EXCEPTION)
            finally:
                self._stopping.set()
        for worker in workers:
            worker.result()

    def _work(self, share: dict[str, str], lock: int) -> None:
        while not self._stopping.is_set():
            trial = self._next_trial()
            if trial is None:
                return
            self._drive(trial, share, lock)

    def _next_trial(self) -> Trial | None:
        with self._bookkeeping:
            if self._unfinished:
                return Trial(self._study, self._unfinished.pop(0)._trial_id)
            number = len(self._study.get_trials(deepcopy=False))
            if number >= self._num_trials:
                return None
            self._study.sampler = new_sampler(self._params, number)
            if self._points is not None:
                self._study.enqueue_trial(self._points[number])
            return self._study.ask()

    def _drive(self, trial: Trial, share: dict[str, str], lock: int) -> None:
        name = f"{self._study.study_name}-{trial.number}"
        with self._bookkeeping:
            overrides = {parameter.name: parameter.suggest(trial) for parameter in self._parameters}
            value = self._result(name)  # the run outlived the driver that started it
        for number in range(1 + self._params.max_retries):
            if value is not None or self._stopping.is_set():
                break
            if number:
                log.warning("%s: run died, trying again (%d of %d)", name, number, self._params.max_retries)
            log.info("%s: %s", name, " ".join(f"{key}={given}" for key, given in overrides.items()))
            process = self._start(name, overrides, share, lock)
            status = attempt.attend(process, lambda: self._stopping.is_set() or self._is_bad(trial, name))
            attempt.remove_remains(self._places.root, name)
            if status is None and not self._stopping.is_set():
                return self._end(trial, name, TrialState.PRUNED, None)
            with self._bookkeeping:
                value = self._result(name)
        if value is not None:
            self._end(trial, name, TrialState.COMPLETE, value)
        elif not self._stopping.is_set():
            self._end(trial, name, TrialState.FAIL, None)
        return None

    def _start(self, name: str, overrides: dict[str, str], share: dict[str, str], lock: int) -> subprocess.Popen:
        attempt.remove_remains(self._places.root, name)
        log_file = self._places.study_dir / f"{name}.log"
        return attempt.start(self._places.root, name, overrides, share, log_file, lock)

    def _end(self, trial: Trial, name: str, state: TrialState, value: float | None) -> None:
        with self._bookkeeping:
            self._study.tell(trial, value, state)
        log.info("%s: %s%s", name, state.name.lower(), "" if value is None else f", {self._params.metric} {value:g}")

    def _result(self, name: str) -> float | None:
        """The experiment's metric; None when there is no such experiment or it has no number there."""
        text = experiments.read_at(self._places.root, name, self._places.metrics)
        if text is None:
            return None
        value = json.loads(text)
        for key in self._params.metric.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if isinstance(value, int | float) else None

    def _is_bad(self, trial: Trial, name: str) -> bool:
        if not self._params.prune or self._places.curve is None:
            return False
        for _, folder in attempt.information_of(self._places.root, name):
            for path in sorted(folder.glob(self._places.curve)):
                curve = attempt.read_curve(path, self._params.curve_step, self._params.curve_value)
                with self._bookkeeping:
                    for step, value in curve[self._reported[trial.number] :]:
                        trial.report(value, step)
                    self._reported[trial.number] = len(curve)
                    return trial.should_prune()
        return False


def ranking(study: optuna.Study) -> Iterator[FrozenTrial]:
    """The trials that ended, the best first, then the pruned and the failed ones."""
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    ended = study.get_trials(states=DONE)
    yield from sorted(ended, key=lambda trial: (DONE.index(trial.state), sign * (trial.value or 0.0), trial.number))


def format_trial(trial: FrozenTrial, name: str) -> str:
    """A trial's line in the table."""
    value = f"{trial.value:.4g}" if trial.state == TrialState.COMPLETE else ""
    given = [f"{key}={x:.6g}" if isinstance(x, float) else f"{key}={x}" for key, x in trial.params.items()]
    return f"{name:<20} {trial.state.name.lower():<9} {value:>10}  {' '.join(given)}"


def format_ranking(study: optuna.Study, metric: str) -> str:
    """A table of the trials that ended."""
    header = f"{'run':<20} {'state':<9} {metric:>10}  parameters"
    lines = [format_trial(trial, f"{study.study_name}-{trial.number}") for trial in ranking(study)]
    return "\n".join([header, *lines])
