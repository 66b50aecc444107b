"""Initialises a network with the weights of another one, and accounts for every tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

# Last part of the names of tensors that are not parameters: positional encodings and running statistics.
BUFFERS = ("pe", "inv_freq", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class LoadReport:
    """What was loaded.

    Attributes:
        loaded: name -> number of loaded values, for each parameter that was loaded completely or in part.
        new: name -> number of values that keep their initial values.
        ignored: name -> number of values, for the source's parameters that the network does not have.
        tokens_loaded: rows of the CTC head that were loaded, those of tokens in both lists.
    """

    loaded: Mapping[str, int]
    new: Mapping[str, int]
    ignored: Mapping[str, int]
    tokens_loaded: int

    @property
    def loaded_fraction(self) -> float:
        """Fraction of the network's parameters that were loaded, in [0, 1]."""
        loaded, new = sum(self.loaded.values()), sum(self.new.values())
        return loaded / (loaded + new)

    def stats(self) -> dict[str, float]:
        """Numbers for the record of a run."""
        parts = {"loaded": self.loaded, "new": self.new, "ignored": self.ignored}
        tensors = {f"tensors_{name}": len(part) for name, part in parts.items()}
        parameters = {f"parameters_{name}": sum(part.values()) for name, part in parts.items()}
        totals = {"tokens_loaded": self.tokens_loaded, "loaded_fraction": self.loaded_fraction}
        return tensors | parameters | totals


@torch.no_grad()
def load_pretrained(
    source: Mapping[str, torch.Tensor],
    target: torch.nn.Module,
    *,
    head: str,
    source_symbols: Sequence[str],
    target_symbols: Sequence[str],
) -> LoadReport:
    """Copy all tensors of the same name and shape, and the rows of the CTC head whose tokens are in both lists.

    Buffers are copied too, but only parameters are counted.

    Args:
        source: state dict of the trained network, with the names of the new one.
        target: the new network; changed in place.
        head: prefix of the names of the CTC head's tensors, whose first axis is V.
        source_symbols: tokens of the source's head.
        target_symbols: tokens of the target's head.
    """
    numbers = {symbol: number for number, symbol in enumerate(source_symbols)}
    rows = [(numbers[symbol], number) for number, symbol in enumerate(target_symbols) if symbol in numbers]
    parameters, state = dict(target.named_parameters()), target.state_dict()
    # The head is loaded with all of its tensors or not at all: a bias is of no use without its weights.
    heads = [(source.get(name), tensor) for name, tensor in state.items() if name.startswith(head)]
    if any(theirs is None or theirs.shape[1:] != ours.shape[1:] for theirs, ours in heads):
        rows = []
    counts = dict.fromkeys(state, 0)
    for name, ours in state.items():
        theirs = source.get(name)
        if name.startswith(head):
            for source_row, target_row in rows:
                ours[target_row] = source[name][source_row]
            counts[name] = ours[0].numel() * len(rows)
        elif theirs is not None and theirs.shape == ours.shape:
            ours.copy_(theirs)
            counts[name] = ours.numel()
    missing = {name: parameter.numel() - counts[name] for name, parameter in parameters.items()}
    return LoadReport(
        loaded={name: counts[name] for name in parameters if counts[name]},
        new={name: count for name, count in missing.items() if count},
        ignored={
            name: tensor.numel()
            for name, tensor in source.items()
            if not counts.get(name) and name.split(".")[-1] not in BUFFERS
        },
        tokens_loaded=len(rows),
    )
