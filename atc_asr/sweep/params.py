"""Parameters of the command sweep."""

from pathlib import Path
from typing import ClassVar, Literal

from atc_asr.core.config import Flags, Section, argument, param


class SweepParams(Section):
    """A search over experiments; changes no stage."""

    section: ClassVar[str] = "sweep"
    method: Literal["grid", "random", "bayes"] = param("grid, random, or bayes (Optuna's TPE)")
    space: list[str] = param("section.key=a,b,c or log(low,high), uniform(low,high), int(low,high)")
    num_trials: int = param("number of trials; a grid ends earlier when all its points are done", ge=1)
    num_workers: int = param("trials at a time, each on a GPU of its own where there are several", ge=1)
    seed: int = param("seed of the sampler", ge=0)
    metric: str = param("dotted key in the metrics file")
    direction: Literal["minimize", "maximize"] = param("minimize or maximize the metric")
    max_retries: int = param("retries of a trial that was killed or failed", ge=0)
    prune: bool = param("stop a trial early when its validation curve is worse than the median of the others")


class SweepFlags(Flags):
    """Search the parameters of section sweep with DVC experiments, several at a time.

    Each trial of the Optuna study is an experiment `<name of study_dir>-<number>` of `dvc exp show`. A trial that is
    killed runs again; a sweep that is killed resumes with the same command.
    """

    study_dir: Path = argument(
        "folder of the study: study.db and a log per trial; its name is the study's name", output=True
    )
    metrics: str = argument("metrics file that has sweep.metric, as dvc.yaml names it")
    curve: str | None = argument("training curve (CSV, or a glob pattern), needed to prune trials", None)
    run_metrics: str | None = argument("metrics.json of a run, as dvc.yaml names it; needed for --metrics_csv", None)
    metrics_csv: Path | None = argument(
        "the sweep's CSV, a row for every experiment of the repository", None, output=True
    )
