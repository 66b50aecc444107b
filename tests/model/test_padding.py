"""What stands behind an utterance's end does not change it; alone it is what SpeechBrain makes of it."""

from dataclasses import replace

import pytest
import torch

from atc_asr.model import network, padding
from atc_asr.training import cpu_fast_path

SIZES = (16000, 15999, 9000, 4321, 1600)  # samples: at a batch's end, just before it, far from it


def make(model, specaugment, *, cheaper=False):
    torch.manual_seed(0)
    values = network.hparams_values(model, specaugment, 5)
    hparams = network.build(network.fill_placeholders(network.HPARAMS_FILE, values), "test")
    hparams.encoder(torch.randn(1, 16000), torch.ones(1))  # takes statistics
    hparams.encoder.eval()
    if cheaper:
        cpu_fast_path.use_fast_path(hparams.model)
    return hparams.encoder


def signals():
    random = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(size, generator=random) for size in SIZES]


@pytest.mark.parametrize("attention_type", ["RelPosMHAXL", "RoPEMHA", "regularMHA"])
@pytest.mark.parametrize(("frame_ms", "kernels_"), [(20, [3, 3]), (40, [3, 3]), (40, [5, 7, 3]), (20, [1, 5])])
@pytest.mark.parametrize("cheaper", [False, True])
def test_a_batch_gives_what_speechbrain_gives_alone(
    tiny_model, specaugment, attention_type, frame_ms, kernels_, cheaper
):
    model = replace(
        tiny_model, attention_type=attention_type, frame_ms=frame_ms, num_layers=3, kernel_size=9, d_model=72,
        front_end_kernels=kernels_, front_end_channels=[4] * len(kernels_),
    )  # fmt: skip
    encoder = make(model, specaugment, cheaper=cheaper)
    theirs = make(model, specaugment)
    wavs = torch.nn.utils.rnn.pad_sequence(signals(), batch_first=True)
    for batch in (wavs, torch.nn.functional.pad(wavs, (0, 1760))):
        log_probs, num_frames = padding.recognize(encoder, batch, torch.tensor(SIZES))
        assert num_frames.tolist() == [network.count_frames(size, frame_ms) for size in SIZES]
        for row, frames, signal in zip(log_probs, num_frames, signals(), strict=True):
            alone = theirs(signal[None], torch.ones(1))[0]
            torch.testing.assert_close(row[:frames], alone, atol=2e-5, rtol=0)


def test_gradients_are_those_of_the_utterances(tiny_model, specaugment):
    gradients = []
    for size in (16000, 19000):
        encoder = make(replace(tiny_model, dropout=0.0, num_layers=2), specaugment)
        wavs = torch.zeros(2, size)
        for row, signal in zip(wavs, signals()[1:3], strict=True):
            row[: len(signal)] = signal
        log_probs, num_frames = padding.recognize(encoder, wavs, torch.tensor(SIZES[1:3]))
        sum(row[:frames, 1].sum() for row, frames in zip(log_probs, num_frames, strict=True)).backward()
        gradients.append([weight.grad for weight in encoder.parameters() if weight.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


def test_ends_by_hand():
    x = torch.tensor([[1.0, 2, 3, 9, 9], [4, 5, 6, 7, 9], [1, 2, 3, 4, 5]])
    one = padding.continue_ends(x, torch.tensor([3, 4, 5]), 1)
    assert one.tolist() == [[1, 2, 3, 2, 9], [4, 5, 6, 7, 6], [1, 2, 3, 4, 5]]
    two = padding.continue_ends(x, torch.tensor([3, 4, 5]), 2)
    assert two.tolist() == [[1, 2, 3, 2, 1], [4, 5, 6, 7, 6], [1, 2, 3, 4, 5]]


@pytest.mark.parametrize("num_samples", [1, 159, 160, 2399, 2400, 2559, 2560, 2561, 400_000])
def test_a_batch_is_a_round_number_of_steps(num_samples):
    padded = padding.padded_samples(num_samples)
    assert num_samples <= padded < num_samples + padding.STEPS_ROUNDED * padding.HOP
    assert padding.count_steps(padded) % padding.STEPS_ROUNDED == 0
