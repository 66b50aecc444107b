"""The built-in corpus: synthetic radio transmissions.

Every utterance is a pure function of (seed, split, number). The corpus is therefore the same with any number of
processes, and a smaller corpus is the beginning of a larger one.
"""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from atc_asr.atc.vocabulary.operators import read_added
from atc_asr.corpus.audio import SAMPLE_RATE
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.phraseology import SpeakingStyle, Transmission, make_transmission
from atc_asr.corpus.radio import transmit
from atc_asr.corpus.source import SPLITS, Clip, Shard, make_shards
from atc_asr.corpus.voices import VoiceSettings, speak, split_voices

SHARD_SIZE = 50  # utterances of a shard; does not change the utterances
# Each utterance draws its own value from a range.
RATE_RANGE = (140, 185)  # speaking rate, words per minute
PITCH_RANGE = (30, 65)  # pitch on espeak-ng's scale 0-100
PITCH_MODULATION_RANGE = (25, 60)  # pitch range on espeak-ng's scale 0-100
MARGIN_RANGE = (0.1, 0.3)  # noise before and after the speech, seconds
PAUSE_FRACTION = 0.3  # fraction of clause boundaries with a pause


@dataclass(frozen=True)
class SyntheticSource:
    """Clips of 16 kHz mono float32 samples, multiples of 1 / 32768, with the columns `role`, `callsign`, `speaker`."""

    params: SyntheticParams
    operators: str | None = None  # file of operators added to those of the package

    def identity(self) -> dict[str, Any]:
        """All parameters, the version of the voice library, and the operators of a user's file."""
        version = importlib.metadata.version("espeakng-loader")
        added = [(one.icao, one.telephony) for one in read_added(self.operators)]
        return {
            "corpus": "synthetic",
            "synthetic": self.params.model_dump(),
            "espeakng_loader": version,
            **({"operators": added} if added else {}),
        }

    def shards(self) -> list[Shard]:
        """Ranges of utterance numbers."""
        sizes = {"train": self.params.num_train, "valid": self.params.num_valid, "test": self.params.num_test}
        return [shard for split in SPLITS for shard in make_shards(split, range(sizes[split]), SHARD_SIZE)]

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard.

        Raises:
            InputError: espeak-ng cannot be loaded.
        """
        voices = split_voices()[shard.split]
        for number in shard.items:
            yield make_clip(shard.split, number, voices, self.params, self.operators)


def make_clip(
    split: str, number: int, voices: list[str], params: SyntheticParams, operators: str | None = None
) -> Clip:
    """Utterance `number` of a split, with its own random generator."""
    key = (SPLITS.index(split), number)
    rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=key))
    style = SpeakingStyle(
        pilot_fraction=params.pilot_fraction, group_fraction=params.group_fraction, operators=operators
    )
    transmission = make_transmission(split, rng, style)
    voice = draw_voice(rng, voices)
    samples = record(transmission, voice, rng, params)
    columns = {"role": transmission.role, "callsign": transmission.callsign.icao, "speaker": voice.voice}
    return Clip(f"{number:06d}", samples, SAMPLE_RATE, transmission.text, columns)


def record(
    transmission: Transmission, voice: VoiceSettings, rng: np.random.Generator, params: SyntheticParams
) -> np.ndarray:
    """A transmission as a receiver outputs it, (S,) float32 at 16 kHz."""
    speech = speak(add_pauses(transmission, rng), voice, SAMPLE_RATE)
    return transmit(add_margins(speech, rng), SAMPLE_RATE, rng, (params.snr_low, params.snr_high))


def draw_voice(rng: np.random.Generator, voices: list[str]) -> VoiceSettings:
    """A voice with its rate and pitch."""
    return VoiceSettings(
        voice=voices[int(rng.integers(len(voices)))],
        words_per_minute=int(rng.integers(*RATE_RANGE, endpoint=True)),
        pitch=int(rng.integers(*PITCH_RANGE, endpoint=True)),
        pitch_range=int(rng.integers(*PITCH_MODULATION_RANGE, endpoint=True)),
    )


def add_pauses(transmission: Transmission, rng: np.random.Generator) -> str:
    """The text for the voice, with a comma, which is spoken as a pause, at some clause boundaries."""
    text = transmission.clauses[0]
    for clause in transmission.clauses[1:]:
        text += (", " if rng.random() < PAUSE_FRACTION else " ") + clause
    return text


def add_margins(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Zeros before and after the speech, as between pressing the microphone key and speaking."""
    before, after = (int(SAMPLE_RATE * rng.uniform(*MARGIN_RANGE)) for _ in range(2))
    return np.pad(speech, (before, after))
