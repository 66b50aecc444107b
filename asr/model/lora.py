"""Low-rank adapters (LoRA, Hu et al. 2021) on the Conformer encoder's weight matrices.

W + alpha / r * B A, written as a parametrization of the weight itself. So every matrix can be adapted in the
same way: Linear layers, attention's raw `in_proj_weight` (Q, K and V in one) and the pointwise convolutions,
and merging gives back the plain network.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.utils import parametrize

from asr.params import option


@dataclass(frozen=True)
class LoraParams:
    """Section `lora`."""

    section: ClassVar[str] = "lora"
    peft: str = option("fine-tuning: all weights, or low-rank adapters only", choices=("none", "lora"))
    lora_r: int = option("rank of the adapters", low=1)
    lora_alpha: float = option("scaling: an adapter's update is multiplied by lora_alpha / lora_r", above=0)
    lora_dropout: float = option("share of input features an adapter does not see in a step", low=0, high=0.99)


class LowRank(torch.nn.Module):
    """weight (out, ...) -> weight + alpha / r * up @ down; the identity until `up` is trained.

    LoRA's dropout acts on the adapter's input features; here the features are drawn once a step for the whole
    batch, because the weight is computed once a step.
    """

    def __init__(self, weight: torch.Tensor, *, r: int, alpha: float, dropout: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.down = torch.nn.Parameter(torch.empty(r, columns))
        self.up = torch.nn.Parameter(torch.zeros(rows, r))
        torch.nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self.dropout = torch.nn.Dropout(dropout)
        self.scale = alpha / r

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        keep = self.dropout(torch.ones_like(self.down[:1]))
        return weight + self.scale * (self.up @ (self.down * keep)).view_as(weight)


def matrices(encoder: torch.nn.Module) -> list[tuple[torch.nn.Module, str]]:
    """(module, parameter name) of every weight matrix of the encoder: Linear weights, `in_proj_weight` and pointwise
    (kernel 1, one group) convolutions."""
    found = []
    for module in encoder.modules():
        pointwise = isinstance(module, torch.nn.Conv1d) and module.kernel_size == (1,) and module.groups == 1
        if isinstance(module, torch.nn.Linear) or pointwise:
            found.append((module, "weight"))
        if isinstance(getattr(module, "in_proj_weight", None), torch.nn.Parameter):
            found.append((module, "in_proj_weight"))
    return found


def add_adapters(encoder: torch.nn.Module, params: LoraParams) -> int:
    """Freeze the encoder and put an adapter on each of its matrices; returns how many."""
    encoder.requires_grad_(False)
    targets = matrices(encoder)
    for module, name in targets:
        weight = getattr(module, name)
        adapter = LowRank(weight, r=params.lora_r, alpha=params.lora_alpha, dropout=params.lora_dropout)
        # `unsafe` skips a trial call in training mode, which would draw from the random generator.
        parametrize.register_parametrization(module, name, adapter.to(weight.device), unsafe=True)
    return len(targets)


def merge_adapters(encoder: torch.nn.Module) -> None:
    """Write the adapted weights into the network and remove the adapters; the outputs stay the same."""
    encoder.eval()
    for module in list(encoder.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
