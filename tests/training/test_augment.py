"""Augmented batches: off is off, ends stay ends, levels, noise and bands as drawn, the same seed the same batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from atc_asr.core.errors import InputError
from atc_asr.corpus import radio
from atc_asr.model import padding
from atc_asr.model.batches import Batch
from atc_asr.training import augment
from atc_asr.training.augment import Augment

RATE = 16_000
ENDS = (16_000, 11_200)  # samples


@pytest.fixture
def batch():
    """Two utterances of noise, the second one shorter."""
    generator = torch.Generator().manual_seed(3)
    wavs = torch.zeros(2, ENDS[0])
    for row, end in enumerate(ENDS):
        wavs[row, :end] = 0.1 * torch.randn(end, generator=generator)
    tokens = torch.ones(2, 3, dtype=torch.long)
    wav_lens = torch.tensor(ENDS) / ENDS[0]
    return Batch(["a", "b"], wavs, wav_lens, ["A", "B"], tokens, torch.ones(2), seconds=sum(ENDS) / RATE)


@pytest.fixture
def num_samples():
    return torch.tensor(ENDS)[:, None]


def augmented(batch, params, seed=1):
    torch.manual_seed(seed)
    return Augment(params, RATE, torch.device("cpu"))(batch)


def level(samples):
    return 20 * np.log10(np.sqrt(np.mean(np.square(np.asarray(samples, dtype=np.float64)))))


def test_off_changes_nothing_and_draws_nothing(batch, no_augment):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert Augment(no_augment, RATE, torch.device("cpu"))(batch) is batch
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_seed_gives_the_same_batch(batch, no_augment):
    params = replace(no_augment, speeds=[90, 110], radio_fraction=0.7)
    one, two, other = (augmented(batch, params, seed) for seed in (5, 5, 6))
    assert torch.equal(one.wavs, two.wavs)
    assert torch.equal(one.wav_lens, two.wav_lens)
    assert one.wavs.shape != other.wavs.shape or not torch.equal(one.wavs, other.wavs)


@pytest.mark.parametrize("speed", [90, 110])
def test_speed_changes_size_and_pitch_and_keeps_shares(batch, no_augment, speed):
    clock = torch.arange(ENDS[0]) / RATE
    tones = replace(batch, wavs=torch.sin(2 * torch.pi * 1000 * clock).repeat(2, 1))
    fast = augmented(tones, replace(no_augment, speeds=[speed]))
    sizes = fast.num_samples().tolist()
    assert sizes == pytest.approx([end * 100 / speed for end in ENDS], abs=1)
    spectrum = torch.fft.rfft(fast.wavs[0, : sizes[0]]).abs()
    assert spectrum.argmax() * RATE / sizes[0] == pytest.approx(10 * speed, abs=2)


def test_ends_stay_ends_and_bursts_lengthen(batch, no_augment):
    params = replace(no_augment, radio_fraction=1.0, squelch_fraction=1.0, gaps=0)
    heard = augmented(batch, params)
    longest = round(params.squelch_seconds * RATE)
    totals = heard.num_samples()
    assert heard.wavs.shape == (2, padding.padded_samples(max(totals)))
    for row, total, end in zip(heard.wavs, totals, ENDS, strict=True):
        assert end <= total <= end + longest
        assert not row[total:].any()
        assert row[end:total].abs().max() > 0
        assert level(row[end:total]) == pytest.approx(level(row[:end]), abs=3)
    assert heard.tokens is batch.tokens


def test_a_share_of_the_utterances(no_augment):
    wavs = 0.1 * torch.randn(400, 800, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    params = replace(no_augment, radio_fraction=0.25, squelch_seconds=0.0)
    heard, wav_lens = Augment(params, RATE, torch.device("cpu")).radio(wavs, torch.ones(400))
    changed = (heard != wavs).any(1).float().mean().item()
    assert changed == pytest.approx(0.25, abs=0.07)
    assert torch.equal(wav_lens, torch.ones(400))


def test_levels_as_drawn(batch, no_augment, num_samples):
    params = replace(no_augment, level_low=-25.0, level_high=-25.0, gaps=0)
    heard = Augment(params, RATE, torch.device("cpu")).channel(batch.wavs, num_samples)
    for row, end in zip(heard, ENDS, strict=True):
        assert level(row[:end]) == pytest.approx(-25, abs=0.01)


def test_noise_at_the_ratio_asked_for(batch, num_samples):
    noise = torch.randn(2, ENDS[0]) * augment.audio_mask(batch.wavs, num_samples)
    noisy = augment.add_noise(batch.wavs, noise, num_samples, torch.tensor([[10.0], [20.0]]))
    added = noisy - batch.wavs
    for row, snr in enumerate((10, 20)):
        end = ENDS[row]
        assert level(batch.wavs[row, :end]) - level(added[row, :end]) == pytest.approx(snr, abs=0.01)
        assert not added[row, end:].any()


def test_band_as_the_synthetic_corpus_has_it(batch):
    """Second witness: the same samples through atc_asr.corpus.radio."""
    low, high = torch.tensor([[300.0], [500.0]]), torch.tensor([[3400.0], [2500.0]])
    ours = augment.band_pass(batch.wavs, low, high, RATE)
    for row in range(2):
        theirs = radio.band_pass(batch.wavs[row].numpy(), RATE, low[row].item(), high[row].item(), augment.EDGE)
        np.testing.assert_allclose(ours[row], theirs, atol=2e-3)


def test_clipping_by_hand():
    wavs = torch.tensor([[2.0, -2.0, 2.0, -2.0, 0.0, 0.0]])
    clipped = augment.clip(wavs, torch.tensor([[4]]), torch.tensor([[-6.0206]]))  # RMS 2, half of it
    torch.testing.assert_close(clipped, torch.tensor([[1.0, -1.0, 1.0, -1.0, 0.0, 0.0]]))


def test_drop_outs_by_hand():
    gap = augment.drop_out(torch.ones(2, 6), torch.tensor([[1.0], [4.0]]), torch.tensor([[0.2], [0.5]]), 10)
    assert gap.tolist() == [[1, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0]]


def test_silence_stays_finite(batch, no_augment):
    silent = replace(batch, wavs=torch.zeros_like(batch.wavs))
    heard = augmented(silent, replace(no_augment, radio_fraction=1.0))
    assert torch.isfinite(heard.wavs).all()


def test_limits_the_wrong_way_round_are_refused(no_augment):
    with pytest.raises(InputError, match=r"augment\.snr_low: got 40, wanted at most snr_high, 30"):
        replace(no_augment, snr_low=40.0)
