"""Adapters: the identity at first, on every matrix, gone after merging."""

from dataclasses import replace

import pytest
import torch
from torch.nn.utils import parametrize

from asr.model import lora, network


@pytest.fixture
def hparams(tiny_model, specaugment):
    torch.manual_seed(0)
    model = replace(tiny_model, dropout=0.0)
    values = network.hparams_values(model, specaugment, 5)
    made = network.build(network.fill_placeholders(network.HPARAMS_FILE, values), "test")
    made.encoder(torch.randn(1, 16000), torch.ones(1))
    made.encoder.eval()
    return made


def train_adapters(encoder):
    for name, weight in encoder.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.normal_(weight)


def test_starts_as_the_identity_and_merges_without_a_change(hparams, no_lora):
    wavs, lens = torch.randn(2, 8000), torch.ones(2)
    before = hparams.encoder(wavs, lens)
    lora.add_adapters(hparams.conformer, no_lora)
    hparams.encoder.eval()
    assert torch.equal(hparams.encoder(wavs, lens), before)
    train_adapters(hparams.conformer)
    adapted = hparams.encoder(wavs, lens)
    assert (adapted - before).abs().max() > 0.01
    lora.merge_adapters(hparams.conformer)
    torch.testing.assert_close(hparams.encoder(wavs, lens), adapted, atol=1e-5, rtol=0)
    assert not any(parametrize.is_parametrized(module) for module in hparams.encoder.modules())


def test_every_matrix_of_the_encoder_is_adapted(hparams, no_lora):
    plain = [name for name, weight in hparams.conformer.named_parameters() if weight.ndim > 1]
    left_alone = [name for name in plain if "convolution_module.conv." in name or "pos_bias" in name]
    assert lora.add_adapters(hparams.conformer, no_lora) == len(plain) - len(left_alone)
    adapted = [name for name, _ in hparams.conformer.named_parameters() if name.endswith(".up")]
    assert any("in_proj_weight" in name for name in adapted)
    assert any("bottleneck" in name for name in adapted)


def test_only_adapters_are_trained(hparams, no_lora):
    lora.add_adapters(hparams.conformer, no_lora)
    trained = [name for name, weight in hparams.conformer.named_parameters() if weight.requires_grad]
    assert trained
    assert all(name.endswith((".up", ".down")) for name in trained)


def test_by_hand():
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    adapter = lora.LowRank(weight, r=1, alpha=2.0, dropout=0.5).eval()
    adapter.up.data = torch.tensor([[1.0], [0.0]])
    adapter.down.data = torch.tensor([[10.0, 20.0]])
    torch.testing.assert_close(adapter(weight), torch.tensor([[21.0, 42.0], [3.0, 4.0]]))


def test_dropout_hides_input_features_in_training():
    torch.manual_seed(0)
    weight = torch.zeros(3, 100)
    adapter = lora.LowRank(weight, r=2, alpha=2.0, dropout=0.5)
    torch.nn.init.ones_(adapter.up)
    hidden = (adapter(weight) == 0).all(dim=0).float().mean()
    assert 0.3 < hidden < 0.7
