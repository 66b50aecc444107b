"""Statistics of an exported corpus: counts, hours and histograms for stats.json and `dvc plots`."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atc_asr.core import files
from atc_asr.corpus import checks
from atc_asr.corpus.clips import Row
from atc_asr.corpus.source import SPLITS

NUM_EXAMPLES = 5  # most frequent texts of a kind that are listed
EXAMPLE_LENGTH = 60  # characters of such a text
NARROW_BAND = 4000.0  # bandwidth of 8 kHz audio, Hz
_NUMBER_LIST = re.compile(r"\[[\s\d.,eE+-]+\]")


@dataclass(frozen=True)
class Histogram:
    """A histogram with equal bins from `low` to `high`; values outside count in the first and last bin.

    `value` returns the quantity of a row, given the encoder frame in ms.
    """

    name: str
    low: float
    high: float
    bins: int
    value: Callable[[Row, int], float]

    @property
    def edges(self) -> np.ndarray:
        """(bins + 1,) edges."""
        return np.linspace(self.low, self.high, self.bins + 1)

    def counts(self, rows: Sequence[Row], frame_ms: int) -> list[int]:
        """(bins,) number of rows in each bin."""
        values = [self.value(row, frame_ms) for row in rows]
        return np.histogram(np.clip(values, self.low, self.high), self.edges)[0].tolist()


def characters_per_frame(row: Row, frame_ms: int) -> float:
    """Characters of the transcript per encoder frame; CTC allows at most one."""
    return len(row.transcript) / checks.num_frames(row.duration, frame_ms)


HISTOGRAMS = (
    Histogram("duration", 0, 30, 60, lambda row, _: row.duration),
    Histogram("characters_per_frame", 0, 1.5, 60, characters_per_frame),
    Histogram("level", -80, 0, 40, lambda row, _: row.level),
)
HISTOGRAM_FILES = tuple(f"{histogram.name}.csv" for histogram in HISTOGRAMS)


def describe_split(rows: Sequence[Row], frame_ms: int) -> dict[str, Any]:
    """The entry of one split in stats.json, from its accepted and rejected rows and the encoder frame in ms."""
    accepted = [row for row in rows if not row.rejection]
    return {
        "rows": len(accepted),
        "hours": round(sum(row.duration for row in accepted) / 3600, 6),
        "words": sum(len(row.transcript.split()) for row in accepted),
        "dropped": len(rows) - len(accepted),
        "dropped_by_reason": _counts(row.rejection.reason for row in rows if row.rejection),
        "native_sample_rates": _counts(str(row.sample_rate) for row in accepted),
        "upsampled": sum(row.sample_rate > 2 * NARROW_BAND and row.bandwidth <= NARROW_BAND for row in accepted),
        "apostrophes": apostrophe_collisions(accepted),
        "removed": removed_by_kind(rows),
        "histograms": {
            histogram.name: {
                "edges": [round(edge, 6) for edge in histogram.edges.tolist()],
                "counts": histogram.counts(accepted, frame_ms),
            }
            for histogram in HISTOGRAMS
        },
    }


def apostrophe_collisions(rows: Sequence[Row]) -> dict[str, Any]:
    """Words that lost an apostrophe, and those of them that also occur without one (WE'RE, WERE)."""
    lost = Counter(word for row in rows for word in row.apostrophes)
    words = Counter(word for row in rows for word in row.transcript.split())
    collisions = {word: count for word, count in sorted(lost.items()) if words[word] > count}
    return {"words": lost.total(), "collisions": sum(collisions.values()), "collided": collisions}


def removed_by_kind(rows: Sequence[Row]) -> dict[str, Any]:
    """What was removed from the transcripts of accepted and rejected rows: kind -> count, most frequent examples."""
    kinds: dict[str, Counter[str]] = {}
    for kind, what in (removal for row in rows for removal in row.removed):
        kinds.setdefault(kind, Counter())[what[:EXAMPLE_LENGTH]] += 1
    return {
        kind: {"count": found.total(), "examples": [what for what, _ in found.most_common(NUM_EXAMPLES)]}
        for kind, found in sorted(kinds.items())
    }


def to_json(content: Mapping[str, Any]) -> str:
    """Indented JSON with every list of numbers on one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return _NUMBER_LIST.sub(lambda match: " ".join(match.group().split()), text) + "\n"


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def write_histograms(folder: Path, splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Write one CSV per histogram for `dvc plots`: the centre of each bin, and the percentage of each split's rows.

    `splits` is split -> `describe_split`. All splits have a column, because dvc.yaml names them; a missing split has
    zeros.
    """
    for histogram in HISTOGRAMS:
        centres = (histogram.edges[:-1] + histogram.edges[1:]) / 2
        every = [splits[split]["histograms"][histogram.name]["counts"] if split in splits else [0] for split in SPLITS]
        percentages = [np.resize(100 * np.array(counts) / max(1, sum(counts)), len(centres)) for counts in every]
        lines = np.round([centres, *percentages], 4).T.tolist()
        files.write_csv(folder / f"{histogram.name}.csv", [histogram.name, *SPLITS], lines)


def add_up(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows, hours, words and histograms of several `describe_split` together."""
    histograms = {}
    for histogram in HISTOGRAMS:
        parts = [one["histograms"][histogram.name] for one in every]
        counts = np.sum([part["counts"] for part in parts], axis=0).tolist()
        histograms[histogram.name] = {"edges": parts[0]["edges"], "counts": counts}
    return {key: round(sum(one[key] for one in every), 6) for key in ("rows", "hours", "words")} | {
        "histograms": histograms
    }


def num_rows(path: Path) -> int:
    """Number of exported clips according to a stats.json; 0 if the file is not of an export."""
    try:
        return sum(split["rows"] for split in json.loads(files.read_text(path))["splits"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0
