"""Building the network, its numbers of frames, and its forward pass."""

import pytest
import torch

from atc_asr.core.errors import InputError
from atc_asr.model import network
from atc_asr.training import cpu_fast_path
from tests import tiny_network

SIZES = (16000, 15999, 9000, 4321, 1600)  # samples of utterances: up to the batch's end, just before it, far before it


@pytest.mark.parametrize("frame_ms", [20, 40])
@pytest.mark.parametrize("num_samples", [400, 1599, 1600, 16000, 16001, 23999])
def test_frames_are_counted_as_the_network_makes_them(frame_ms, num_samples):
    encoder = tiny_network.build(frame_ms=frame_ms).encoder
    log_probs = encoder(torch.randn(1, num_samples), torch.ones(1))
    assert log_probs.shape == (1, network.count_frames(num_samples, frame_ms), 5)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(log_probs.shape[:2]))


@pytest.mark.parametrize("num_samples", [1, 159, 160, 2399, 2400, 2559, 2560, 2561, 400_000])
def test_the_steps_of_a_batch_are_a_multiple(num_samples):
    padded = network.padded_samples(num_samples)
    assert num_samples <= padded < num_samples + network.STEP_MULTIPLE * network.HOP
    assert network.count_steps(padded) % network.STEP_MULTIPLE == 0


def test_a_third_block_keeps_the_frames_and_the_activation_is_chosen():
    hparams = tiny_network.build(
        front_end_channels=[4, 4, 6], front_end_kernels=[5, 5, 1], activation="gelu", n_fft=512, win_length=32
    )
    assert hparams.encoder(torch.randn(1, 16000), torch.ones(1)).shape == (1, network.count_frames(16000, 40), 5)
    kinds = {type(module) for module in hparams.conformer.modules()}
    assert torch.nn.GELU in kinds
    assert not any(kind.__name__ == "Swish" for kind in kinds)


def make_signals():
    random = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(size, generator=random) for size in SIZES]


@pytest.mark.parametrize("attention_type", ["RelPosMHAXL", "RoPEMHA", "regularMHA"])
@pytest.mark.parametrize(("frame_ms", "kernels"), [(20, [3, 3]), (40, [3, 3]), (40, [5, 7, 3]), (20, [1, 5])])
def test_utterances_of_a_batch_have_the_results_that_speechbrain_gives_for_each_alone(
    attention_type, frame_ms, kernels
):
    hparams = tiny_network.build(
        attention_type=attention_type, frame_ms=frame_ms, num_layers=3, kernel_size=9, d_model=72,
        front_end_kernels=kernels, front_end_channels=[4] * len(kernels),
    )  # fmt: skip
    encoder = hparams.encoder.eval()
    with torch.no_grad():
        alone = [encoder(signal[None], torch.ones(1))[0] for signal in make_signals()]
    wavs = torch.nn.utils.rnn.pad_sequence(make_signals(), batch_first=True)
    for fast in (False, True):
        if fast:
            cpu_fast_path.use_fast_path(hparams.model)
        for batch in (wavs, torch.nn.functional.pad(wavs, (0, 1760))):
            with torch.no_grad():
                log_probs, num_frames = network.forward(encoder, batch, torch.tensor(SIZES))
            assert num_frames.tolist() == [network.count_frames(size, frame_ms) for size in SIZES]
            for row, frames, wanted in zip(log_probs, num_frames, alone, strict=True):
                torch.testing.assert_close(row[:frames], wanted, atol=2e-5, rtol=0)


def test_more_padding_does_not_change_the_gradients():
    gradients = []
    for size in (16000, 19000):
        encoder = tiny_network.build(dropout=0.0, num_layers=2).encoder.eval()
        wavs = torch.zeros(2, size)
        for row, signal in zip(wavs, make_signals()[1:3], strict=True):
            row[: len(signal)] = signal
        log_probs, num_frames = network.forward(encoder, wavs, torch.tensor(SIZES[1:3]))
        sum(row[:frames, 1].sum() for row, frames in zip(log_probs, num_frames, strict=True)).backward()
        gradients.append([weight.grad for weight in encoder.parameters() if weight.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


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
def test_values_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        tiny_network.hparams_text(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !PLACEHOLDER\nmystery: !PLACEHOLDER\n", "placeholder mystery is no key"),
        ("a: 1\n", "a is no !PLACEHOLDER there"),
        (None, "cannot be read"),
    ],
)
def test_a_file_with_other_placeholders_is_refused(tmp_path, text, message):
    path = tmp_path / "h.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        network.fill_placeholders(path, {"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: !new:no.such.Class\n", "cannot be built"), ("a: 1\n", "modules is missing"), ("a: [", "cannot be built")],
)
def test_a_file_without_a_network_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        network.build(text, "h.yaml")


def test_the_seed_decides_the_weights():
    first, again, other = (
        torch.nn.utils.parameters_to_vector(tiny_network.build(seed=seed).model.parameters()) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
