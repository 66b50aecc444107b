"""Learning rate over the steps of a training, as pure functions of the step."""

import math


def lr_factor(step: int, *, kind: str, warmup_steps: int, total_steps: int) -> float:
    """Factor on the peak learning rate for the update number `step` (from 0).

    A linear rise over `warmup_steps`, then by kind:
        constant: 1
        linear: down to 0 at `total_steps`
        cosine: half a cosine to 0 at `total_steps` (Loshchilov & Hutter 2017, section 3)
        noam: the inverse square root of the step (Vaswani et al. 2017, section 5.3), 1 at the end of the rise
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if kind == "constant":
        return 1.0
    if kind == "noam":
        return math.sqrt((warmup_steps + 1) / (step + 1))
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return 1.0 - done if kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
