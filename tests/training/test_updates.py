"""An update: the same weights as SpeechBrain's, losses summed on the device, NaN skipped."""

import math

import pytest
import speechbrain as sb
import torch

from atc_asr.core.errors import InputError
from atc_asr.training import training, updates
from atc_asr.training.brain import ConformerCTC
from atc_asr.training.recoverables import Losses
from atc_asr.training.updates import NonblockingBrain


class Regression(NonblockingBrain):
    def compute_forward(self, batch, stage):
        return self.modules.net(batch[0])

    def compute_objectives(self, outputs, batch, stage):
        return (outputs - batch[1]).square().mean()


def brain_of(kind, max_grad_norm=0.01, grad_accum=1):
    torch.manual_seed(1)
    brain = kind(
        {"net": torch.nn.Linear(3, 1)},
        opt_class=lambda weights: torch.optim.AdamW(weights, lr=0.1, fused=True),
        run_opts={"device": "cpu", "max_grad_norm": max_grad_norm, "grad_accumulation_factor": grad_accum},
    )
    brain.on_fit_start()
    return brain


def step(brain, number, bad=False):
    random = torch.Generator().manual_seed(number)
    inputs = torch.randn(4, 3, generator=random)
    brain.step += 1
    return brain.fit_batch((inputs * float("nan") if bad else inputs, torch.ones(4, 1)))


class Plain(sb.Brain):
    compute_forward, compute_objectives = Regression.compute_forward, Regression.compute_objectives


@pytest.mark.parametrize("max_grad_norm", [0.01, 100.0])
@pytest.mark.parametrize("grad_accum", [1, 2])
def test_the_same_weights_as_speechbrains_step(max_grad_norm, grad_accum):
    ours, theirs = (brain_of(kind, max_grad_norm, grad_accum) for kind in (Regression, Plain))
    for number in range(6):
        torch.testing.assert_close(step(ours, number), step(theirs, number))
    torch.testing.assert_close(ours.modules.net.weight, theirs.modules.net.weight)
    assert ours.optimizer_step == theirs.optimizer_step == 6 // grad_accum


def test_a_loss_that_is_not_finite_is_skipped_and_counted_once():
    brain = brain_of(Regression)
    first = step(brain, 0).item()
    before = brain.modules.net.weight.detach().clone()
    step(brain, 1, bad=True)
    assert torch.equal(brain.modules.net.weight, before)
    last = step(brain, 2).item()
    assert not torch.equal(brain.modules.net.weight, before)
    mean, not_finite = brain.losses.read()
    assert mean == pytest.approx((first + last) / 2)
    assert not_finite == 1


def test_the_mean_gradient_norm_is_that_before_clipping():
    brain = brain_of(Regression, max_grad_norm=0.01)
    gradients, update = [], brain.optimizer.step

    def recorded_update():
        weights = [weight.grad for weight in brain.modules.parameters()]
        gradients.append(math.sqrt(sum(float(gradient.square().sum()) for gradient in weights)))
        update()

    brain.optimizer.step = recorded_update
    for number in range(3):
        step(brain, number, bad=number == 1)
    assert brain.losses.read_norm() == pytest.approx((gradients[0] + gradients[2]) / 2)
    assert math.isnan(gradients[1])


def test_too_many_nonfinite_losses_end_the_training(monkeypatch):
    monkeypatch.setattr(updates, "READ_EVERY", 1)
    monkeypatch.setattr(updates, "MAX_NONFINITE", 1)
    brain = brain_of(Regression)
    step(brain, 0, bad=True)
    with pytest.raises(InputError, match=r"2 losses or gradients are not finite .*wanted at most 1; try a lower"):
        step(brain, 1, bad=True)


def test_losses_are_saved_in_a_checkpoint(tmp_path):
    losses = Losses(torch.device("cpu"))
    assert math.isnan(losses.read()[0])
    for loss in (1.0, float("inf"), 2.0):
        losses.add(torch.tensor(loss))
        losses.count_nonfinite(torch.tensor(loss))
        losses.add_norm(torch.tensor(3 * loss))
    losses.save(tmp_path / "losses.ckpt")
    again = Losses(torch.device("cpu"))
    again.load(tmp_path / "losses.ckpt", False)
    assert again.read() == losses.read() == (1.5, 1)
    assert again.read_norm() == losses.read_norm() == 4.5
    again.start_epoch()
    assert again.read()[1] == 1
    assert math.isnan(again.read_norm())


def test_a_cuda_out_of_memory_error_is_one_line(config, changed, tmp_path, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(ConformerCTC, "compute_forward", full)
    with pytest.raises(InputError, match=r"out of memory in a batch of \d+ x \d\.\d s \(u\d+.*lower train\.batch_size"):
        training.train(changed(config, train={"epochs": 1}), tmp_path)
