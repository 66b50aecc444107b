"""The built-in corpus: the same seed makes the same bytes; splits share no voice, call sign or text."""

import hashlib
import multiprocessing
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from atc_asr.core.config import load_section, make_section
from atc_asr.core.errors import InputError
from atc_asr.corpus import synthetic
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.source import SPLITS, Clip, Shard
from atc_asr.corpus.synthetic import SAMPLE_RATE, SyntheticSource

PARAMS_FILE = Path(__file__).resolve().parents[2] / "params.yaml"


def source(**changes: object) -> SyntheticSource:
    """A small corpus with the project's parameters."""
    sizes = {"num_train": 12, "num_valid": 4, "num_test": 4}
    return SyntheticSource(load_section(SyntheticParams, PARAMS_FILE).model_copy(update=sizes | changes))


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


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "SHARD_SIZE", 3)


def test_the_clips_do_not_depend_on_the_order_of_shards(made: list[tuple]) -> None:
    corpus = source()
    parts = [digests((corpus, shard)) for shard in reversed(corpus.shards())]
    assert [one for part in reversed(parts) for one in part] == made


@pytest.mark.endurance
def test_two_processes_make_the_same_bytes(made: list[tuple]) -> None:
    corpus = source()
    jobs = [(corpus, shard) for shard in reversed(corpus.shards())]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.map(digests, jobs, chunksize=1)
    assert [one for part in reversed(parts) for one in part] == made


def test_the_clips_do_not_depend_on_the_size_of_shards(made: list[tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "SHARD_SIZE", 5)
    assert all_digests(source()) == made


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one(made: list[tuple]) -> None:
    fewer = all_digests(source(num_train=7, num_valid=3, num_test=2))
    assert fewer == made[:7] + made[12:15] + made[16:18]


def test_another_seed_makes_another_corpus(made: list[tuple]) -> None:
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


def test_identity_depends_on_the_parameters() -> None:
    assert source().identity() == source().identity()
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


def test_transcripts_fit_frames_of_40_ms(clips: list[Clip]) -> None:
    for clip in clips:
        # CTC needs a frame for each character and one between equal neighbours.
        needed = len(clip.text) + sum(one == other for one, other in zip(clip.text, clip.text[1:], strict=False))
        assert needed <= len(clip.audio) / SAMPLE_RATE / 0.04
        assert 1.0 < len(clip.audio) / SAMPLE_RATE < 15.0


def test_margins_have_noise_only(clips: list[Clip]) -> None:
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


def test_the_speaking_rate_changes_the_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(rate: int) -> float:
        monkeypatch.setattr(synthetic, "RATE_RANGE", (rate, rate))
        corpus = source(num_train=4, num_valid=0, num_test=0)
        return sum(len(clip.audio) for shard in corpus.shards() for clip in corpus.read(shard)) / SAMPLE_RATE

    assert 1.5 < seconds(120) / seconds(220) < 2.1


def test_a_swapped_range_is_an_error() -> None:
    values = load_section(SyntheticParams, PARAMS_FILE).model_dump()
    with pytest.raises(InputError, match=r"synthetic\.snr_low: got"):
        make_section(SyntheticParams, values | {"snr_low": 30.0, "snr_high": 14.0}, "params.yaml: synthetic")
