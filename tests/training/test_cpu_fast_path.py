"""The fast path has the outputs and gradients of SpeechBrain's modules."""

import copy

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.transformer.Conformer import ConvolutionModule
from speechbrain.nnet.attention import PositionalwiseFeedForward, RoPEMHA
from speechbrain.nnet.CNN import Conv2d

from atc_asr.core.manifest import Utterance
from atc_asr.model import batches
from atc_asr.training import cpu_fast_path, lora
from atc_asr.training.params import AugmentParams, LoraParams
from tests import tiny_network

NO_AUGMENT = AugmentParams(speeds=[100], radio_fraction=0.0, snr_low=8.0, snr_high=30.0)
PADDING = torch.arange(12) >= torch.tensor([[12], [7]])  # (B, T), true behind an utterance's end


def attention(module, x):
    return module(x, x, x, key_padding_mask=PADDING)[0].masked_fill(PADDING[..., None], 0.0)


def call(module, x):
    return module(x)


@pytest.mark.parametrize(
    ("make", "shape", "apply"),
    [
        (lambda: torch.nn.Linear(24, 80), (2, 12, 24), call),
        (lambda: torch.nn.Linear(80, 64, bias=False), (2, 12, 80), call),
        (lambda: torch.nn.Linear(24, 5), (2, 12, 24), call),
        (lambda: PositionalwiseFeedForward(32, input_size=24), (2, 12, 24), call),
        (lambda: RoPEMHA(num_heads=2, embed_dim=24), (2, 12, 24), attention),
        (lambda: ConvolutionModule(24, kernel_size=5), (2, 12, 24), call),
        (lambda: Conv2d(4, (3, 5), input_shape=(None, None, 20), stride=(2, 1)), (2, 12, 20), call),
        (lambda: Conv2d(4, 3, input_shape=(None, None, 20, 3), stride=(2, 2)), (2, 12, 20, 3), call),
    ],
    ids=["linear", "tall_linear", "narrow_linear", "feed_forward", "attention", "convolution", "conv2d", "conv2d_c"],
)
def test_each_replacement_equals_speechbrains_forward(make, shape, apply):
    torch.manual_seed(0)
    theirs = make()
    ours = copy.deepcopy(theirs)
    cpu_fast_path.use_fast_path(ours)
    assert "forward" in vars(ours)
    inputs = [torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)]
    outputs = [apply(module, x) for module, x in zip((ours, theirs), inputs, strict=True)]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-5, rtol=1e-4)
    for (name, weight), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, atol=1e-5, rtol=1e-4, msg=name)


def outputs_and_gradients(hparams, lens):
    hparams.model.zero_grad()
    torch.manual_seed(1)  # for dropout
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
def test_a_whole_network_has_the_same_outputs_and_gradients(attention_type, frame_ms, adapted):
    hparams = tiny_network.build(
        7, attention_type=attention_type, frame_ms=frame_ms, n_mels=80, d_model=72, dropout=0.0, num_layers=2
    )
    if adapted:
        params = LoraParams(
            peft="lora", lora_r=2, lora_alpha=4.0, lora_dropout=0.0, lora_targets=["attention", "feed_forward"]
        )
        lora.add_adapters(hparams.conformer, params)
    lens = torch.tensor([1.0, 0.6])
    expected, expected_gradients = outputs_and_gradients(hparams, lens)
    cpu_fast_path.use_fast_path(hparams.model)
    found, found_gradients = outputs_and_gradients(hparams, lens)
    assert sum("forward" in vars(module) for module in hparams.model.modules()) > 10
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in found_gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], atol=1e-6, rtol=1e-3, msg=name)


@pytest.fixture
def cached(tmp_path):
    """Four utterances with their audio in memory."""
    random = np.random.default_rng(0)
    rows = []
    for number, size in enumerate((14_363, 7_163, 9_526, 11_889)):  # not multiples of the hop
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, random.normal(0, 0.1, size), 16000, subtype="PCM_16")
        rows.append(Utterance(str(number), path, size / 16000, "A"))
    dataset = batches.ManifestDataset(rows, sample_rate=16000, encode=lambda text: [1])
    return batches.cache_audio(dataset, max_bytes=10**9, device=torch.device("cpu"))


@pytest.mark.parametrize(("n_fft", "win_length"), [(400, 25), (512, 25), (1024, 64)])
def test_cached_features_equal_those_of_the_batch(cached, n_fft, win_length):
    compute = Fbank(n_mels=20, n_fft=n_fft, win_length=win_length)
    features = cpu_fast_path.CachedFeatures(compute)
    for indices in ([1], [0, 1, 2], [3, 1], [2, 3, 0]):
        batch = batches.collate([cached[index] for index in indices])
        torch.testing.assert_close(features(batch), compute(batch.wavs), atol=1e-3, rtol=0)  # decibels


def test_features_are_computed_once(cached):
    compute = Fbank(n_mels=20)
    calls = []
    compute.register_forward_hook(lambda *call: calls.append(call))
    features = cpu_fast_path.CachedFeatures(compute)
    for _ in range(2):
        features(batches.collate([cached[0], cached[1]]))
    assert len(calls) == 2


def test_features_are_cached_only_if_they_fit_and_never_change(cached):
    compute = Fbank(n_mels=20)
    num_bytes = cached.audio_bytes() + cached.audio_bytes() // 2 // 160 * 20 * 4 + 200
    can_cache = cpu_fast_path.can_cache_features
    assert can_cache(compute, cached, NO_AUGMENT, num_bytes)
    assert not can_cache(compute, cached, NO_AUGMENT, num_bytes - 300)
    assert not can_cache(compute, cached, NO_AUGMENT.model_copy(update={"speeds": [90, 100]}), num_bytes)
    assert not can_cache(compute, cached, NO_AUGMENT.model_copy(update={"radio_fraction": 0.5}), num_bytes)
    assert not can_cache(Fbank(n_mels=20, deltas=True), cached, NO_AUGMENT, 10**9)
    assert not can_cache(torch.nn.Identity(), cached, NO_AUGMENT, num_bytes)
    on_disk = batches.ManifestDataset(cached.utterances, sample_rate=16000, encode=lambda text: [1])
    assert not can_cache(compute, on_disk, NO_AUGMENT, num_bytes)
