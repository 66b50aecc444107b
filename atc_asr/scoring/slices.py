"""WER by slice (duration, speaking rate, noise, speaker, ...) and scores by word."""

import bisect
import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from atc_asr.core.audio_files import AudioError, read_samples
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.scoring.bootstrap import Rate
from atc_asr.scoring.params import ScoreParams
from atc_asr.wer.wer import ScoredPair

DURATION_EDGES = (2.0, 4.0, 6.0, 8.0)  # seconds
SPEAKING_RATE_EDGES = (120.0, 160.0, 200.0, 240.0)  # words a minute
SNR_EDGES = (5.0, 10.0, 15.0, 20.0, 25.0)  # dB

MIN_POWER = 1e-10  # keeps the logarithm of digital silence finite
NOISE_PERCENTILE, SPEECH_PERCENTILE = 10, 90
FRAME_SECONDS = 0.02
MIN_FRAMES = 10


@dataclasses.dataclass(frozen=True)
class Slice:
    """A partition of a corpus into groups.

    Attributes:
        name: `duration`, `speaker`, ...
        groups: group of every utterance; None for one without a group.
        order: the groups, in display order.
    """

    name: str
    groups: tuple[str | None, ...]
    order: tuple[str, ...]


def make_slices(params: ScoreParams, utterances: Sequence[Utterance], num_words: Sequence[float]) -> list[Slice]:
    """The slices that `params` asks for; those by a column only where the manifest has it.

    `num_words` are the reference words of every utterance.

    Raises:
        InputError: audio cannot be read, with `params.estimate_snr`.
    """
    durations = [utterance.duration for utterance in utterances]
    speaking_rates = [60.0 * words / duration for words, duration in zip(num_words, durations, strict=True)]
    slices = [
        slice_by_number("duration", durations, DURATION_EDGES, "s"),
        slice_by_number("speaking rate", speaking_rates, SPEAKING_RATE_EDGES, "words/min"),
    ]
    if params.estimate_snr:
        ratios = [read_snr(utterance) for utterance in tqdm(utterances, desc="estimating SNR", disable=None)]
        slices.append(slice_by_number("SNR", ratios, SNR_EDGES, "dB"))
    columns = {name: [utterance.columns.get(name) for utterance in utterances] for name in params.slice_columns}
    return slices + [slice_by_column(name, values) for name, values in columns.items() if any(values)]


def slice_by_number(name: str, values: Sequence[float | None], edges: Sequence[float], unit: str) -> Slice:
    """Groups `< 2 s`, `2-4 s`, `>= 4 s` for the ascending edges 2, 4; a value at an edge is in the group above it."""
    between = [f"{low:g}-{high:g} {unit}" for low, high in itertools.pairwise(edges)]
    labels = [f"< {edges[0]:g} {unit}", *between, f">= {edges[-1]:g} {unit}"]
    groups = tuple(None if value is None else labels[bisect.bisect_right(edges, value)] for value in values)
    return Slice(name, groups, tuple(labels))


def slice_by_column(name: str, values: Sequence[str | None]) -> Slice:
    """One group for each value of a manifest column; utterances with an empty value have no group."""
    groups = tuple(value or None for value in values)
    return Slice(name, groups, tuple(sorted({group for group in groups if group is not None})))


def read_snr(utterance: Utterance) -> float | None:
    """Estimated signal-to-noise ratio of an utterance's audio, see `estimate_snr`.

    Raises:
        InputError: the audio cannot be read.
    """
    try:
        samples, sample_rate = read_samples(utterance.wav, "float32")
    except AudioError as error:
        raise InputError(f"{utterance.wav} (id {utterance.id}): cannot be read as audio: {error}") from error
    return estimate_snr(samples.mean(axis=1), sample_rate)


def estimate_snr(samples: np.ndarray, sample_rate: int) -> float | None:
    """Signal-to-noise ratio in dB: the 90th over the 10th percentile of the powers of 20 ms frames.

    A rough estimate, good enough to sort clips: the ratio of a clip without pauses is too low.

    Args:
        samples: (S,) audio.
        sample_rate: Hz.

    Returns:
        None for fewer than ten frames.
    """
    width = int(FRAME_SECONDS * sample_rate)
    num_frames = len(samples) // width
    if num_frames < MIN_FRAMES:
        return None
    frames = samples[: num_frames * width].reshape(num_frames, width).astype(np.float64)
    noise, speech = np.percentile((frames**2).mean(axis=1), [NOISE_PERCENTILE, SPEECH_PERCENTILE]) + MIN_POWER
    return float(10.0 * np.log10(max(speech - noise, MIN_POWER) / noise))


def slice_rates(wer: Rate, slices: Iterable[Slice]) -> dict[tuple[str, str], tuple[Rate, int]]:
    """(slice, group) -> (WER within the group, number of utterances), from the WER of the corpus."""
    found = {}
    for part in slices:
        numbers: dict[str | None, int] = {group: number for number, group in enumerate(part.order)}
        of_utterances = np.array([numbers.get(group, -1) for group in part.groups])
        by_group = np.argsort(of_utterances, kind="stable")
        bounds = np.searchsorted(of_utterances[by_group], range(len(numbers) + 1))
        for group, (start, end) in zip(part.order, itertools.pairwise(bounds), strict=True):
            if end > start:
                rows = by_group[start:end].astype(np.int32)
                rate = Rate(f"{part.name}={group}", wer.numerators[rows], wer.denominators[rows], rows)
                found[part.name, group] = rate, len(rows)
    return found


def count_words(scored: Iterable[ScoredPair]) -> dict[str, Counter[str | None]]:
    """Reference word -> Counter of the words recognised for it, None for a deletion."""
    found: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for item in scored:
        for step in item.steps:
            if step.ref is not None:
                found[step.ref][step.hyp] += 1
    return dict(found)


def most_errors_first(words: Mapping[str, Counter[str | None]]) -> dict[str, Counter[str | None]]:
    """The words of `count_words`, those with most errors first."""
    return dict(sorted(words.items(), key=lambda item: (item[1][item[0]] - item[1].total(), item[0])))


def confusions_of(word: str, recognised: Mapping[str | None, int]) -> dict[str, int]:
    """The words recognised instead of a word, with their counts."""
    return {other: times for other, times in recognised.items() if other is not None and other != word}


def list_confusions(words: Mapping[str, Mapping[str | None, int]], max_words: int) -> list[tuple[str, str]]:
    """Substitutions (reference, hypothesis) among at most `max_words` words, one row for each occurrence.

    Pairs are taken by frequency while their words fit: the most confused words taken singly may share no pair. DVC's
    confusion template counts the rows.
    """
    pairs = {
        (word, other): times
        for word, recognised in words.items()
        for other, times in confusions_of(word, recognised).items()
    }
    chosen: set[str] = set()
    for pair, _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        if len(chosen | set(pair)) <= max_words:
            chosen |= set(pair)
    return sorted(pair for pair, times in pairs.items() if chosen.issuperset(pair) for _ in range(times))
