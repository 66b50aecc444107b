"""Initialises a network with the weights of another one, and counts the parameters that were loaded."""

from collections.abc import Mapping, Sequence

import torch

# Last part of the names of tensors that are not parameters: positional encodings and running statistics.
BUFFERS = ("pe", "inv_freq", "running_mean", "running_var", "num_batches_tracked")


@torch.no_grad()
def load_pretrained(
    source: Mapping[str, torch.Tensor],
    target: torch.nn.Module,
    *,
    head: str,
    source_symbols: Sequence[str],
    target_symbols: Sequence[str],
) -> dict[str, float]:
    """Copy all tensors of the same name and shape, and the rows of the CTC head whose tokens are in both lists.

    Buffers are copied too, but only parameters are counted.

    Args:
        source: state dict of the trained network, with the names of the new one.
        target: the new network; changed in place.
        head: prefix of the names of the CTC head's tensors, whose first axis is V.
        source_symbols, target_symbols: tokens of the two heads.

    Returns:
        Numbers for the record of a run: `tensors_*` and `parameters_*` that were loaded, that stay as they are (new)
        or that only the source has (ignored), `tokens_loaded`, and `loaded_fraction` of the target's parameters.
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
    parts = {
        "loaded": {name: counts[name] for name in parameters},
        "new": {name: parameter.numel() - counts[name] for name, parameter in parameters.items()},
        "ignored": {
            name: tensor.numel()
            for name, tensor in source.items()
            if not counts.get(name) and name.split(".")[-1] not in BUFFERS
        },
    }
    tensors = {f"tensors_{part}": sum(count > 0 for count in sizes.values()) for part, sizes in parts.items()}
    totals = {f"parameters_{part}": sum(sizes.values()) for part, sizes in parts.items()}
    fraction = totals["parameters_loaded"] / (totals["parameters_loaded"] + totals["parameters_new"])
    return {**tensors, **totals, "tokens_loaded": len(rows), "loaded_fraction": fraction}
