"""Weights from a trained network: by name, the head by unit, everything counted."""

import torch

from asr.model.tokens import char_tokens
from asr.model.transplant import matching_rows, transplant


def net(units, width=3):
    model = torch.nn.ModuleList([torch.nn.Linear(2, width, bias=False), torch.nn.Linear(width, units)])
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    return model


def test_rows_are_matched_by_unit():
    assert matching_rows(char_tokens(["BC"]), char_tokens(["ABZ"])) == [(0, 0), (1, 2)]


def test_all_of_a_network_with_the_same_units():
    source, target = net(3), net(3)
    units = char_tokens(["AB"])
    report = transplant(source.state_dict(), target, head="1.", source_tokens=units, target_tokens=units)
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])
    assert (report.share, report.new, report.ignored) == (1.0, (), ())


def test_other_units_and_an_own_layer():
    source, target = net(3), net(4)
    before = target[1].weight.clone()
    state = source.state_dict() | {"stranger": torch.zeros(1)}
    report = transplant(state, target, head="1.", source_tokens=char_tokens(["AB"]), target_tokens=char_tokens(["BCD"]))
    assert torch.equal(target[1].weight[[0, 1]], source[1].weight[[0, 2]])
    assert torch.equal(target[1].weight[2:], before[2:])
    assert report.rows_taken == 2
    assert report.parameters_taken == 6 + 2 * 3 + 2
    assert report.parameters_new == 2 * 3 + 2
    assert report.ignored == ("stranger",)


def test_a_network_of_another_width_gives_nothing():
    units = char_tokens(["AB"])
    target = net(3)
    report = transplant(net(3, width=5).state_dict(), target, head="1.", source_tokens=units, target_tokens=units)
    # Only the head's bias fits, row by row.
    assert report.taken == ("1.bias",)
    assert report.share < 0.2
