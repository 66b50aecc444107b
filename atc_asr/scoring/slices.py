"""WER by slice: by what an utterance is (duration, speaking rate, noise, speaker …) and by word."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from atc_asr.scoring.bootstrap import Rate, make_rate
from atc_asr.wer.wer import ScoredPair

SILENCE = 1e-10  # power of digital silence, so that its logarithm is a number
NOISE_PERCENTILE, SPEECH_PERCENTILE = 10, 90
FRAME_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class Slice:
    """A way to divide a corpus.

    Attributes:
        name: `duration`, `speaker` …
        groups: every utterance's group, None for one that belongs to none.
        order: the groups as they are listed.
    """

    name: str
    groups: tuple[str | None, ...]
    order: tuple[str, ...]


def slice_by_number(name: str, values: Sequence[float | None], edges: Sequence[float], unit: str) -> Slice:
    """Groups `< 2 s`, `2-4 s`, `>= 4 s` of edges 2, 4; an edge belongs to the group above it."""
    edges = sorted(edges)
    if not edges:
        labels = ["all"]
    else:
        between = [f"{low:g}-{high:g} {unit}" for low, high in itertools.pairwise(edges)]
        labels = [f"< {edges[0]:g} {unit}", *between, f">= {edges[-1]:g} {unit}"]
    groups = tuple(None if value is None else labels[np.searchsorted(edges, value, side="right")] for value in values)
    return Slice(name, groups, tuple(labels))


def slice_by_column(name: str, values: Sequence[str | None]) -> Slice:
    """One group a value; empty values belong to none."""
    groups = tuple(value or None for value in values)
    return Slice(name, groups, tuple(sorted({group for group in groups if group is not None})))


def speaking_rate(num_words: int, duration: float) -> float:
    """Words a minute, of the reference's words and the clip's seconds, pauses included."""
    return 60.0 * num_words / duration


def estimate_snr(samples: np.ndarray, sample_rate: int) -> float | None:
    """Signal-to-noise ratio in dB from the powers of 20 ms frames: loud ones over quiet ones.

    A cheap estimate to sort clips by, not a measurement: it takes the 10th percentile for noise, and for speech with
    noise the 90th. A clip without a pause looks noisier than it is.

    Args:
        samples: (S,) audio.
        sample_rate: Hz.

    Returns:
        None for less than ten frames.
    """
    width = int(FRAME_SECONDS * sample_rate)
    num_frames = len(samples) // width
    if num_frames < 10:
        return None
    frames = samples[: num_frames * width].reshape(num_frames, width).astype(np.float64)
    noise, speech = np.percentile((frames**2).mean(axis=1), [NOISE_PERCENTILE, SPEECH_PERCENTILE]) + SILENCE
    return float(10.0 * np.log10(max(speech - noise, SILENCE) / noise))


def rates(scored: Sequence[ScoredPair], divisions: Iterable[Slice]) -> dict[tuple[str, str], Rate]:
    """(slice, group) -> WER of that group, as a rate of the whole corpus with zeros elsewhere."""
    found = {}
    for division in divisions:
        for name in division.order:
            inside = [group == name for group in division.groups]
            if any(inside):
                fractions = [
                    (item.words.errors, item.words.ref_length) if here and item.words.ref_length else (0, 0)
                    for item, here in zip(scored, inside, strict=True)
                ]
                found[division.name, name] = make_rate(f"{division.name}={name}", fractions)
    return found


def group_sizes(divisions: Iterable[Slice]) -> dict[tuple[str, str], int]:
    """(slice, group) -> its utterances."""
    return {
        (division.name, name): count
        for division in divisions
        for name, count in Counter(group for group in division.groups if group is not None).items()
    }


@dataclasses.dataclass(frozen=True)
class WordScore:
    """One word of the references.

    Attributes:
        word: the word.
        count: how often it was said.
        hits: how often it was recognised.
        deletions: how often nothing was.
        confusions: what was recognised instead, most frequent first.
    """

    word: str
    count: int
    hits: int
    deletions: int
    confusions: tuple[tuple[str, int], ...]

    @property
    def recall(self) -> float:
        """Per cent of its occurrences that were recognised."""
        return 100.0 * self.hits / self.count

    @property
    def substitutions(self) -> int:
        """How often another word was recognised."""
        return self.count - self.hits - self.deletions


def score_words(scored: Iterable[ScoredPair]) -> list[WordScore]:
    """Recall of every word, those with most errors first."""
    hits: Counter[str] = Counter()
    deletions: Counter[str] = Counter()
    confusions: dict[str, Counter[str]] = {}
    for item in scored:
        for step in item.steps:
            if step.operation == "equal":
                hits[step.ref] += 1
            elif step.operation == "delete":
                deletions[step.ref] += 1
            elif step.operation == "substitute":
                confusions.setdefault(step.ref, Counter())[step.hyp] += 1
    words = [
        WordScore(
            word=word,
            count=hits[word] + deletions[word] + confusions.get(word, Counter()).total(),
            hits=hits[word],
            deletions=deletions[word],
            confusions=tuple(sorted(confusions.get(word, Counter()).items(), key=lambda item: (-item[1], item[0]))),
        )
        for word in hits.keys() | deletions.keys() | confusions.keys()
    ]
    return sorted(words, key=lambda word: (word.hits - word.count, word.word))


def list_confusions(words: Sequence[WordScore], most: int) -> list[tuple[str, str]]:
    """Substitutions (reference, hypothesis) among the `most` words of the most frequent ones, one row an occurrence.

    Words are taken in pairs: the words that are confused most often may each be so with another non-word, of which
    none would be left to draw. DVC's confusion template counts the rows itself.
    """
    pairs = {(word.word, other): times for word in words for other, times in word.confusions}
    chosen: set[str] = set()
    for pair, _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        if len(chosen | set(pair)) <= most:
            chosen |= set(pair)
    return sorted(pair for pair, times in pairs.items() if chosen.issuperset(pair) for _ in range(times))
