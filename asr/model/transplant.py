"""Start from a trained run: its weights into a new network, every tensor accounted for."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from asr.model.tokens import Tokens


@dataclass(frozen=True)
class Transplant:
    """What became of the tensors.

    Attributes:
        taken: names of the new network's tensors that were filled from the source.
        new: names of those that keep their fresh values.
        ignored: names of the source's tensors that have no place here.
        rows_taken: rows of the CTC head whose unit is in both token lists.
        parameters_taken: numbers filled.
        parameters_new: numbers that keep their fresh values.
    """

    taken: tuple[str, ...]
    new: tuple[str, ...]
    ignored: tuple[str, ...]
    rows_taken: int
    parameters_taken: int
    parameters_new: int

    @property
    def share(self) -> float:
        """Share of the network's parameters that were taken, in [0, 1]."""
        return self.parameters_taken / (self.parameters_taken + self.parameters_new)


def matching_rows(source: Tokens, target: Tokens) -> list[tuple[int, int]]:
    """(source number, target number) of every unit that is in both lists."""
    numbers = {symbol: number for number, symbol in enumerate(source.symbols)}
    return [(numbers[symbol], number) for number, symbol in enumerate(target.symbols) if symbol in numbers]


@torch.no_grad()
def transplant(
    source: Mapping[str, torch.Tensor],
    target: torch.nn.Module,
    *,
    head: str,
    source_tokens: Tokens,
    target_tokens: Tokens,
) -> Transplant:
    """Copy every tensor of the same name and shape; the CTC head row by row, by unit.

    Args:
        source: state dict of the trained network.
        target: the new network; changed in place.
        head: prefix of the names of the CTC head's tensors, whose first axis is V.
        source_tokens: units of the source's head.
        target_tokens: units of the target's head.
    """
    rows = matching_rows(source_tokens, target_tokens)
    taken, new = [], []
    numbers_taken = numbers_new = 0
    state = target.state_dict()
    for name, tensor in state.items():
        there = source.get(name)
        if there is not None and name.startswith(head) and there.shape[1:] == tensor.shape[1:]:
            for source_row, target_row in rows:
                tensor[target_row] = there[source_row]
            count = tensor[0].numel() * len(rows)
        elif there is not None and there.shape == tensor.shape:
            tensor.copy_(there)
            count = tensor.numel()
        else:
            count = 0
        (taken if count else new).append(name)
        numbers_taken += count
        numbers_new += tensor.numel() - count
    ignored = [name for name in source if name not in taken]
    return Transplant(tuple(taken), tuple(new), tuple(ignored), len(rows), numbers_taken, numbers_new)
