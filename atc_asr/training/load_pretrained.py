"""Start from a trained network: its weights into a new one, every tensor accounted for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

# Last parts of the names of tensors that are no parameters: tables of positions, running statistics.
BUFFERS = ("pe", "inv_freq", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors.

    Attributes:
        taken: names of the new network's parameter tensors that were filled from the source, in part at least.
        new: names of those that keep their fresh values.
        ignored: names of the source's parameter tensors that have no place here.
        rows_taken: rows of the CTC head that were filled: their unit is in both token lists.
        parameters_taken: parameters filled.
        parameters_new: parameters that keep their fresh values.
        parameters_ignored: the source's parameters that have no place here.
    """

    taken: tuple[str, ...]
    new: tuple[str, ...]
    ignored: tuple[str, ...]
    rows_taken: int
    parameters_taken: int
    parameters_new: int
    parameters_ignored: int

    @property
    def share(self) -> float:
        """Share of the network's parameters that were taken, in [0, 1]."""
        return self.parameters_taken / (self.parameters_taken + self.parameters_new)


def matching_rows(source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int]]:
    """(source number, target number) of every unit that is in both lists."""
    numbers = {symbol: number for number, symbol in enumerate(source)}
    return [(numbers[symbol], number) for number, symbol in enumerate(target) if symbol in numbers]


@torch.no_grad()
def load_pretrained(
    source: Mapping[str, torch.Tensor],
    target: torch.nn.Module,
    *,
    head: str,
    source_symbols: Sequence[str],
    target_symbols: Sequence[str],
) -> LoadReport:
    """Copy every tensor of the same name and shape; the CTC head row by row, by unit. Buffers are copied too, but only
    parameters are counted.

    Args:
        source: state dict of the trained network, under the names of the new one.
        target: the new network; changed in place.
        head: prefix of the names of the CTC head's tensors, whose first axis is V.
        source_symbols: units of the source's head.
        target_symbols: units of the target's head.
    """
    rows = matching_rows(source_symbols, target_symbols)
    taken, new = [], []
    parameters_taken = parameters_new = 0
    parameters, state = dict(target.named_parameters()), target.state_dict()
    # All of the head or nothing: a bias without its weights would be of no use.
    heads = [(source.get(name), tensor) for name, tensor in state.items() if name.startswith(head)]
    if any(there is None or there.shape[1:] != tensor.shape[1:] for there, tensor in heads):
        rows = []
    for name, tensor in state.items():
        there = source.get(name)
        if name.startswith(head):
            for source_row, target_row in rows:
                tensor[target_row] = there[source_row]
            count = tensor[0].numel() * len(rows)
        elif there is not None and there.shape == tensor.shape:
            tensor.copy_(there)
            count = tensor.numel()
        else:
            count = 0
        if name in parameters:
            (taken if count else new).append(name)
            parameters_taken += count
            parameters_new += tensor.numel() - count
    ignored = [name for name in source if name not in taken and name.split(".")[-1] not in BUFFERS]
    parameters_ignored = sum(source[name].numel() for name in ignored)
    return LoadReport(
        tuple(taken), tuple(new), tuple(ignored), len(rows), parameters_taken, parameters_new, parameters_ignored
    )
