"""The interface of a corpus reader: a source has shards, a shard has clips."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Clip:
    """One utterance as the corpus stores it, not yet validated.

    `audio` is an encoded file (bytes) or samples (num_samples,) or (num_samples, channels), float in [-1, 1] or int16.
    """

    id: str | None  # the corpus's id; None when it has none
    audio: bytes | np.ndarray | None  # None when there is no audio
    sample_rate: int | None  # Hz, of samples; None for bytes, which have a header
    text: str | None  # the transcript, not normalised; None when there is none
    columns: Mapping[str, str] = field(default_factory=dict)  # further columns (speaker, tape, callsign, role, ...)
    problem: str | None = None  # why the source could not read the clip; such a clip is rejected with this text
    left_out: str | None = None  # a rule of the corpus that leaves the clip out, of `checks.LEFT_OUT`
    path: str = ""  # file of the audio, for messages


@dataclass(frozen=True)
class Shard:
    """A part of a split that one process reads."""

    split: str  # "train", "valid" or "test"
    index: int  # position in the split, from 0
    items: Any  # what the source needs to read the shard; small, picklable, and with a repr that shows the content
    size: int  # number of clips


def make_shards(split: str, items: Sequence[Any], size: int) -> list[Shard]:
    """Shards of up to `size` items, one clip each."""
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    return [Shard(split, index, part, len(part)) for index, part in enumerate(parts)]


def nearby_callsigns(source: "Source") -> Mapping[str, Sequence[str]]:
    """Recording -> call signs of the aircraft near its receiver, of a corpus that lists them."""
    nearby: Mapping[str, Sequence[str]] = getattr(source, "nearby", {})
    return nearby


class Source(Protocol):
    """A corpus. Sources are picklable, and their shards can be read in any order and by any process."""

    def identity(self) -> Mapping[str, Any]:
        """Values that identify the data beside the shards' items: name, revision, parameters; JSON, no secrets."""

    def shards(self) -> list[Shard]:
        """All shards, split by split, in the corpus's order; the same list at every call."""

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of one shard, in order."""
