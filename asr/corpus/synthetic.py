"""The built-in corpus: synthetic radio transmissions, made from nothing but a seed.

Every utterance is a pure function of (seed, split, number): the same bytes with any number of processes, and fewer
utterances are the first of more.
"""

import dataclasses
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from asr.corpus.phraseology import Transmission, Wording, make_transmission
from asr.corpus.radio import RadioParams, transmit
from asr.corpus.source import SPLITS, Clip, Shard
from asr.corpus.voices import Manner, speak, split_families, split_voices
from asr.params import check_ranges, option

SAMPLE_RATE = 16000


@dataclass(frozen=True)
class SyntheticParams:
    """How much synthetic speech, what is said and how; two limits: each utterance draws a value between them."""

    section: ClassVar[str] = "synthetic"
    seed: int = option("everything is drawn from it", low=0)
    num_train: int = option("utterances", low=0)
    num_valid: int = option("utterances", low=0)
    num_test: int = option("utterances", low=0)
    valid_voice_families: int = option("families of voice variants that only valid hears", low=1)
    test_voice_families: int = option("families of voice variants that only test hears; train has the rest", low=1)
    shard_size: int = option("utterances a process makes at a time", low=1)
    rate_low: int = option("speaking rate, words a minute, slowest", low=80)
    rate_high: int = option("speaking rate, words a minute, fastest", high=450)
    pitch_low: int = option("voice pitch on espeak-ng's scale, lowest", low=0)
    pitch_high: int = option("voice pitch on espeak-ng's scale, highest", high=99)
    pitch_range_low: int = option("how far pitch moves on espeak-ng's scale, least", low=0)
    pitch_range_high: int = option("how far pitch moves on espeak-ng's scale, most", high=99)
    margin_low: float = option("quiet before and after speech, seconds, shortest", low=0)
    margin_high: float = option("quiet before and after speech, seconds, longest", high=5)
    pause_share: float = option("share of clause boundaries with a pause", low=0, high=1)
    pilot_share: float = option("share of transmissions by pilots", low=0, high=1)
    tail_share: float = option("share of callsigns that are tail numbers, not flights", low=0, high=1)
    group_share: float = option("share of speakers that say numbers in groups", low=0, high=1)
    variant_share: float = option("share of speakers that say niner, tree, fife", low=0, high=1)
    hesitation_share: float = option("share of transmissions with an ah or uh", low=0, high=1)
    max_words: int = option("longest transmission, words", low=14)

    def __post_init__(self) -> None:
        check_ranges(self, ("rate", "pitch", "pitch_range", "margin"))
        split_families(self.valid_voice_families, self.test_voice_families)

    def size(self, split: str) -> int:
        """Utterances of a split."""
        return {"train": self.num_train, "valid": self.num_valid, "test": self.num_test}[split]

    def wording(self) -> Wording:
        """What the grammar needs to know."""
        return Wording(
            pilot_share=self.pilot_share,
            tail_share=self.tail_share,
            group_share=self.group_share,
            variant_share=self.variant_share,
            hesitation_share=self.hesitation_share,
            max_words=self.max_words,
        )


@dataclass(frozen=True)
class SyntheticSource:
    """Clips of 16 kHz mono float32 samples on the 16-bit grid; columns `role`, `callsign`, `speaker`."""

    params: SyntheticParams
    radio: RadioParams

    def identity(self) -> dict[str, Any]:
        """What the bytes depend on: every param but how the work is cut, and the voice library's version."""
        params = dataclasses.asdict(self.params)
        del params["shard_size"]
        return {
            "corpus": "synthetic",
            "synthetic": params,
            "radio": dataclasses.asdict(self.radio),
            "espeakng_loader": importlib.metadata.version("espeakng-loader"),
        }

    def shards(self) -> list[Shard]:
        """Runs of utterance numbers; where they are cut changes nothing in the utterances."""
        shards = []
        for split in SPLITS:
            numbers = range(self.params.size(split))
            for index, start in enumerate(range(0, len(numbers), self.params.shard_size)):
                items = numbers[start : start + self.params.shard_size]
                shards.append(Shard(split, index, items, size=len(items)))
        return shards

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard.

        Raises:
            InputError: espeak-ng cannot be loaded.
        """
        voices = split_voices(self.params.valid_voice_families, self.params.test_voice_families)[shard.split]
        for number in shard.items:
            yield make_clip(shard.split, number, voices, self.params, self.radio)


def make_clip(split: str, number: int, voices: list[str], params: SyntheticParams, radio: RadioParams) -> Clip:
    """Utterance `number` of a split, from its own random generator."""
    key = (SPLITS.index(split), number)
    rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=key))
    transmission = make_transmission(split, rng, params.wording())
    manner = draw_manner(rng, voices, params)
    speech = speak(punctuate(transmission, rng, params.pause_share), manner, SAMPLE_RATE)
    samples = transmit(add_margins(speech, rng, params), SAMPLE_RATE, rng, radio)
    columns = {"role": transmission.role, "callsign": transmission.callsign.icao, "speaker": manner.voice}
    return Clip(f"{number:06d}", samples, SAMPLE_RATE, transmission.text, columns)


def draw_manner(rng: np.random.Generator, voices: list[str], params: SyntheticParams) -> Manner:
    """A voice and its rate and pitch."""
    return Manner(
        voice=voices[int(rng.integers(len(voices)))],
        words_per_minute=int(rng.integers(params.rate_low, params.rate_high, endpoint=True)),
        pitch=int(rng.integers(params.pitch_low, params.pitch_high, endpoint=True)),
        pitch_range=int(rng.integers(params.pitch_range_low, params.pitch_range_high, endpoint=True)),
    )


def punctuate(transmission: Transmission, rng: np.random.Generator, pause_share: float) -> str:
    """The text for the voice: a comma makes it pause between clauses."""
    text = transmission.clauses[0]
    for clause in transmission.clauses[1:]:
        text += (", " if rng.random() < pause_share else " ") + clause
    return text


def add_margins(speech: np.ndarray, rng: np.random.Generator, params: SyntheticParams) -> np.ndarray:
    """Speech with quiet before and after it, as between pressing the key and speaking."""
    before, after = (int(SAMPLE_RATE * rng.uniform(params.margin_low, params.margin_high)) for _ in range(2))
    return np.pad(speech, (before, after))
