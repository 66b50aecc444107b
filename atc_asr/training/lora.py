"""Low-rank adapters (LoRA, Hu et al. 2021) for the weight matrices of the Conformer encoder: W + alpha / r * B A.

There are two kinds, because SpeechBrain's modules use their weights in two ways:

- `OutputUpdate`: a Linear layer that is called. Its output is increased by alpha / r * B A dropout(x), as in the paper.
- `WeightUpdate`: a weight that is read without calling its layer, that is the attention's `in_proj_weight` (Q, K and V
  in one) and `out_proj`, and the pointwise convolution. The weight becomes a torch parametrization. Its dropout zeros
  the same input features in all frames of a batch, because the layer's input is not available to it.

PEFT 0.21 can adapt `in_proj_weight` with `target_parameters` and merges it exactly, but it refuses `lora_dropout` > 0
for such parameters, and its `all-linear` misses Q, K and V and the pointwise convolution. SpeechBrain's own adapters
support only Linear layers and convolutions that are called, have no dropout and cannot be merged into a plain model.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils import parametrize

from atc_asr.training.params import LoraParams

# Names in `lora.lora_targets` -> part of the names of SpeechBrain's modules
TARGETS = {
    "attention": "mha_layer",
    "feed_forward": "ffn_module",
    "convolution": "convolution_module",
    "projection": "custom_src_module",
}
ADAPTER = "adapter"  # name of the submodule that is added to a Linear layer


class LowRank(torch.nn.Module):
    """An update of rank r for a weight (out, ...); zero until `up` is trained."""

    def __init__(self, weight: torch.Tensor, *, r: int, alpha: float, dropout: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.down = torch.nn.Parameter(torch.empty(r, columns, device=weight.device))
        self.up = torch.nn.Parameter(torch.zeros(rows, r, device=weight.device))
        torch.nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self.dropout = torch.nn.Dropout(dropout)
        self.scale = alpha / r


class WeightUpdate(LowRank):
    """weight -> weight + alpha / r * up @ down, with dropout of input features for a whole batch."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        keep = self.dropout(torch.ones_like(self.down[:1]))
        return weight + self.scale * (self.up @ (self.down * keep)).view_as(weight)


class OutputUpdate(LowRank):
    """x (..., in) -> alpha / r * up @ down @ dropout(x), (..., out), the update of a Linear layer's output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.dropout.p > 0:
            # On a CPU, this keeps a mask of bytes for the backward pass, where F.dropout keeps a float tensor.
            x, _ = torch.native_dropout(x, self.dropout.p, True)
        return F.linear(F.linear(x, self.down), self.up) * self.scale


def _add_update(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """Forward hook of an adapted Linear layer."""
    return output + getattr(module, ADAPTER)(inputs[0])


def add_adapters(
    encoder: torch.nn.Module, params: LoraParams, frozen: Sequence[torch.nn.Module] = ()
) -> tuple[str, ...]:
    """Freeze an encoder and add an adapter to each matrix of the targets, except in `frozen` modules.

    Matrices are the weights of Linear layers and pointwise convolutions (kernel 1, one group) and `in_proj_weight`.
    The encoder is changed in place; its outputs stay the same until the adapters are trained.

    Returns:
        The names of the adapted matrices.
    """
    encoder.requires_grad_(False)
    excluded = {id(module) for part in frozen for module in part.modules()}
    settings: dict[str, Any] = {"r": params.lora_r, "alpha": params.lora_alpha, "dropout": params.lora_dropout}
    for name, module in list(encoder.named_modules()):
        if id(module) in excluded or not any(TARGETS[target] in name for target in params.lora_targets):
            continue
        if type(module) is torch.nn.Linear:
            module.add_module(ADAPTER, OutputUpdate(module.weight, **settings))
            module.register_forward_hook(_add_update)
            continue
        pointwise = isinstance(module, torch.nn.Conv1d) and module.kernel_size == (1,) and module.groups == 1
        # A subclass of Linear is the attention's out_proj.
        parameter = "weight" if isinstance(module, torch.nn.Linear) or pointwise else "in_proj_weight"
        weight = getattr(module, parameter, None)
        if weight is not None:
            # `unsafe` omits a trial call in training mode, which would use the random generator.
            parametrize.register_parametrization(module, parameter, WeightUpdate(weight, **settings), unsafe=True)
    return adapted_names(encoder)


def adapted_names(encoder: torch.nn.Module) -> tuple[str, ...]:
    """Names of the matrices that have an adapter."""
    found = []
    module: Any
    for name, module in encoder.named_modules():
        if isinstance(getattr(module, ADAPTER, None), OutputUpdate):
            found.append(f"{name}.weight")
        elif parametrize.is_parametrized(module):
            found += [f"{name}.{parameter}" for parameter in module.parametrizations]
    return tuple(found)


@torch.no_grad()
def merge_adapters(encoder: torch.nn.Module) -> None:
    """Add the adapters' updates to the weights and remove the adapters; the outputs stay the same."""
    encoder.eval()
    module: Any
    for module in list(encoder.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        adapter = getattr(module, ADAPTER, None)
        if isinstance(adapter, OutputUpdate):
            module.weight += adapter.scale * adapter.up @ adapter.down
            delattr(module, ADAPTER)
            for key in [key for key, hook in module._forward_hooks.items() if hook is _add_update]:
                del module._forward_hooks[key]


def adapter_stats(names: Sequence[str]) -> dict[str, int]:
    """Numbers of adapted matrices, in all and by target."""
    targets = [target for name in names for target, part in TARGETS.items() if part in name]
    return {"matrices": len(names), **Counter(targets)}
