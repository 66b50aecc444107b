"""Parameter groups and their learning rates."""

from types import SimpleNamespace

import pytest
import torch

from atc_asr.training import optimizer


@pytest.fixture
def model():
    return torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 3)])


def make(model, encoder_lr):
    groups = optimizer.parameter_groups(model, model[1], encoder_lr)
    return optimizer.make_adamw(groups, lr=0.1, weight_decay=0.0)


def step(model, made, gradient=1.0):
    """Largest change of each layer's weights in an update."""
    before = [layer.weight.detach().clone() for layer in model]
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, gradient)
    made.step()
    return [(layer.weight - old).abs().max().item() for layer, old in zip(model, before, strict=True)]


def test_the_head_has_the_full_learning_rate(model):
    made = make(model, 0.25)
    optimizer.set_lr(made, 0.02)
    # AdamW's first step is the learning rate itself.
    assert step(model, made) == pytest.approx([0.005, 0.02], rel=1e-3)
    optimizer.set_lr(made, 0.04)
    assert [group["lr"] for group in made.param_groups] == [0.04, 0.01]


def test_equal_learning_rates_are_one_group(model):
    made = make(model, 1.0)
    optimizer.set_lr(made, 0.02)
    assert len(made.param_groups) == 1
    assert step(model, made) == pytest.approx([0.02, 0.02], rel=1e-3)


def test_frozen_parameters_are_in_no_group(model):
    model[0].requires_grad_(False)
    for encoder_lr in (1.0, 0.5):
        groups = optimizer.parameter_groups(model, model[1], encoder_lr)
        assert [id(weight) for group in groups for weight in group["params"]] == [id(w) for w in model[1].parameters()]


def test_a_checkpoint_keeps_the_factor(model):
    made, other = make(model, 0.5), make(model, 0.5)
    step(model, made)
    other.load_state_dict(made.state_dict())
    optimizer.set_lr(other, 1.0)
    assert [group["lr"] for group in other.param_groups] == [1.0, 0.5]


def test_the_lowest_layers():
    encoder = SimpleNamespace(layers=["a", "b", "c"])
    conformer = SimpleNamespace(transformer=SimpleNamespace(custom_src_module="projection", encoder=encoder))
    assert optimizer.lowest_layers("front", conformer, 0) == []
    assert optimizer.lowest_layers("front", conformer, 2) == ["front", "projection", "a", "b"]
