"""The built-in corpus: synthetic radio transmissions, made from nothing but a seed.

Every utterance is a pure function of (seed, split, number): the same bytes with any number of processes, and fewer
utterances are the first of more.
"""

import dataclasses
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.phraseology import Transmission, make_transmission
from atc_asr.corpus.radio import RadioParams, transmit
from atc_asr.corpus.source import SPLITS, Clip, Shard
from atc_asr.corpus.voices import VoiceSettings, speak, split_voices

SAMPLE_RATE = 16000


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
    speech = speak(punctuate(transmission, rng, params.pause_fraction), manner, SAMPLE_RATE)
    samples = transmit(add_margins(speech, rng, params), SAMPLE_RATE, rng, radio)
    columns = {"role": transmission.role, "callsign": transmission.callsign.icao, "speaker": manner.voice}
    return Clip(f"{number:06d}", samples, SAMPLE_RATE, transmission.text, columns)


def draw_manner(rng: np.random.Generator, voices: list[str], params: SyntheticParams) -> VoiceSettings:
    """A voice and its rate and pitch."""
    return VoiceSettings(
        voice=voices[int(rng.integers(len(voices)))],
        words_per_minute=int(rng.integers(params.rate_low, params.rate_high, endpoint=True)),
        pitch=int(rng.integers(params.pitch_low, params.pitch_high, endpoint=True)),
        pitch_range=int(rng.integers(params.pitch_range_low, params.pitch_range_high, endpoint=True)),
    )


def punctuate(transmission: Transmission, rng: np.random.Generator, pause_fraction: float) -> str:
    """The text for the voice: a comma makes it pause between clauses."""
    text = transmission.clauses[0]
    for clause in transmission.clauses[1:]:
        text += (", " if rng.random() < pause_fraction else " ") + clause
    return text


def add_margins(speech: np.ndarray, rng: np.random.Generator, params: SyntheticParams) -> np.ndarray:
    """Speech with quiet before and after it, as between pressing the key and speaking."""
    before, after = (int(SAMPLE_RATE * rng.uniform(params.margin_low, params.margin_high)) for _ in range(2))
    return np.pad(speech, (before, after))
