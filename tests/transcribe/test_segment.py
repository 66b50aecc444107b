"""The squelch on streams made of noise and tones whose places are known."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.transcribe.params import SegmentParams
from atc_asr.transcribe.segment import Segment, Segmenter, frame_levels

RATE = 8000
PARAMS = SegmentParams(
    margin=8.0,
    min_level=-55.0,
    floor_percentile=10.0,
    floor_seconds=4.0,
    attack_seconds=0.06,
    hangover_seconds=0.4,
    padding_seconds=0.1,
    max_seconds=10.0,
)


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
    segmenter = Segmenter(params, RATE)
    found = [segment for i in range(0, len(samples), block) for segment in segmenter.push(samples[i : i + block])]
    return found + segmenter.flush()


def spans(segments: list[Segment]) -> list[tuple[float, float]]:
    return [(segment.start, segment.start + len(segment.samples) / RATE) for segment in segments]


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.02])
@pytest.mark.parametrize("bursts", [[(1.0, 3.0), (5.0, 6.0), (9.0, 11.5)], [(0.0, 1.0)], [(10.0, 12.0)]])
def test_bursts_are_found_with_their_margins(noise: float, bursts: list[tuple[float, float]]) -> None:
    found = spans(cut(stream(12.0, bursts, noise), RATE))
    assert len(found) == len(bursts)
    for (start, end), (wanted_start, wanted_end) in zip(found, bursts, strict=True):
        assert start == pytest.approx(max(0.0, wanted_start - 0.1), abs=0.05)
        assert end == pytest.approx(min(12.0, wanted_end + 0.1), abs=0.05)


def test_samples_are_those_of_the_stream() -> None:
    samples = stream(8.0, [(1.0, 2.0), (4.0, 5.0)], 0.001)
    for segment in cut(samples, 777):
        first = round(segment.start * RATE)
        assert np.array_equal(segment.samples, samples[first : first + len(segment.samples)])


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_nothing_but_noise_is_no_transmission(noise: float) -> None:
    assert cut(stream(15.0, [], noise), RATE) == []


def test_a_carrier_that_rises_does_not_hold_the_squelch_open_for_ever() -> None:
    samples = np.concatenate((stream(6.0, [], 0.001), stream(20.0, [(15.0, 16.0)], 0.02)))
    assert spans(cut(samples, RATE))[-1] == (pytest.approx(20.9, abs=0.05), pytest.approx(22.1, abs=0.05))


def test_a_long_transmission_is_cut_without_a_gap() -> None:
    params = dataclasses.replace(PARAMS, max_seconds=3.0)
    samples = stream(12.0, [(1.0, 9.0)], 0.001)
    quiet = slice(round(3.5 * RATE), round(3.6 * RATE))
    samples[quiet] *= 0.01
    found = spans(cut(samples, RATE, params))
    assert all(end - start <= 3.05 for start, end in found)
    assert 3.5 <= found[0][1] <= 3.6
    for (_, end), (start, _) in itertools.pairwise(found):
        assert start == pytest.approx(end)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60), st.integers(0, 100))
def test_segments_follow_each_other_whatever_the_blocks(blocks: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    segmenter = Segmenter(dataclasses.replace(PARAMS, floor_seconds=0.5, max_seconds=2.0), RATE)
    found = []
    for size in blocks:
        found += segmenter.push((rng.choice([0.001, 0.3]) * rng.standard_normal(size)).astype(np.float32))
    found += segmenter.flush()
    times = [time for span in spans(found) for time in span]
    assert times == sorted(times)
    assert all(0 <= time <= sum(blocks) / RATE for time in times)


def test_memory_is_flat_in_silence_and_in_speech() -> None:
    segmenter = Segmenter(PARAMS, RATE)
    sizes = []
    samples = stream(30.0, [(2.0, 4.0), (8.0, 29.0)], 0.001)
    for second in range(120):
        segmenter.push(samples[second % 30 * RATE : (second % 30 + 1) * RATE])
        sizes.append(len(segmenter._frames))
    assert max(sizes[60:]) <= max(sizes[:60])


def test_levels_are_decibels_of_full_scale() -> None:
    assert frame_levels(np.full(160, 0.1, dtype=np.float32), 160) == pytest.approx([-20.0], abs=1e-3)
    assert frame_levels(np.zeros(160, dtype=np.float32), 160) == pytest.approx([-100.0])
