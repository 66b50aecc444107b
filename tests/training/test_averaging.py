"""Averages of weights, by hand."""

import pytest
import torch

from atc_asr.training.averaging import Ema, load_mean
from atc_asr.training.checkpoints import Checkpoints


class Scalar(torch.nn.Module):
    """A weight, a frozen weight, and two buffers as in BatchNorm."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.frozen = torch.nn.Parameter(torch.tensor(7.0), requires_grad=False)
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("count", torch.tensor(0))


@pytest.fixture
def scalar():
    return Scalar()


def step(model, value, ema=None):
    with torch.no_grad():
        model.weight.fill_(value)
        model.mean.fill_(value)
        model.count.fill_(int(value))
    if ema is not None:
        ema.update()


def test_moving_average_by_hand(scalar):
    ema = Ema(scalar, decay=0.2)
    step(scalar, 3.0, ema)  # d = min(0.2, 2/11) = 2/11
    first = 2 / 11 * 1.0 + 9 / 11 * 3.0
    assert ema.weights["weight"].item() == pytest.approx(first)
    step(scalar, 5.0, ema)  # d = min(0.2, 3/12) = 0.2
    assert ema.weights["weight"].item() == pytest.approx(0.2 * first + 0.8 * 5.0)
    assert list(ema.weights) == ["weight"]


def test_swap_twice_restores_the_weights(scalar):
    ema = Ema(scalar, decay=0.5)
    step(scalar, 3.0, ema)
    average = ema.weights["weight"].item()
    ema.swap()
    assert (scalar.weight.item(), ema.weights["weight"].item()) == (average, 3.0)
    ema.swap()
    assert (scalar.weight.item(), ema.weights["weight"].item()) == (3.0, average)


def test_moving_average_continues_after_a_checkpoint(scalar, tmp_path):
    ema = Ema(scalar, decay=0.999)
    step(scalar, 3.0, ema)
    ema.save(tmp_path / "ema")
    step(scalar, 5.0, ema)
    resumed = Scalar()
    other = Ema(resumed, decay=0.999)
    other.load(tmp_path / "ema", end_of_epoch=True)
    step(resumed, 5.0, other)
    assert torch.equal(other.weights["weight"], ema.weights["weight"])


@pytest.fixture
def checkpoints(scalar, tmp_path):
    """Checkpoints with moving averages 2 and 4 (decay 0: the weights of the last update) and weights 12 and 14."""
    ema = Ema(scalar, decay=0.0)
    made = Checkpoints(tmp_path, {"model": scalar, "ema": ema})
    for name, value in {"a": 2.0, "b": 4.0}.items():
        step(scalar, value, ema)
        step(scalar, value + 10)
        made.save_checkpoint(name=name)
    return made.epochs(2, None)


@pytest.mark.parametrize(("ema", "weight"), [(False, 13.0), (True, 3.0)])
def test_mean_of_checkpoints_by_hand(checkpoints, ema, weight):
    model = Scalar()
    load_mean(model, checkpoints, ema=ema)
    assert model.weight.item() == weight
    assert model.frozen.item() == 7.0
    # Buffers are those of the newest checkpoint.
    assert (model.mean.item(), model.count.item()) == (14.0, 14)


def test_one_checkpoint_is_its_own_mean(checkpoints):
    model = Scalar()
    load_mean(model, checkpoints[1:], ema=False)
    assert (model.weight.item(), model.count.item()) == (12.0, 12)
