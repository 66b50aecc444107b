"""What every corpus looks like to the exporter: shards of clips."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Clip:
    """One utterance as its corpus holds it, nothing checked yet.

    Attributes:
        id: the corpus's own name for it, as found; None when it has none.
        audio: an encoded file (bytes) or samples (num_samples,) or (num_samples, channels), float in [-1, 1] or int16;
            None when the corpus holds none.
        sample_rate: of an array, in Hz; None for bytes, which carry their own.
        text: the transcript as found; None when there is none.
        columns: what else is known of it (speaker, tape, callsign, role …).
        problem: why the source could not read it; the clip is then rejected and listed with it.
    """

    id: str | None
    audio: bytes | np.ndarray | None
    sample_rate: int | None
    text: str | None
    columns: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Shard:
    """A part of a split that one process reads alone.

    Attributes:
        split: "train", "valid" or "test".
        index: its place in the split, from 0.
        items: what the source needs to read it; small and picklable.
        size: number of clips in it.
    """

    split: str
    index: int
    items: Any
    size: int


class Source(Protocol):
    """A corpus. Picklable; its shards are independent, so that N processes read them in any order.

    Shards are the same at every call, and do not depend on the number of processes.
    """

    def identity(self) -> Mapping[str, Any]:
        """What tells these data from others, for JSON: names, revision, parameters; no secrets."""
        ...

    def shards(self) -> list[Shard]:
        """All shards, split by split, each split in the corpus's own order."""
        ...

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of one shard, in order."""
        ...
