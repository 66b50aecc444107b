"""Batches: each utterance once, none over the limit, little padding, reproducible."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.model import batches
from atc_asr.model.batches import DurationBatches
from atc_asr.tokenizer.tokens import char_tokens

durations = st.lists(st.floats(0.1, 30.0), min_size=1, max_size=80)


@given(durations, st.floats(30.0, 200.0), st.sampled_from([None, 0, 7]), st.integers(1, 9))
def test_every_utterance_once_and_no_batch_over_the_limit(seconds, limit, seed, epoch):
    made = DurationBatches(seconds, max_seconds=limit, seed=seed).batches(epoch)
    assert sorted(index for batch in made for index in batch) == list(range(len(seconds)))
    assert all(len(batch) * max(seconds[index] for index in batch) <= limit for batch in made)


def test_the_batches_of_an_epoch_depend_on_seed_and_epoch():
    seconds = np.random.default_rng(0).uniform(1, 9, 100)
    sampler = DurationBatches(seconds, max_seconds=40, seed=3)
    assert sampler.batches(2) == DurationBatches(seconds, max_seconds=40, seed=3).batches(2)
    assert sampler.batches(2) != sampler.batches(3)
    assert sampler.batches(2) != DurationBatches(seconds, max_seconds=40, seed=4).batches(2)


def test_without_a_seed_batches_are_sorted_from_long_to_short():
    assert list(DurationBatches([1, 3, 2, 2], max_seconds=6, seed=None)) == [[1, 2], [3, 0]]
    assert batches.make_batches([1, 3, 2, 2], 6) == [[1, 2], [3, 0]]


def test_padding_by_hand():
    assert batches.padding_fraction([1.0, 2.0, 3.0], [[0, 1], [2]], padded=float) == pytest.approx(1 / 7)


def test_padding_is_small_for_durations_of_transmissions():
    seconds = np.random.default_rng(0).lognormal(1.2, 0.5, 4000).clip(0.5, 20)
    made = DurationBatches(seconds, max_seconds=120, seed=1).batches(1)
    assert batches.padding_fraction(seconds, made) < 0.05


@pytest.mark.parametrize(("numbers", "frames"), [([], 0), ([1], 1), ([1, 2, 1], 3), ([1, 1, 1, 2], 6)])
def test_length_of_the_shortest_ctc_path(numbers, frames):
    assert batches.needed_frames(numbers) == frames


def utterance(tmp_path, name, samples, text="A", rate=16000):
    path = tmp_path / f"{name}.wav"
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return Utterance(name, path, len(samples) / rate, text)


def test_a_batch_by_hand(tmp_path):
    tokens = char_tokens(["AB"])
    rows = [
        utterance(tmp_path, "x", np.array([0.5, -0.5, 0.25, 0.0]), "AB"),
        utterance(tmp_path, "y", np.array([-1.0, 0.5]), "B"),
    ]
    dataset = batches.ManifestDataset(rows, sample_rate=16000, encode=tokens.encode)
    batch = batches.collate([dataset[0], dataset[1]])
    assert batch.ids == ["x", "y"]
    assert batch.transcripts == ["AB", "B"]
    torch.testing.assert_close(batch.wavs[:, :4], torch.tensor([[0.5, -0.5, 0.25, 0.0], [-1.0, 0.5, 0.0, 0.0]]))
    assert batch.wavs.shape == (2, 16 * 160 - 1)
    assert not batch.wavs[:, 4:].any()
    assert batch.num_samples().tolist() == [4, 2]
    assert batch.tokens.tolist() == [[1, 2], [2, 0]]
    torch.testing.assert_close(batch.token_lens, torch.tensor([1.0, 0.5]))


def test_audio_of_another_rate_or_with_channels_is_refused(tmp_path):
    wrong_rate = utterance(tmp_path, "x", np.zeros(100), rate=8000)
    stereo = utterance(tmp_path, "y", np.zeros((100, 2)))
    with pytest.raises(InputError, match=r"x\.wav \(id x\): got 1 channels at 8000 Hz, wanted mono at 16000 Hz"):
        batches.read_wav(wrong_rate, 16000)
    with pytest.raises(InputError, match="got 2 channels"):
        batches.read_wav(stereo, 16000)
    (tmp_path / "z.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"z\.wav \(id z\): cannot be read as audio"):
        batches.read_wav(Utterance("z", tmp_path / "z.wav", 1.0, "A"), 16000)


def test_characters_without_token_are_left_out_of_validation_texts():
    tokens = char_tokens(["AB"])
    assert batches.known_tokens(tokens, "AZB") == tokens.encode("AB")


def test_cached_audio_needs_no_files(tmp_path):
    tokens = char_tokens(["AB"])
    random = np.random.default_rng(0)
    rows = [utterance(tmp_path, f"u{size}", random.uniform(-1, 1, size), "AB") for size in (50, 1, 30)]
    read = batches.ManifestDataset(rows, sample_rate=16000, encode=tokens.encode)
    assert batches.cache_audio(read, max_bytes=161, device=torch.device("cpu")) is read
    cached = batches.cache_audio(read, max_bytes=162, device=torch.device("cpu"))
    assert isinstance(cached, batches.CachedDataset)
    for row in rows:
        row.wav.unlink()
    assert len(cached) == 3
    one = batches.collate([cached[2], cached[0], cached[1]])
    assert one.num_samples().tolist() == [30, 50, 1]
    assert one.ids == ["u30", "u50", "u1"]


def test_cached_audio_gives_the_same_batches(tmp_path):
    tokens = char_tokens(["AB"])
    rows = [utterance(tmp_path, f"u{size}", np.sin(np.arange(size)) / 2, "AB") for size in (50, 7)]
    read = batches.ManifestDataset(rows, sample_rate=16000, encode=tokens.encode)
    cached = batches.CachedDataset(read, torch.device("cpu"))
    left, right = (batches.collate([dataset[1], dataset[0]]) for dataset in (read, cached))
    assert torch.equal(left.wavs, right.wavs)
    assert torch.equal(left.tokens, right.tokens)
