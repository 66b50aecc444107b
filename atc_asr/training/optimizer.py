"""Trained parameters, their learning rates, and the optimiser."""

from typing import Any

import torch

ADAM_BETAS = (0.9, 0.98)  # as the Conformer was trained (Gulati et al. 2020, section 3.2)
LR_FACTOR = "lr_factor"  # key of a parameter group: factor on the scheduled learning rate


def lowest_layers(front_end: torch.nn.Module, conformer: Any, count: int) -> list[torch.nn.Module]:
    """The front-end, its projection and the lowest `count` encoder layers; an empty list for 0."""
    if count == 0:
        return []
    return [front_end, conformer.transformer.custom_src_module, *conformer.transformer.encoder.layers[:count]]


def parameter_groups(model: torch.nn.Module, head: torch.nn.Module, encoder_lr: float) -> list[dict[str, Any]]:
    """Groups of the trained parameters for an optimiser.

    Args:
        model: the whole network.
        head: its CTC head, which has the scheduled learning rate.
        encoder_lr: factor on the learning rate of all other parameters. With 1 there is a single group.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    if encoder_lr == 1:
        return [{"params": trained, LR_FACTOR: 1.0}]
    in_head = {id(weight) for weight in head.parameters()}
    return [
        {"params": [weight for weight in trained if id(weight) in in_head], LR_FACTOR: 1.0},
        {"params": [weight for weight in trained if id(weight) not in in_head], LR_FACTOR: encoder_lr},
    ]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of every group to `lr` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[LR_FACTOR]


def make_adamw(groups: list[dict[str, Any]], *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over parameter groups."""
    return torch.optim.AdamW(groups, lr=lr, betas=ADAM_BETAS, weight_decay=weight_decay, fused=True)
