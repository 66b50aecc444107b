"""Parameters of the command sweep."""

from typing import ClassVar, Literal

from atc_asr.core.config import Section, param


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
