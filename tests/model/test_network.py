"""The network's file and its placeholders; frames and shapes."""

from dataclasses import replace

import pytest
import torch

from atc_asr.core.errors import InputError
from atc_asr.model import network


def build(model, specaugment, num_tokens=5):
    values = network.hparams_values(model, specaugment, num_tokens)
    return network.build(network.fill_placeholders(network.HPARAMS_FILE, values), "test")


@pytest.mark.parametrize("frame_ms", [20, 40])
@pytest.mark.parametrize("num_samples", [400, 1599, 1600, 16000, 16001, 23999])
def test_frames_are_counted_as_the_network_makes_them(tiny_model, specaugment, frame_ms, num_samples):
    encoder = build(replace(tiny_model, frame_ms=frame_ms), specaugment).encoder
    log_probs = encoder(torch.randn(1, num_samples), torch.ones(1))
    assert log_probs.shape == (1, network.count_frames(num_samples, frame_ms), 5)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(log_probs.shape[:2]))


def test_a_third_block_keeps_the_frames_and_the_nonlinearity_is_chosen(tiny_model, specaugment):
    model = replace(tiny_model, front_end_channels=[4, 4, 6], front_end_kernels=[5, 5, 1], activation="gelu")
    hparams = build(replace(model, n_fft=512, win_length=32), specaugment)
    assert hparams.encoder(torch.randn(1, 16000), torch.ones(1)).shape == (1, network.count_frames(16000, 40), 5)
    kinds = {type(module) for module in hparams.conformer.modules()}
    assert torch.nn.GELU in kinds
    assert not any(kind.__name__ == "Swish" for kind in kinds)


@pytest.mark.parametrize("attention_type", ["RelPosMHAXL", "RoPEMHA", "regularMHA"])
def test_more_padding_changes_nothing(tiny_model, specaugment, attention_type):
    torch.manual_seed(0)
    encoder = build(replace(tiny_model, attention_type=attention_type), specaugment).encoder
    wavs = torch.randn(2, 16000)
    encoder(wavs, torch.ones(2))  # takes statistics
    encoder.eval()
    wavs[0, 8000:] = 0
    little = encoder(wavs[:1, :12000], torch.tensor([8000 / 12000]))
    much = encoder(wavs, torch.tensor([0.5, 1.0]))
    num_frames = network.count_frames(8000, 40)
    torch.testing.assert_close(much[0, :num_frames], little[0, :num_frames], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "model.num_heads: got 3, wanted a divisor of d_model 16"),
        ({"kernel_size": 4}, "model.kernel_size: got 4, wanted an odd number"),
        ({"front_end_channels": [4]}, "model.front_end_channels: got .4., wanted two numbers"),
        ({"front_end_kernels": [3]}, "model.front_end_kernels: got .3., wanted 2 odd numbers"),
        ({"front_end_kernels": [3, 4]}, "model.front_end_kernels: got .3, 4., wanted 2 odd numbers"),
        ({"win_length": 32}, "model.n_fft: got 400, wanted at least the 512 samples of win_length"),
    ],
)
def test_values_that_contradict_each_other(tiny_model, specaugment, changes, message):
    with pytest.raises(InputError, match=message):
        network.hparams_values(replace(tiny_model, **changes), specaugment, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !PLACEHOLDER\nmystery: !PLACEHOLDER\n", "placeholder mystery is no key"),
        ("a: 1\n", "a is no !PLACEHOLDER there"),
        (None, "cannot be read"),
    ],
)
def test_a_file_whose_placeholders_do_not_fit(tmp_path, text, message):
    path = tmp_path / "h.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        network.fill_placeholders(path, {"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: !new:no.such.Class\n", "cannot be built"), ("a: 1\n", "modules is missing"), ("a: [", "cannot be built")],
)
def test_a_file_that_is_no_network(text, message):
    with pytest.raises(InputError, match=message):
        network.build(text, "h.yaml")


def test_the_seed_decides_the_weights(tiny_model, specaugment):
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(torch.nn.utils.parameters_to_vector(build(tiny_model, specaugment).model.parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
