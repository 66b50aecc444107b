"""Adapters: without effect at first, on every matrix, without a trace after merging."""

import pytest
import torch
from torch.nn.utils import parametrize

from atc_asr.core import config
from atc_asr.core.errors import InputError
from atc_asr.training import cpu_fast_path, lora
from atc_asr.training.lora import TARGETS
from atc_asr.training.params import LoraParams
from tests import tiny_network

PARAMS = LoraParams(peft="lora", lora_r=2, lora_alpha=4.0, lora_dropout=0.1, lora_targets=list(TARGETS))


def make(attention_type="RelPosMHAXL", num_layers=1):
    hparams = tiny_network.build(dropout=0.0, attention_type=attention_type, num_layers=num_layers)
    hparams.encoder.eval()
    return hparams


@pytest.fixture
def hparams():
    return make()


def train_adapters(encoder):
    for name, weight in encoder.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.normal_(weight)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("attention_type", ["RelPosMHAXL", "RoPEMHA", "regularMHA"])
def test_adding_and_merging_change_no_output(attention_type, fast):
    hparams = make(attention_type)
    names = set(hparams.model.state_dict())
    wavs, lens = torch.randn(2, 8000), torch.ones(2)
    if fast:
        cpu_fast_path.use_fast_path(hparams.model)
    before = hparams.encoder(wavs, lens)
    lora.add_adapters(hparams.conformer, PARAMS)
    hparams.encoder.eval()
    torch.testing.assert_close(hparams.encoder(wavs, lens), before, atol=1e-6, rtol=0)
    train_adapters(hparams.conformer)
    adapted = hparams.encoder(wavs, lens)
    assert (adapted - before).abs().max() > 0.01
    lora.merge_adapters(hparams.conformer)
    torch.testing.assert_close(hparams.encoder(wavs, lens), adapted, atol=1e-5, rtol=0)
    assert set(hparams.model.state_dict()) == names
    assert not any(parametrize.is_parametrized(module) for module in hparams.encoder.modules())
    assert not any(module._forward_hooks for module in hparams.conformer.modules())


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("attention_type", ["RelPosMHAXL", "RoPEMHA", "regularMHA"])
def test_every_adapter_is_trained_and_nothing_else(attention_type, fast):
    hparams = make(attention_type)
    if fast:
        cpu_fast_path.use_fast_path(hparams.model)
    adapted = lora.add_adapters(hparams.conformer, PARAMS)
    hparams.encoder(torch.randn(2, 8000), torch.ones(2)).square().sum().backward()
    ups = {name: weight for name, weight in hparams.conformer.named_parameters() if name.endswith(".up")}
    assert len(ups) == len(adapted)
    assert [name for name, weight in ups.items() if weight.grad is None or not weight.grad.any()] == []
    assert all(weight.grad is None for name, weight in hparams.conformer.named_parameters()
               if not name.endswith((".up", ".down")))  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention_type", ["RelPosMHAXL", "RoPEMHA", "regularMHA"])
def test_half_precision(attention_type, dtype):
    hparams = make(attention_type)
    lora.add_adapters(hparams.conformer, PARAMS)
    train_adapters(hparams.conformer)
    hparams.conformer.train()
    features = hparams.front_end(torch.randn(2, 40, 20))
    with torch.autocast("cpu", dtype=dtype):
        hidden, _ = hparams.conformer(features, torch.ones(2))
    hidden.float().sum().backward()
    trained = [weight for weight in hparams.conformer.parameters() if weight.requires_grad]
    assert all(weight.grad.isfinite().all() and weight.dtype == torch.float32 for weight in trained)


def test_every_matrix_of_the_encoder_is_adapted(hparams):
    plain = [name for name, weight in hparams.conformer.named_parameters() if weight.ndim > 1]
    excluded = [name for name in plain if "convolution_module.conv." in name or "pos_bias" in name]
    adapted = lora.add_adapters(hparams.conformer, PARAMS)
    assert set(adapted) == set(plain) - set(excluded)
    stats = lora.adapter_stats(adapted)
    assert stats == {"matrices": 10, "attention": 3, "feed_forward": 4, "convolution": 2, "projection": 1}


@pytest.mark.parametrize("target", TARGETS)
def test_only_the_targets_are_adapted(hparams, target):
    adapted = lora.add_adapters(hparams.conformer, PARAMS.model_copy(update={"lora_targets": [target]}))
    assert adapted
    assert all(TARGETS[target] in name for name in adapted)


def test_no_target_is_refused():
    with pytest.raises(InputError, match=r"lora\.lora_targets: got \[\], wanted list of one of attention"):
        config.make_section(LoraParams, PARAMS.model_dump() | {"lora_targets": []}, "params.yaml: lora")


def test_frozen_layers_get_no_adapters():
    hparams = make(num_layers=2)
    frozen = [hparams.conformer.transformer.encoder.layers[0], hparams.conformer.transformer.custom_src_module]
    adapted = lora.add_adapters(hparams.conformer, PARAMS, frozen)
    assert adapted
    assert all("layers.1." in name for name in adapted)


def test_an_adapted_weight_by_hand():
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    adapter = lora.WeightUpdate(weight, r=1, alpha=2.0, dropout=0.5).eval()
    adapter.up.data = torch.tensor([[1.0], [0.0]])
    adapter.down.data = torch.tensor([[10.0, 20.0]])
    torch.testing.assert_close(adapter(weight), torch.tensor([[21.0, 42.0], [3.0, 4.0]]))


def test_dropout_zeros_input_features_in_training():
    torch.manual_seed(0)
    weight = torch.zeros(3, 100)
    adapter = lora.WeightUpdate(weight, r=2, alpha=2.0, dropout=0.5)
    torch.nn.init.ones_(adapter.up)
    hidden = (adapter(weight) == 0).all(dim=0).float().mean()
    assert 0.3 < hidden < 0.7


def test_an_adapted_linear_by_hand():
    layer = torch.nn.Linear(2, 2, bias=False)
    adapter = lora.OutputUpdate(layer.weight, r=1, alpha=2.0, dropout=0.5).eval()
    adapter.up.data = torch.tensor([[1.0], [0.0]])
    adapter.down.data = torch.tensor([[10.0, 20.0]])
    torch.testing.assert_close(adapter(torch.tensor([[1.0, 1.0]])), torch.tensor([[60.0, 0.0]]))


def test_the_dropout_of_a_linear_layer_differs_between_frames():
    torch.manual_seed(0)
    adapter = lora.OutputUpdate(torch.zeros(1, 100), r=1, alpha=1.0, dropout=0.5)
    torch.nn.init.ones_(adapter.up)
    torch.nn.init.ones_(adapter.down)
    kept = adapter(torch.ones(50, 100)).flatten() / 2
    assert len(set(kept.tolist())) > 10
    assert 40 < kept.mean() < 60
