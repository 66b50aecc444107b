"""What an exported corpus is: counts, hours and histograms, for stats.json and for `dvc plots`."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atc_asr.core import files
from atc_asr.corpus import checks
from atc_asr.corpus.clips import Row
from atc_asr.corpus.source import SPLITS

_NUMBERS = re.compile(r"\[[\s\d.,eE+-]+\]")
NARROW_BAND = 4000.0  # Hz, the bandwidth of 8 kHz audio


@dataclass(frozen=True)
class Histogram:
    """A histogram of one quantity: equal bins from `low` to `high`; what is outside counts in the outer bins."""

    name: str
    low: float
    high: float
    bins: int
    value: Callable[[Row, float], float]

    @property
    def edges(self) -> np.ndarray:
        """(bins + 1,) edges."""
        return np.linspace(self.low, self.high, self.bins + 1)

    def counts(self, rows: Sequence[Row], frame_seconds: float) -> list[int]:
        """(bins,) rows in each bin."""
        values = [self.value(row, frame_seconds) for row in rows]
        return np.histogram(np.clip(values, self.low, self.high), self.edges)[0].tolist()


def characters_per_frame(row: Row, frame_seconds: float) -> float:
    """Characters an encoder frame has to spell; a CTC model cannot spell more than one."""
    return len(row.transcript) / checks.num_frames(row.duration, frame_seconds)


HISTOGRAMS = (
    Histogram("duration", 0, 30, 60, lambda row, _: row.duration),
    Histogram("characters_per_frame", 0, 1.5, 60, characters_per_frame),
    Histogram("level", -80, 0, 40, lambda row, _: row.level),
)


def describe_split(rows: Sequence[Row], frame_seconds: float) -> dict[str, Any]:
    """Everything stats.json says of one split.

    Args:
        rows: kept and rejected ones.
    """
    kept = [row for row in rows if not row.rejection]
    return {
        "rows": len(kept),
        "hours": round(sum(row.duration for row in kept) / 3600, 6),
        "words": sum(len(row.transcript.split()) for row in kept),
        "dropped": len(rows) - len(kept),
        "dropped_by_reason": _counts(row.rejection.reason for row in rows if row.rejection),
        "native_sample_rates": _counts(str(row.sample_rate) for row in kept),
        "upsampled": sum(row.sample_rate > 2 * NARROW_BAND and row.bandwidth <= NARROW_BAND for row in kept),
        "apostrophes": apostrophe_collisions(kept),
        "histograms": {
            histogram.name: {
                "edges": [round(edge, 6) for edge in histogram.edges.tolist()],
                "counts": histogram.counts(kept, frame_seconds),
            }
            for histogram in HISTOGRAMS
        },
    }


def apostrophe_collisions(rows: Sequence[Row]) -> dict[str, Any]:
    """Words that lost an apostrophe, and which of them are words of the corpus without it as well (WE'RE, WERE)."""
    lost = Counter(word for row in rows for word in row.apostrophes)
    words = Counter(word for row in rows for word in row.transcript.split())
    collisions = {word: count for word, count in sorted(lost.items()) if words[word] > count}
    return {"words": sum(lost.values()), "collisions": sum(collisions.values()), "collided": collisions}


def to_json(content: Mapping[str, Any]) -> str:
    """Indented JSON with every list of numbers on one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return _NUMBERS.sub(lambda match: " ".join(match.group().split()), text) + "\n"


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def write_histograms(folder: Path, splits: Mapping[str, Sequence[Row]], frame_seconds: float) -> None:
    """One CSV a quantity for `dvc plots`: the bin's middle, then per cent of each split's utterances in it.

    All splits have their column, because dvc.yaml names them; one that is not there is 0 all along.
    """
    for histogram in HISTOGRAMS:
        middles = (histogram.edges[:-1] + histogram.edges[1:]) / 2
        shares = [
            100 * np.array(histogram.counts(rows, frame_seconds)) / max(1, len(rows))
            for rows in (splits.get(split, ()) for split in SPLITS)
        ]
        with (
            files.new_file(folder / f"{histogram.name}.csv") as partial,
            open(partial, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([histogram.name, *SPLITS])
            for middle, *cells in zip(middles.tolist(), *shares, strict=True):
                writer.writerow([round(middle, 4), *(round(float(cell), 4) for cell in cells)])
