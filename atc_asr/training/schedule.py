"""Learning rate schedule."""

import math
from collections.abc import Callable, Sequence

from atc_asr.core.errors import InputError
from atc_asr.training.params import TrainParams


def lr_factor(step: int, *, kind: str, warmup_steps: int, total_steps: int) -> float:
    """Factor on the peak learning rate for update number `step`, from 0.

    A linear warm-up over `warmup_steps`, then by kind:
        constant: 1
        linear: down to 0 at `total_steps`
        cosine: half a cosine down to 0 at `total_steps` (Loshchilov & Hutter 2017, section 3)
        noam: the inverse square root of the step (Vaswani et al. 2017, section 5.3), 1 at the end of the warm-up
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if kind == "constant":
        return 1.0
    if kind == "noam":
        return math.sqrt((warmup_steps + 1) / (step + 1))
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return 1.0 - done if kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def make_schedule(params: TrainParams, num_batches: Sequence[int]) -> Callable[[int], float]:
    """Learning rate by the number of the update, from 0.

    Args:
        params: section `train`.
        num_batches: batches of each epoch in one process.

    Raises:
        InputError: an epoch has fewer batches than an update needs.
    """
    fewest = min(num_batches)
    if fewest < params.grad_accum:
        each = f" of each of {params.num_processes} processes" if params.num_processes > 1 else ""
        raise InputError(
            f"train.grad_accum: got {params.grad_accum}, wanted at most the {fewest} batches of an epoch{each}"
        )
    # SpeechBrain drops the unfinished update at the end of an epoch.
    total_steps = sum(number // params.grad_accum for number in num_batches)
    warmup_steps = round(params.warmup_epochs * total_steps / params.epochs)
    return lambda step: (
        params.lr * lr_factor(step, kind=params.schedule, warmup_steps=warmup_steps, total_steps=total_steps)
    )
