"""Kept features are those of the batch, whatever was computed before."""

from dataclasses import replace

import pytest
import torch
from speechbrain.lobes.features import Fbank

from atc_asr.model import batches
from atc_asr.training import features


@pytest.fixture
def resident(make_utterances):
    dataset = batches.ManifestDataset(
        make_utterances(["ABCD", "A", "DC", "BBA"]), sample_rate=16000, encode=lambda text: [1]
    )
    return batches.cache_audio(dataset, max_bytes=10**9, device=torch.device("cpu"))


@pytest.mark.parametrize(("n_fft", "win_length"), [(400, 25), (512, 25), (1024, 64)])
def test_as_computed_from_the_batch(resident, n_fft, win_length):
    compute = Fbank(n_mels=20, n_fft=n_fft, win_length=win_length)
    kept = features.CachedFeatures(compute)
    for indices in ([1], [0, 1, 2], [3, 1], [2, 3, 0]):
        items = [resident[index] for index in indices]
        # lengths that are no multiple of the hop
        items = [(row, samples[: len(samples) - 37 * len(row.transcript)], tokens) for row, samples, tokens in items]
        batch = batches.collate(items)
        torch.testing.assert_close(kept(batch), compute(batch.wavs), atol=1e-3, rtol=0)  # decibels


def test_computed_once(resident):
    compute = Fbank(n_mels=20)
    calls = []
    compute.register_forward_hook(lambda *call: calls.append(call))
    kept = features.CachedFeatures(compute)
    for _ in range(2):
        kept(batches.collate([resident[0], resident[1]]))
    assert len(calls) == 2


def test_kept_only_where_every_epoch_has_the_same_and_they_fit(resident, no_augment):
    compute = Fbank(n_mels=20)
    num_bytes = resident.audio_bytes() + resident.audio_bytes() // 2 // 160 * 20 * 4 + 100
    assert features.can_cache(compute, resident, no_augment, num_bytes)
    assert not features.can_cache(compute, resident, no_augment, num_bytes - 200)
    assert not features.can_cache(compute, resident, replace(no_augment, speeds=[90, 100]), num_bytes)
    assert not features.can_cache(compute, resident, replace(no_augment, radio_fraction=0.5), num_bytes)
    assert not features.can_cache(Fbank(n_mels=20, deltas=True), resident, no_augment, 10**9)
    assert not features.can_cache(torch.nn.Identity(), resident, no_augment, num_bytes)
    streamed = batches.ManifestDataset(resident.utterances, sample_rate=16000, encode=lambda text: [1])
    assert not features.can_cache(compute, streamed, no_augment, num_bytes)
