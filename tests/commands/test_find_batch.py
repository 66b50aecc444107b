"""find_batch: its search with numbers alone, its trials with a tiny network."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.commands import find_batch
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, write_manifest

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "--front_end_channels 4 4 --n_mels 20 --num_layers 1 --d_model 16 --num_heads 2 --d_ffn 32 --kernel_size 3 "
    "--beam_size 1 --init_from null"
).split()


@given(st.integers(1, 20), st.integers(0, 300), st.integers(0, 300))
def test_the_search_finds_the_largest(low, limit, width):
    high = low + width
    asked = []

    def fits(number):
        assert low <= number <= high
        asked.append(number)
        return number <= limit

    assert find_batch.largest_that_fits(fits, low, high) == (min(limit, high) if limit >= low else 0)
    assert len(asked) == len(set(asked)) <= 20


@pytest.fixture
def arguments(tmp_path):
    random = np.random.default_rng(0)
    rows = []
    for number in range(6):
        wav = tmp_path / f"{number}.wav"
        soundfile.write(wav, random.normal(0, 0.1, 16000), 16000, subtype="PCM_16")
        rows.append(Utterance(str(number), wav, 1.0, "TURN LEFT"))
    write_manifest(tmp_path / "train.csv", rows)
    params = shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    return ["--train_manifest", str(tmp_path / "train.csv"), "--params", str(params), *TINY]


@pytest.mark.endurance
def test_the_whole_manifest_fits_with_a_tiny_network(arguments, capsys):
    find_batch.main([*arguments, "--memory_mb", "100000"])
    assert capsys.readouterr().out.startswith("batch_size 6: the longest batch takes ")


@pytest.mark.endurance
def test_refuses_a_limit_that_nothing_fits(arguments):
    with pytest.raises(InputError, match=r"batch_size 1, the smallest .* does not fit in 1 MB"):
        find_batch.main([*arguments, "--memory_mb", "1"])


@pytest.fixture
def trial_here(monkeypatch):
    """Trials in this process with peaks of 100 MB per utterance, and one of 5 that runs out of memory."""
    trained = []

    def peak_memory(config, batch_size):
        find_batch.two_updates(config, batch_size)
        trained.append(batch_size)
        return None if batch_size == 5 else batch_size * 100_000_000

    monkeypatch.setattr(find_batch, "peak_memory", peak_memory)
    return trained


def test_trains_two_updates_with_each_size(arguments, capsys, trial_here):
    find_batch.main([*arguments, "--memory_mb", "600"])
    assert capsys.readouterr().out == "batch_size 4: the longest batch takes 400 of 600 MB\n"
    assert trial_here == [1, 2, 4, 5]


def test_names_the_longest_utterance_if_it_does_not_fit(arguments, trial_here):
    with pytest.raises(InputError, match=r"batch_size 1, the smallest .* does not fit in 1 MB"):
        find_batch.main([*arguments, "--memory_mb", "1"])
