"""The segmenter on streams of noise with tones at known times."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.transcribe import segment
from atc_asr.transcribe.params import SegmentParams
from atc_asr.transcribe.segment import Segment, Segmenter, frame_levels

RATE = 8000
PARAMS = SegmentParams(threshold_db=8.0, min_level=-55.0, hangover_seconds=0.4, padding_seconds=0.1, max_seconds=10.0)


@pytest.fixture(autouse=True, scope="module")
def short_floor() -> Iterator[None]:
    """The noise floor is that of 4 seconds, so that streams can be short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "FLOOR_SECONDS", 4.0)
        yield


def stream(seconds: float, bursts: list[tuple[float, float]], noise: float) -> np.ndarray:
    """Noise of an amplitude with tones of amplitude 0.3 between the times of the bursts."""
    rng = np.random.default_rng(0)
    times = np.arange(round(seconds * RATE)) / RATE
    samples = noise * rng.standard_normal(len(times))
    for start, end in bursts:
        inside = (times >= start) & (times < end)
        samples[inside] += 0.3 * np.sin(2 * np.pi * 440 * times[inside])
    return samples.astype(np.float32)


def cut(samples: np.ndarray, block: int, params: SegmentParams = PARAMS) -> list[Segment]:
    blocks = (samples[i : i + block] for i in range(0, len(samples), block))
    return list(Segmenter(params, RATE, "a.wav").segments(blocks))


def spans(segments: list[Segment]) -> list[tuple[float, float]]:
    return [(one.start, one.start + one.duration) for one in segments]


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.02])
@pytest.mark.parametrize("bursts", [[(1.0, 3.0), (5.0, 6.0), (9.0, 11.5)], [(0.0, 1.0)], [(10.0, 12.0)]])
def test_transmissions_are_found_with_their_padding(noise: float, bursts: list[tuple[float, float]]) -> None:
    found = spans(cut(stream(12.0, bursts, noise), RATE))
    assert len(found) == len(bursts)
    for (start, end), (wanted_start, wanted_end) in zip(found, bursts, strict=True):
        assert start == pytest.approx(max(0.0, wanted_start - 0.1), abs=0.05)
        assert end == pytest.approx(min(12.0, wanted_end + 0.1), abs=0.05)


def test_segments_hold_the_samples_of_the_stream() -> None:
    samples = stream(8.0, [(1.0, 2.0), (4.0, 5.0)], 0.001)
    for one in cut(samples, 777):
        first = round(one.start * RATE)
        assert one.duration == len(one.samples) / RATE
        assert np.array_equal(one.samples, samples[first : first + len(one.samples)])


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_noise_is_no_transmission(noise: float) -> None:
    assert cut(stream(15.0, [], noise), RATE) == []


def test_the_noise_floor_follows_a_rising_carrier() -> None:
    samples = np.concatenate((stream(6.0, [], 0.001), stream(20.0, [(15.0, 16.0)], 0.02)))
    assert spans(cut(samples, RATE))[-1] == (pytest.approx(20.9, abs=0.05), pytest.approx(22.1, abs=0.05))


def test_a_long_transmission_is_cut_at_its_quietest_frame_without_a_gap() -> None:
    params = PARAMS.model_copy(update={"max_seconds": 3.0})
    samples = stream(12.0, [(1.0, 9.0)], 0.001)
    quiet = slice(round(3.5 * RATE), round(3.6 * RATE))
    samples[quiet] *= 0.01
    found = spans(cut(samples, RATE, params))
    assert all(end - start <= 3.05 for start, end in found)
    assert 3.5 <= found[0][1] <= 3.6
    for (_, end), (start, _) in itertools.pairwise(found):
        assert start == pytest.approx(end)


def test_a_cut_in_the_silence_at_the_end_leaves_no_empty_segment() -> None:
    # The transmission reaches its maximum while the hangover is running, and its quietest frame lies in that silence.
    params = PARAMS.model_copy(update={"max_seconds": 3.0})
    samples = stream(8.0, [(1.0, 3.6)], 0.001)
    samples[round(3.8 * RATE) : round(3.85 * RATE)] = 0
    found = spans(cut(samples, 777, params))
    assert len(found) == 1
    assert found[0] == (pytest.approx(0.9, abs=0.05), pytest.approx(3.83, abs=0.05))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60), st.integers(0, 100))
def test_segments_are_in_order_for_any_block_sizes(blocks: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "FLOOR_SECONDS", 0.5)
        segmenter = Segmenter(PARAMS.model_copy(update={"max_seconds": 2.0}), RATE, "a.wav")
    found = list(
        segmenter.segments((rng.choice([0.001, 0.3]) * rng.standard_normal(size)).astype(np.float32) for size in blocks)
    )
    times = [time for span in spans(found) for time in span]
    assert times == sorted(times)
    assert all(0 <= time <= sum(blocks) / RATE for time in times)


def test_the_buffer_does_not_grow_in_silence_or_in_speech() -> None:
    segmenter = Segmenter(PARAMS, RATE, "a.wav")
    sizes = []
    samples = stream(30.0, [(2.0, 4.0), (8.0, 29.0)], 0.001)

    def blocks() -> Iterator[np.ndarray]:
        for second in range(120):
            yield samples[second % 30 * RATE : (second % 30 + 1) * RATE]
            sizes.append(len(segmenter._frames))

    assert list(segmenter.segments(blocks()))
    assert max(sizes[60:]) <= max(sizes[:60])


def test_levels_are_decibels_of_full_scale() -> None:
    assert frame_levels(np.full(160, 0.1, dtype=np.float32), 160) == pytest.approx([-20.0], abs=1e-3)
    assert frame_levels(np.zeros(160, dtype=np.float32), 160) == pytest.approx([-100.0])
