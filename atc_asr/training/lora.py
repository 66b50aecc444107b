"""Low-rank adapters (LoRA, Hu et al. 2021) on the Conformer encoder's weight matrices: W + alpha / r * B A.

Two ways, one for each way in which the modules use their weights:
- A Linear layer that is called adds B A dropout(x) to its output, as the paper has it.
- A weight that is read without its layer being called (attention's `in_proj_weight`, Q, K and V in one; torch's
  `out_proj`; the pointwise convolution, which a cheaper forward reads) is a parametrization of itself. Its dropout
  hides the same input features from all frames of a batch: the layer's input cannot be had there, and a matrix for
  each frame would cost more than the layer.

No library does all of it. PEFT (0.20) wraps modules, which attention's `in_proj_weight` is not, refuses dropout on raw
parameters, and brings transformers and accelerate. SpeechBrain's adapters know Linear and convolutions only, have no
dropout and cannot be merged, so that no plain run folder would come of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.nn.utils import parametrize

from atc_asr.training.params import LoraParams

# What a matrix is for <- the part of its name that says so, in SpeechBrain's Conformer
TARGETS = {
    "attention": "mha_layer",
    "feed_forward": "ffn_module",
    "convolution": "convolution_module",
    "projection": "custom_src_module",
}
ADAPTER = "adapter"  # name of the module that is put into an adapted Linear


class LowRank(torch.nn.Module):
    """An update of a weight (out, ...) of rank r; zero until `up` is trained."""

    def __init__(self, weight: torch.Tensor, *, r: int, alpha: float, dropout: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.down = torch.nn.Parameter(torch.empty(r, columns, device=weight.device))
        self.up = torch.nn.Parameter(torch.zeros(rows, r, device=weight.device))
        torch.nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self.dropout = torch.nn.Dropout(dropout)
        self.scale = alpha / r


class WeightUpdate(LowRank):
    """weight -> weight + alpha / r * up @ down, input features dropped for a whole batch."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        keep = self.dropout(torch.ones_like(self.down[:1]))
        return weight + self.scale * (self.up @ (self.down * keep)).view_as(weight)


class OutputUpdate(LowRank):
    """x (..., in) -> alpha / r * up @ down @ dropout(x), (..., out): what a Linear's output is raised by."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.dropout.p > 0:
            # keeps a mask of bytes for the backward pass, where F.dropout on a CPU keeps a second x
            x, _ = torch.native_dropout(x, self.dropout.p, True)
        return F.linear(F.linear(x, self.down), self.up) * self.scale


def _raise_output(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """Forward hook of an adapted Linear."""
    return output + getattr(module, ADAPTER)(inputs[0])


@dataclass(frozen=True)
class Matrix:
    """A weight matrix: `parameter` of `module`, whose name in the encoder is `name`; `target` is a key of TARGETS."""

    name: str
    module: torch.nn.Module
    parameter: str
    target: str


def matrices(encoder: torch.nn.Module, targets: Iterable[str], frozen: Sequence[torch.nn.Module] = ()) -> list[Matrix]:
    """Linear weights, `in_proj_weight` and pointwise (kernel 1, one group) convolutions of an encoder.

    Args:
        encoder: where they are.
        targets: keys of TARGETS to find.
        frozen: modules whose matrices are left.
    """
    left = {id(module) for part in frozen for module in part.modules()}
    found = []
    for name, module in encoder.named_modules():
        target = next((target for target in targets if TARGETS[target] in name), None)
        if target is None or id(module) in left:
            continue
        pointwise = isinstance(module, torch.nn.Conv1d) and module.kernel_size == (1,) and module.groups == 1
        if isinstance(module, torch.nn.Linear) or pointwise:
            found.append(Matrix(f"{name}.weight", module, "weight", target))
        if isinstance(getattr(module, "in_proj_weight", None), torch.nn.Parameter):
            found.append(Matrix(f"{name}.in_proj_weight", module, "in_proj_weight", target))
    return found


def add_adapters(encoder: torch.nn.Module, params: LoraParams, frozen: Sequence[torch.nn.Module] = ()) -> list[Matrix]:
    """Freeze the encoder and put an adapter on each of its matrices; returns them.

    Args:
        encoder: changed in place; its outputs stay the same until the adapters are trained.
        params: rank, scaling, dropout and targets.
        frozen: modules that get no adapters.
    """
    encoder.requires_grad_(False)
    adapted = matrices(encoder, params.lora_targets, frozen)
    settings = {"r": params.lora_r, "alpha": params.lora_alpha, "dropout": params.lora_dropout}
    for matrix in adapted:
        module, weight = matrix.module, getattr(matrix.module, matrix.parameter)
        if type(module) is torch.nn.Linear:  # a subclass is torch's out_proj, which attention reads and does not call
            module.add_module(ADAPTER, OutputUpdate(weight, **settings))
            module.register_forward_hook(_raise_output)
        else:
            # `unsafe` skips a trial call in training mode, which would draw from the random generator.
            parametrize.register_parametrization(
                module, matrix.parameter, WeightUpdate(weight, **settings), unsafe=True
            )
    return adapted


def adapted_names(encoder: torch.nn.Module) -> tuple[str, ...]:
    """Names of the matrices that have an adapter."""
    found = []
    for name, module in encoder.named_modules():
        if isinstance(getattr(module, ADAPTER, None), OutputUpdate):
            found.append(f"{name}.weight")
        elif parametrize.is_parametrized(module):
            found += [f"{name}.{parameter}" for parameter in module.parametrizations]
    return tuple(found)


@torch.no_grad()
def merge_adapters(encoder: torch.nn.Module) -> None:
    """Write the adapted weights into the network and remove the adapters; the outputs stay the same."""
    encoder.eval()
    for module in list(encoder.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        adapter = getattr(module, ADAPTER, None)
        if isinstance(adapter, OutputUpdate):
            module.weight += adapter.scale * adapter.up @ adapter.down
            delattr(module, ADAPTER)
            for key in [key for key, hook in module._forward_hooks.items() if hook is _raise_output]:
                del module._forward_hooks[key]


def adapter_stats(adapted: Sequence[Matrix]) -> dict[str, int]:
    """Adapted matrices in numbers, for a record: all, and by target."""
    return {"matrices": len(adapted), **Counter(matrix.target for matrix in adapted)}
