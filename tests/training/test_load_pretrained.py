"""Loading weights: by name, the CTC head by token, with everything counted."""

import torch

from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.training.load_pretrained import load_pretrained


def net(num_tokens, width=3):
    model = torch.nn.ModuleList([torch.nn.Linear(2, width, bias=False), torch.nn.Linear(width, num_tokens)])
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    return model


def test_a_network_with_the_same_tokens_is_loaded_completely():
    source, target = net(3), net(3)
    symbols = char_tokens(["AB"]).symbols
    stats = load_pretrained(source.state_dict(), target, head="1.", source_symbols=symbols, target_symbols=symbols)
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])
    assert (stats["loaded_fraction"], stats["tensors_new"], stats["tensors_ignored"]) == (1.0, 0, 0)


def test_other_tokens_and_an_unknown_layer():
    source, target = net(3), net(4)
    before = target[1].weight.clone()
    state = source.state_dict() | {"unknown": torch.zeros(1)}
    there, here = char_tokens(["AB"]).symbols, char_tokens(["BCD"]).symbols
    stats = load_pretrained(state, target, head="1.", source_symbols=there, target_symbols=here)
    assert torch.equal(target[1].weight[[0, 1]], source[1].weight[[0, 2]])
    assert torch.equal(target[1].weight[2:], before[2:])
    assert stats == {
        "tensors_loaded": 3, "tensors_new": 2, "tensors_ignored": 1, "parameters_loaded": 14, "parameters_new": 8,
        "parameters_ignored": 1, "tokens_loaded": 2, "loaded_fraction": 14 / 22,
    }  # fmt: skip


def test_nothing_of_a_network_of_another_width_is_loaded():
    symbols = char_tokens(["AB"]).symbols
    target = net(3)
    stats = load_pretrained(
        net(3, width=5).state_dict(), target, head="1.", source_symbols=symbols, target_symbols=symbols
    )
    # The bias of the head would fit, but is not loaded without its weights.
    assert (stats["tensors_loaded"], stats["tokens_loaded"], stats["loaded_fraction"]) == (0, 0, 0.0)
    assert (stats["tensors_ignored"], stats["parameters_ignored"]) == (3, 2 * 5 + 5 * 3 + 3)


def test_only_parameters_are_counted():
    def make():
        model = torch.nn.ModuleList([torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3)])
        torch.nn.init.normal_(model[0].running_mean)
        return model

    source, target, symbols = make(), make(), char_tokens(["AB"]).symbols
    stats = load_pretrained(source.state_dict(), target, head="1.", source_symbols=symbols, target_symbols=symbols)
    assert torch.equal(target[0].running_mean, source[0].running_mean)
    assert (stats["tensors_loaded"], stats["parameters_loaded"]) == (4, 3 + 3 + 9 + 3)
    assert (stats["tensors_new"], stats["tensors_ignored"]) == (0, 0)
