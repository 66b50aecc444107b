"""A sweep is an Optuna study whose trials are DVC experiments.

Optuna stores the trials in `study_dir/study.db` and proposes their values. A trial that a killed sweep left RUNNING,
or that ended without a result, becomes WAITING again; Optuna hands out WAITING trials first.
"""

import itertools
import json
import logging
import math
import os
import re
import threading
import zlib
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from atc_asr.core import messages
from atc_asr.core.errors import InputError
from atc_asr.sweep import experiments, worker
from atc_asr.sweep.params import SweepFlags, SweepParams
from atc_asr.sweep.space import format_value, parse_space

log = logging.getLogger(__name__)

FIXED_SETTINGS = ("method", "space", "seed", "metric", "direction")  # must not change when a sweep resumes
PRUNE_STARTUP_TRIALS = 5  # the first trials are never pruned
PRUNE_WARMUP_STEPS = 3  # steps of the curve before a trial may be pruned


def grid_points(space: Mapping[str, BaseDistribution]) -> list[dict[str, Any]]:
    """All points of a grid; the last parameter changes fastest.

    Raises:
        InputError: a parameter has a range.
    """
    choices = []
    for name, distribution in space.items():
        if not isinstance(distribution, CategoricalDistribution):
            raise InputError(f"space: {name} is a range, a grid wants values with commas")
        choices.append(distribution.choices)
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*choices)]


def make_sampler(params: SweepParams, number: int) -> optuna.samplers.BaseSampler:
    """The sampler of one trial; seeded with the trial's number, so that a resumed sweep does not repeat values."""
    seed = zlib.crc32(f"{params.seed} {number}".encode())
    if params.method == "bayes":
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return optuna.samplers.RandomSampler(seed=seed)


def read_metric(experiment: str, path: str, metric: str) -> float | None:
    """The metric at a dotted key; None when there is no such experiment or the metric is not a finite number."""
    value = json.loads(experiments.read_at(experiment, path) or "null")
    for key in metric.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


class Sweep:
    """The study of a folder, created or resumed. The caller holds `worker.lock_study`.

    Raises:
        InputError: the study has other settings, or experiments with its names exist already.
    """

    def __init__(self, params: SweepParams, flags: SweepFlags) -> None:
        self._params, self._flags = params, flags
        self._space = parse_space(params.space)
        self._num_trials = params.num_trials
        self._lock = threading.Lock()  # one thread at a time uses the Python interfaces of Optuna and DVC
        self._stopping = threading.Event()
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{flags.study_dir.resolve() / 'study.db'}")
        pruner = optuna.pruners.MedianPruner(PRUNE_STARTUP_TRIALS, PRUNE_WARMUP_STEPS)
        self.study = optuna.create_study(
            study_name=flags.study_dir.resolve().name,
            storage=self._storage,
            direction=params.direction,
            pruner=pruner if params.prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        self._check_settings()
        if params.method == "grid":
            points = grid_points(self._space)[: params.num_trials]
            self._num_trials = len(points)
            for point in points[len(self.study.trials) :]:
                self.study.enqueue_trial(point)
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):  # left by a killed sweep
            worker.remove_run_files(self.experiment(trial))
            value = self._result(trial)
            if value is None:
                self._requeue(trial)
            else:  # the experiment finished after the sweep was killed
                self._finish(trial, TrialState.COMPLETE, value)

    def experiment(self, trial: Trial | FrozenTrial) -> str:
        """Name of a trial's experiment."""
        return f"{self.study.study_name}-{trial.number}"

    def run(self) -> None:
        """Run all trials. When interrupted, stop the running ones; the resumed sweep runs them again."""
        gpus, count, cores = worker.visible_gpus(), self._params.num_workers, os.cpu_count() or 1
        environments = [worker.worker_environment(index, count, gpus, cores) for index in range(count)]
        with ThreadPoolExecutor(count) as pool:
            workers = [pool.submit(self._work, environment) for environment in environments]
            try:
                wait(workers, return_when=FIRST_EXCEPTION)
            finally:
                self._stopping.set()
        for future in workers:
            future.result()

    def ranking(self) -> str:
        """A table of the finished trials: the complete ones, best first, then the pruned and the failed ones."""
        sign = 1 if self._params.direction == "minimize" else -1
        lines = [f"{'experiment':<20} {'state':<9} {self._params.metric:>10}  parameters"]
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
            complete = state == TrialState.COMPLETE
            trials = self.study.get_trials(states=(state,))
            for trial in sorted(trials, key=lambda trial: sign * (trial.value or 0)) if complete else trials:
                value = f"{trial.value:.4g}" if complete else ""
                params = " ".join(f"{key}={format_value(given)}" for key, given in trial.params.items())
                lines.append(f"{self.experiment(trial):<20} {state.name.lower():<9} {value:>10}  {params}")
        return "\n".join(lines)

    def _check_settings(self) -> None:
        """Compare the settings with those that the study began with; a new study stores them."""
        name, study_dir = self.study.study_name, self._flags.study_dir
        settings = self._params.model_dump(include=set(FIXED_SETTINGS))
        stored = self.study.user_attrs.get("settings")
        if stored is None:
            for taken in map(experiments.name_of, experiments.list_experiments()):
                if re.fullmatch(rf"{name}-\d+", taken):
                    raise InputError(f"{study_dir}: experiment {taken} exists, wanted a folder of another name")
            self.study.set_user_attr("settings", settings)
            return
        for key in FIXED_SETTINGS:
            if stored[key] != settings[key]:
                raise InputError(
                    f"{study_dir}: this sweep has {key} {stored[key]!r}, got {settings[key]!r}; "
                    "use another folder for a sweep with other settings"
                )

    def _work(self, environment: Mapping[str, str]) -> None:
        """Run one trial after another."""
        while not self._stopping.is_set():
            with self._lock:
                trials = self.study.get_trials(deepcopy=False)
                waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
                if not waiting and len(trials) >= self._num_trials:
                    return
                self.study.sampler = make_sampler(self._params, waiting[0] if waiting else len(trials))
                trial = self.study.ask(self._space)
            self._run_trial(trial, environment)

    def _run_trial(self, trial: Trial, environment: Mapping[str, str]) -> None:
        name = self.experiment(trial)
        values = {key: format_value(value) for key, value in trial.params.items()}
        log.info(messages.TRIAL_STARTED, name, " ".join(f"{key}={value}" for key, value in values.items()))
        log_file = self._flags.study_dir / f"{name}.log"
        stopped = worker.run_experiment(
            name, values, environment, log_file, lambda: self._stopping.is_set() or self._should_prune(trial)
        )
        with self._lock:
            value = self._result(trial)
            retry = trial.user_attrs.get("retries", 0) + 1
            if value is not None:
                self._finish(trial, TrialState.COMPLETE, value)
            elif self._stopping.is_set():
                pass  # stays RUNNING in the study, so that the resumed sweep runs it again
            elif stopped:
                self._finish(trial, TrialState.PRUNED)
            elif retry <= self._params.max_retries:
                log.warning(messages.TRIAL_RETRIED, name, retry, self._params.max_retries)
                trial.set_user_attr("retries", retry)
                self._requeue(trial)
            else:
                self._finish(trial, TrialState.FAIL)

    def _requeue(self, trial: Trial | FrozenTrial) -> None:
        """Make a RUNNING trial a WAITING one."""
        study_id = self._storage.get_study_id_from_name(self.study.study_name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        self._storage.set_trial_state_values(trial_id, TrialState.WAITING)

    def _finish(self, trial: Trial | FrozenTrial, state: TrialState, value: float | None = None) -> None:
        self.study.tell(trial.number, value, state)
        result = "" if value is None else f", {self._params.metric} {value:g}"
        log.info(messages.TRIAL_FINISHED, self.experiment(trial), state.name.lower(), result)

    def _result(self, trial: Trial | FrozenTrial) -> float | None:
        return read_metric(self.experiment(trial), self._flags.metrics, self._params.metric)

    def _should_prune(self, trial: Trial) -> bool:
        """Report new points of the training curve to Optuna and ask its pruner."""
        if not self._params.prune or self._flags.curve is None:
            return False
        sign = 1 if self._params.direction == "minimize" else -1  # a lower WER is better, whatever the metric
        with self._lock:
            reported = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
            for step, value in worker.read_curve(self.experiment(trial), self._flags.curve).items():
                if step not in reported:
                    trial.report(sign * value, step)
            return trial.should_prune()
