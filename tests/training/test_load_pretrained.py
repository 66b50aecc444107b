"""Weights from a trained network: by name, the head by unit, everything counted."""

import torch

from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.training.load_pretrained import load_pretrained, matching_rows


def net(units, width=3):
    model = torch.nn.ModuleList([torch.nn.Linear(2, width, bias=False), torch.nn.Linear(width, units)])
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    return model


def test_rows_are_matched_by_unit():
    assert matching_rows(char_tokens(["BC"]).symbols, char_tokens(["ABZ"]).symbols) == [(0, 0), (1, 2)]


def test_all_of_a_network_with_the_same_units():
    source, target = net(3), net(3)
    units = char_tokens(["AB"]).symbols
    report = load_pretrained(source.state_dict(), target, head="1.", source_symbols=units, target_symbols=units)
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])
    assert (report.share, report.new, report.ignored) == (1.0, (), ())


def test_other_units_and_an_own_layer():
    source, target = net(3), net(4)
    before = target[1].weight.clone()
    state = source.state_dict() | {"stranger": torch.zeros(1)}
    there, here = char_tokens(["AB"]).symbols, char_tokens(["BCD"]).symbols
    report = load_pretrained(state, target, head="1.", source_symbols=there, target_symbols=here)
    assert torch.equal(target[1].weight[[0, 1]], source[1].weight[[0, 2]])
    assert torch.equal(target[1].weight[2:], before[2:])
    assert report.rows_taken == 2
    assert report.parameters_taken == 6 + 2 * 3 + 2
    assert report.parameters_new == 2 * 3 + 2
    assert report.ignored == ("stranger",)


def test_a_network_of_another_width_gives_nothing():
    units = char_tokens(["AB"]).symbols
    target = net(3)
    report = load_pretrained(
        net(3, width=5).state_dict(), target, head="1.", source_symbols=units, target_symbols=units
    )
    # The head's bias would fit, row by row, but not without its weights.
    assert (report.taken, report.rows_taken, report.share) == ((), 0, 0.0)
    assert report.parameters_ignored == 2 * 5 + 5 * 3 + 3


def test_only_parameters_are_counted():
    def make():
        model = torch.nn.ModuleList([torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3)])
        torch.nn.init.normal_(model[0].running_mean)
        return model

    source, target, units = make(), make(), char_tokens(["AB"]).symbols
    report = load_pretrained(source.state_dict(), target, head="1.", source_symbols=units, target_symbols=units)
    assert torch.equal(target[0].running_mean, source[0].running_mean)
    assert (report.parameters_taken, report.parameters_new) == (3 + 3 + 3 * 3 + 3, 0)
    assert (len(report.taken), report.ignored) == (4, ())
