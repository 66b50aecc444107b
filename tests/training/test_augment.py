"""Augmentation: off changes nothing, lengths stay right, effects have the drawn strength, seeds reproduce."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.corpus import radio
from atc_asr.model import network
from atc_asr.model.batches import Batch
from atc_asr.training import augment
from atc_asr.training.augment import Augment
from atc_asr.training.params import AugmentParams

RATE = 16_000
SIZES = (16_000, 11_200)  # samples of two utterances
OFF = AugmentParams(speeds=[100], radio_fraction=0.0, snr_low=8.0, snr_high=30.0)


@pytest.fixture
def batch():
    """Two utterances of noise, the second one shorter."""
    generator = torch.Generator().manual_seed(3)
    wavs = torch.zeros(2, SIZES[0])
    for row, size in enumerate(SIZES):
        wavs[row, :size] = 0.1 * torch.randn(size, generator=generator)
    tokens = torch.ones(2, 3, dtype=torch.long)
    wav_lens = torch.tensor(SIZES) / SIZES[0]
    return Batch(["a", "b"], wavs, wav_lens, ["A", "B"], tokens, torch.ones(2), sum(SIZES) / RATE, ["", ""])


@pytest.fixture
def num_samples():
    return torch.tensor(SIZES)[:, None]


def make_augment(**changes):
    return Augment(OFF.model_copy(update=changes), RATE, torch.device("cpu"))


def augmented(batch, seed=1, **changes):
    torch.manual_seed(seed)
    return make_augment(**changes)(batch)


def level(samples):
    return 20 * np.log10(np.sqrt(np.mean(np.square(np.asarray(samples, dtype=np.float64)))))


def test_off_changes_nothing_and_draws_nothing(batch):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert make_augment()(batch) is batch
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_seed_gives_the_same_batch(batch):
    one, two, other = (augmented(batch, seed, speeds=[90, 110], radio_fraction=0.7) for seed in (5, 5, 6))
    assert torch.equal(one.wavs, two.wavs)
    assert torch.equal(one.wav_lens, two.wav_lens)
    assert one.wavs.shape != other.wavs.shape or not torch.equal(one.wavs, other.wavs)


@pytest.mark.parametrize("speed", [90, 110])
def test_speed_changes_length_and_pitch(batch, speed):
    clock = torch.arange(SIZES[0]) / RATE
    tones = replace(batch, wavs=torch.sin(2 * torch.pi * 1000 * clock).repeat(2, 1))
    fast = augmented(tones, speeds=[speed])
    sizes = fast.num_samples().tolist()
    assert sizes == pytest.approx([size * 100 / speed for size in SIZES], abs=1)
    spectrum = torch.fft.rfft(fast.wavs[0, : sizes[0]]).abs()
    assert spectrum.argmax() * RATE / sizes[0] == pytest.approx(10 * speed, abs=2)


def test_squelch_tails_lengthen_utterances(batch, monkeypatch):
    monkeypatch.setattr(augment, "TAIL_FRACTION", 1.0)
    monkeypatch.setattr(augment, "DROPOUT_SECONDS", (0.0, 0.0))
    received = augmented(batch, radio_fraction=1.0)
    longest = round(augment.MAX_TAIL_SECONDS * RATE)
    totals = received.num_samples()
    assert received.wavs.shape == (2, network.padded_samples(max(totals)))
    for row, total, end in zip(received.wavs, totals, SIZES, strict=True):
        assert end <= total <= end + longest
        assert not row[total:].any()
        assert row[end:total].abs().max() > 0
        assert level(row[end:total]) == pytest.approx(level(row[:end]), abs=3)
    assert received.tokens is batch.tokens


def test_a_fraction_of_the_utterances_is_changed(monkeypatch):
    monkeypatch.setattr(augment, "MAX_TAIL_SECONDS", 0.0)
    wavs = 0.1 * torch.randn(400, 800, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    received, wav_lens = make_augment(radio_fraction=0.25).radio(wavs, torch.ones(400))
    changed = (received != wavs).any(1).float().mean().item()
    assert changed == pytest.approx(0.25, abs=0.07)
    assert torch.equal(wav_lens, torch.ones(400))


def test_level_as_drawn(batch, num_samples, monkeypatch):
    monkeypatch.setattr(augment, "LEVEL", (-25.0, -25.0))
    monkeypatch.setattr(augment, "DROPOUT_SECONDS", (0.0, 0.0))
    received = make_augment().channel(batch.wavs, num_samples)
    for row, size in zip(received, SIZES, strict=True):
        assert level(row[:size]) == pytest.approx(-25, abs=0.01)


def test_noise_has_the_requested_ratio(batch, num_samples):
    noise = torch.randn(2, SIZES[0]) * augment.audio_mask(batch.wavs, num_samples)
    noisy = augment.add_noise(batch.wavs, noise, num_samples, torch.tensor([[10.0], [20.0]]))
    added = noisy - batch.wavs
    for row, snr in enumerate((10, 20)):
        end = SIZES[row]
        assert level(batch.wavs[row, :end]) - level(added[row, :end]) == pytest.approx(snr, abs=0.01)
        assert not added[row, end:].any()


def test_the_voice_band_is_that_of_the_synthetic_corpus(batch):
    low, high = torch.tensor([[300.0], [500.0]]), torch.tensor([[3400.0], [2500.0]])
    ours = augment.band_pass(batch.wavs, low, high, RATE)
    for row in range(2):
        theirs = radio.band_pass(batch.wavs[row].numpy(), RATE, low[row].item(), high[row].item(), augment.TRANSITION)
        np.testing.assert_allclose(ours[row], theirs, atol=2e-3)


def test_clipping_by_hand():
    wavs = torch.tensor([[2.0, -2.0, 2.0, -2.0, 0.0, 0.0]])
    clipped = augment.clip(wavs, torch.tensor([[4]]), torch.tensor([[-6.0206]]))  # RMS 2, half of it
    torch.testing.assert_close(clipped, torch.tensor([[1.0, -1.0, 1.0, -1.0, 0.0, 0.0]]))


def test_drop_outs_by_hand():
    gap = augment.drop_out(torch.ones(2, 6), torch.tensor([[1.0], [4.0]]), torch.tensor([[0.2], [0.5]]), 10)
    assert gap.tolist() == [[1, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0]]


def test_silence_stays_finite(batch):
    silent = replace(batch, wavs=torch.zeros_like(batch.wavs))
    assert torch.isfinite(augmented(silent, radio_fraction=1.0).wavs).all()


def test_swapped_limits_are_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("augment: {speeds: [100], radio_fraction: 0.0, snr_low: 40.0, snr_high: 30.0}")
    with pytest.raises(InputError, match=r"augment\.snr_low: got 40, wanted at most snr_high, 30"):
        load_section(AugmentParams, path)
