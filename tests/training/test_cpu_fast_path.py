"""The cheaper arithmetic gives SpeechBrain's own outputs and gradients."""

from dataclasses import replace

import pytest
import torch

from atc_asr.model import network
from atc_asr.training import cpu_fast_path, lora


def outputs_and_gradients(hparams, lens):
    hparams.model.zero_grad()
    torch.manual_seed(1)  # of dropout
    features = torch.randn(2, 160, 80, generator=torch.Generator().manual_seed(3))
    hidden, layers = hparams.conformer(hparams.front_end(features), lens)
    log_probs = hparams.log_softmax(hparams.ctc_head(hidden))
    (log_probs[..., 1].mean() + layers[1].square().mean()).backward()
    return log_probs.detach(), {
        name: weight.grad.clone() for name, weight in hparams.model.named_parameters() if weight.grad is not None
    }


@pytest.mark.parametrize("attention_type", ["RoPEMHA", "RelPosMHAXL", "regularMHA"])
@pytest.mark.parametrize("frame_ms", [20, 40])
@pytest.mark.parametrize("adapted", [False, True])
def test_same_outputs_and_gradients(tiny_model, specaugment, no_lora, attention_type, frame_ms, adapted):
    model = replace(
        tiny_model, attention_type=attention_type, frame_ms=frame_ms, n_mels=80, d_model=72, dropout=0.0, num_layers=2
    )
    text = network.fill_placeholders(network.HPARAMS_FILE, network.hparams_values(model, specaugment, 7))
    hparams = network.build(text, "test")
    if adapted:
        lora.add_adapters(hparams.conformer, replace(no_lora, lora_dropout=0.0))
    lens = torch.tensor([1.0, 0.6])
    expected, expected_gradients = outputs_and_gradients(hparams, lens)
    cpu_fast_path.use_fast_path(hparams.model)
    found, found_gradients = outputs_and_gradients(hparams, lens)
    assert sum("forward" in vars(module) for module in hparams.model.modules()) > 10
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in found_gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], atol=1e-6, rtol=1e-3, msg=name)
