"""The built-in corpus: same seed, same bytes, whoever makes them; nothing shared between splits."""

import dataclasses
import hashlib
import multiprocessing
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.radio import RadioParams
from atc_asr.corpus.source import SPLITS, Clip, Shard
from atc_asr.corpus.synthetic import SAMPLE_RATE, SyntheticSource

PARAMS_FILE = Path(__file__).resolve().parents[2] / "params.yaml"


def source(**changes: object) -> SyntheticSource:
    """A small corpus with the project's own params."""
    sizes = {"num_train": 12, "num_valid": 4, "num_test": 4, "shard_size": 3}
    params = dataclasses.replace(load_section(SyntheticParams, PARAMS_FILE), **(sizes | changes))
    return SyntheticSource(params, load_section(RadioParams, PARAMS_FILE))


def digest(clip: Clip) -> tuple:
    return (clip.id, clip.text, tuple(sorted(clip.columns.items())), hashlib.sha256(clip.audio.tobytes()).hexdigest())


def digests(job: tuple[SyntheticSource, Shard]) -> list[tuple]:
    corpus, shard = job
    return [digest(clip) for clip in corpus.read(shard)]


def all_digests(corpus: SyntheticSource) -> list[tuple]:
    return [made for shard in corpus.shards() for made in digests((corpus, shard))]


@pytest.fixture(scope="module")
def made() -> list[tuple]:
    return all_digests(source())


@pytest.fixture(scope="module")
def by_split() -> dict[str, list[Clip]]:
    corpus = source()
    found: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for shard in corpus.shards():
        found[shard.split] += corpus.read(shard)
    return found


@pytest.fixture(scope="module")
def clips(by_split: dict[str, list[Clip]]) -> list[Clip]:
    return [clip for split in SPLITS for clip in by_split[split]]


def test_two_processes_make_the_same_bytes(made: list[tuple]) -> None:
    corpus = source()
    jobs = [(corpus, shard) for shard in reversed(corpus.shards())]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.map(digests, jobs, chunksize=1)
    assert [one for part in reversed(parts) for one in part] == made


def test_shards_of_another_size_hold_the_same_clips(made: list[tuple]) -> None:
    assert all_digests(source(shard_size=5)) == made


def test_fewer_are_the_first_of_more(made: list[tuple]) -> None:
    fewer = all_digests(source(num_train=7, num_valid=3, num_test=2))
    assert fewer == made[:7] + made[12:15] + made[16:18]


def test_another_seed_is_another_corpus(made: list[tuple]) -> None:
    other = all_digests(source(seed=99, num_train=3, num_valid=0, num_test=0))
    assert not {one[1] for one in other} & {one[1] for one in made}


def test_shards_cover_every_utterance_once() -> None:
    corpus = source()
    shards = corpus.shards()
    assert [(shard.split, shard.index) for shard in shards] == [
        *(("train", index) for index in range(4)),
        *(("valid", index) for index in range(2)),
        *(("test", index) for index in range(2)),
    ]
    ids = [(shard.split, clip.id) for shard in shards for clip in corpus.read(shard)]
    assert len(ids) == len(set(ids)) == sum(shard.size for shard in shards) == 20
    assert all(re.fullmatch(r"\d{6}", number) for _, number in ids)


def test_source_and_shards_are_picklable() -> None:
    corpus = source()
    assert pickle.loads(pickle.dumps((corpus, corpus.shards()))) == (corpus, corpus.shards())


def test_identity_tells_corpora_apart_but_not_their_shards() -> None:
    assert source().identity() == source(shard_size=5).identity()
    assert source().identity() != source(seed=99).identity()


def test_clips_are_16_bit_speech(clips: list[Clip]) -> None:
    for clip in clips:
        assert clip.sample_rate == SAMPLE_RATE
        assert clip.audio.dtype == np.float32 and clip.audio.ndim == 1
        assert np.array_equal(np.rint(clip.audio * 32768), clip.audio * 32768)
        rms = np.sqrt(np.mean(np.square(clip.audio, dtype=np.float64)))
        assert -40 < 20 * np.log10(rms) < -15
        assert np.mean(np.abs(clip.audio) >= 0.999) < 0.001
        assert set(clip.columns) == {"role", "callsign", "speaker"}


def test_clips_are_slow_enough_for_characters_at_20_and_40_ms(clips: list[Clip]) -> None:
    for clip in clips:
        # CTC needs a frame for each character and one between equal neighbours
        needed = len(clip.text) + sum(one == other for one, other in zip(clip.text, clip.text[1:], strict=False))
        assert needed <= len(clip.audio) / SAMPLE_RATE / 0.04
        assert 1.0 < len(clip.audio) / SAMPLE_RATE < 15.0


def test_margins_hold_noise_only(clips: list[Clip]) -> None:
    margin = int(0.09 * SAMPLE_RATE)
    for clip in clips:
        middle = clip.audio[margin:-margin].std()
        assert 0 < clip.audio[:margin].std() < 0.5 * middle
        assert 0 < clip.audio[-margin:].std() < 0.5 * middle


def test_splits_share_no_voice_callsign_or_text(by_split: dict[str, list[Clip]], clips: list[Clip]) -> None:
    for column in ("speaker", "callsign"):
        seen = {split: {clip.columns[column] for clip in by_split[split]} for split in SPLITS}
        assert not seen["train"] & seen["valid"]
        assert not seen["train"] & seen["test"]
        assert not seen["valid"] & seen["test"]
    assert len({clip.text for clip in clips}) == len(clips)


def test_rate_reaches_the_voice() -> None:
    def seconds(rate: int) -> float:
        corpus = source(rate_low=rate, rate_high=rate, num_train=4, num_valid=0, num_test=0)
        return sum(len(clip.audio) for shard in corpus.shards() for clip in corpus.read(shard)) / SAMPLE_RATE

    assert 1.5 < seconds(120) / seconds(220) < 2.1


@pytest.mark.parametrize(
    ("low", "high"), [("rate_low", "rate_high"), ("pitch_low", "pitch_high"), ("margin_low", "margin_high")]
)
def test_swapped_limits_are_refused(low: str, high: str) -> None:
    params = load_section(SyntheticParams, PARAMS_FILE)
    with pytest.raises(InputError, match=rf"synthetic\.{low}: got"):
        dataclasses.replace(params, **{low: getattr(params, high), high: getattr(params, low)})


def test_no_train_voice_is_refused_before_work() -> None:
    with pytest.raises(InputError, match="leave none of"):
        source(valid_voice_families=30, test_voice_families=30)
