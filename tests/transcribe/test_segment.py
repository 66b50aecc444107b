"""The segmenter on streams of noise with tones at known times."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.corpus.voices import VoiceSettings, speak
from atc_asr.transcribe import detectors
from atc_asr.transcribe.params import SegmentParams
from atc_asr.transcribe.segment import Segment, Segmenter, Track, detect

RATE = 8000
PARAMS = SegmentParams(
    detector="level", threshold_db=8.0, min_level=-55.0, hangover_seconds=0.4, padding_seconds=0.1, max_seconds=10.0
)
TRACK = Track(Path("a.wav"))


@pytest.fixture(autouse=True, scope="module")
def short_floor() -> Iterator[None]:
    """The noise floor is that of 4 seconds, so that streams can be short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "FLOOR_SECONDS", 4.0)
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
    blocks = (samples[i : i + block, None] for i in range(0, len(samples), block))
    return list(detect([Segmenter(params, RATE, TRACK)], blocks))


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
        patch.setattr(detectors, "FLOOR_SECONDS", 0.5)
        segmenter = Segmenter(PARAMS.model_copy(update={"max_seconds": 2.0}), RATE, TRACK)
    sounds = (rng.choice([0.001, 0.3]) * rng.standard_normal((size, 1)) for size in blocks)
    found = list(detect([segmenter], (sound.astype(np.float32) for sound in sounds)))
    times = [time for span in spans(found) for time in span]
    assert times == sorted(times)
    assert all(0 <= time <= sum(blocks) / RATE for time in times)


def test_the_buffer_does_not_grow_in_silence_or_in_speech() -> None:
    segmenter = Segmenter(PARAMS, RATE, TRACK)
    sizes = []
    samples = stream(30.0, [(2.0, 4.0), (8.0, 29.0)], 0.001)

    def blocks() -> Iterator[np.ndarray]:
        for second in range(120):
            yield samples[second % 30 * RATE : (second % 30 + 1) * RATE, None]
            sizes.append(len(segmenter._frames))

    assert list(detect([segmenter], blocks()))
    assert max(sizes[60:]) <= max(sizes[:60])


def with_offset(samples: np.ndarray, offset: float) -> np.ndarray:
    return samples + np.float32(offset)


def with_hum(samples: np.ndarray, frequency: float, number: int = 1) -> np.ndarray:
    """Hum with the power of the tones of `stream`; with `number` harmonics, whose amplitudes fall as 1 / n."""
    times = np.arange(len(samples)) / RATE
    hum = sum(np.sin(2 * np.pi * n * frequency * times) / n for n in range(1, number + 1))
    return samples + (0.3 * hum / np.sqrt(2 * np.mean(np.square(hum)))).astype(np.float32)


BURSTS = [(1.0, 3.0), (5.0, 6.0), (9.0, 11.5)]


@pytest.mark.parametrize("noise", [0.001, 0.02])
@pytest.mark.parametrize(
    "change",
    [
        lambda samples: with_offset(samples, 0.03),
        lambda samples: with_offset(samples, -0.2),
        lambda samples: with_hum(samples, 50.0),
        lambda samples: with_hum(samples, 60.0, 5),
        lambda samples: with_offset(with_hum(samples, 60.0), 0.2),
    ],
)
def test_offset_and_hum_change_no_transmission(change, noise: float) -> None:
    samples = stream(12.0, BURSTS, noise)
    wanted, found = spans(cut(samples, RATE)), spans(cut(change(samples), RATE))
    assert len(wanted) == len(found) == len(BURSTS)
    assert np.abs(np.array(wanted) - np.array(found)).max() <= 0.08


def live(samples: np.ndarray) -> list[tuple[float, Segment]]:
    """Transmissions of a live stream in blocks of 0.1 s, each with the seconds that were heard before it was shown."""
    segmenter, shown, size = Segmenter(PARAMS, RATE, TRACK, live=True), [], RATE // 10
    for first in range(0, len(samples), size):
        shown += [((first + size) / RATE, one) for one in segmenter.add(samples[first : first + size])]
    return shown + [(np.inf, one) for one in segmenter.finish()]


@pytest.mark.parametrize("start", [0.0, 0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.001, 0.02])
def test_the_first_transmission_of_a_live_stream_is_shown_at_once(start: float, noise: float) -> None:
    bursts = [(start, start + 2.0), (start + 4.0, start + 5.0), (start + 12.0, start + 13.0)]
    shown = live(stream(20.0, bursts, noise))
    assert len(shown) == len(bursts)
    for (heard, one), (wanted_start, wanted_end) in zip(shown, bursts, strict=True):
        assert one.start == pytest.approx(max(0.0, wanted_start - 0.1), abs=0.05)
        assert one.start + one.duration == pytest.approx(wanted_end + 0.1, abs=0.05)
        assert heard <= wanted_end + 1.0


def test_noise_of_a_live_stream_is_no_transmission() -> None:
    assert live(stream(15.0, [], 0.02)) == []


def test_quiet_sound_is_counted_and_left_out() -> None:
    segmenter = Segmenter(PARAMS, RATE, TRACK)
    quiet = 0.002 * stream(12.0, BURSTS, 0.002)
    assert list(detect([segmenter], [quiet[:, None]])) == []
    assert segmenter.quiet_seconds == pytest.approx(5.5, abs=0.2)


@pytest.fixture(scope="module")
def open_squelch() -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Speech at known times in noise that is as loud: 16 kHz samples and the times."""
    rate, rng = 16000, np.random.default_rng(2)
    voice = VoiceSettings("en-us+m1", words_per_minute=165, pitch=50, pitch_range=50)
    speech = speak("delta one two three descend and maintain five thousand", voice, rate)
    samples = 0.05 * rng.standard_normal(14 * rate)
    times = []
    for start in (2.0, 8.0):
        first = round(start * rate)
        samples[first : first + len(speech)] += 0.1 * speech / np.sqrt(np.mean(np.square(speech)))
        times.append((start, start + len(speech) / rate))
    samples[5 * rate : 7 * rate] *= 3.0  # noise that is louder than before
    return samples.astype(np.float32), times


@pytest.mark.parametrize("block", [16000, 777])
def test_speech_in_the_noise_of_an_open_squelch_is_found_by_the_voice_detector(open_squelch, block: int) -> None:
    samples, times = open_squelch
    blocks = [samples[i : i + block, None] for i in range(0, len(samples), block)]
    by_voice = PARAMS.model_copy(update={"detector": "vad"})
    found = spans(list(detect([Segmenter(by_voice, 16000, TRACK)], blocks)))
    assert len(found) == len(times)
    assert np.abs(np.array(found) - np.array(times)).max() < 0.5
    by_level = spans(list(detect([Segmenter(PARAMS, 16000, TRACK)], blocks)))
    assert any(end > 6.9 for start, end in by_level if start < 5)  # with the noise behind the speech


def test_the_voice_detector_needs_its_package_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    by_voice = PARAMS.model_copy(update={"detector": "vad"})
    with pytest.raises(InputError, match="got vad at 8000 Hz, wanted a network for 16000 Hz"):
        Segmenter(by_voice, RATE, TRACK)
    monkeypatch.setattr(detectors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="got vad without the package silero-vad"):
        Segmenter(by_voice, 16000, TRACK)


def test_the_scores_of_the_voice_detector_are_those_of_its_own_package(open_squelch) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # the package sets one
    samples = open_squelch[0][: 200 * 512].reshape(-1, 512)
    model = load_silero_vad(onnx=True)
    wanted = [model(torch.from_numpy(frame), 16000).item() for frame in samples]
    detector = detectors.VoiceDetector(16000)
    found = np.concatenate([detector.scores(samples[:70]), detector.scores(samples[70:])])
    assert np.abs(found - wanted).max() < 1e-4


@pytest.mark.parametrize("rate", [1000, 8000, 16000, 44100])
def test_the_voice_band_is_that_of_scipy_in_blocks_of_any_size(rate: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    samples = (0.3 + 0.1 * np.random.default_rng(3).standard_normal((rate, 2))).astype(np.float32)
    edges = (300, min(3400, 0.45 * rate))
    filters = signal.butter(detectors.BAND_ORDER, edges, "bandpass", output="sos", fs=rate)
    state = np.multiply.outer(signal.sosfilt_zi(filters), samples[0])
    wanted, _ = signal.sosfilt(filters, samples, axis=0, zi=state)
    band = detectors.VoiceBand(rate)
    found = np.concatenate([band(samples[first:last]) for first, last in itertools.pairwise([0, 1, 7, 300, 777, rate])])
    assert np.abs(found - wanted).max() < 1e-6
    assert np.abs(wanted).max() > 0.1


def test_levels_are_decibels_of_full_scale() -> None:
    detector = detectors.LevelDetector(PARAMS)
    frames = np.stack([np.full(160, 0.1), np.zeros(160)]).astype(np.float32)
    assert detector.scores(frames) == pytest.approx([-20.0, -100.0], abs=1e-3)
