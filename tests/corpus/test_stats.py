"""Statistics of an exported corpus."""

import csv
import json

from atc_asr.corpus import stats
from atc_asr.corpus.checks import Rejection
from atc_asr.corpus.clips import Row

HISTOGRAM = stats.HISTOGRAMS[0]


def row(transcript="A", duration=1.0, apostrophes=(), rate=16000, bandwidth=8000.0, rejection=None):
    return Row("x", "train", duration, transcript, apostrophes, {}, rate, -20.0, bandwidth, "", rejection)


def test_apostrophe_collisions():
    rows = [row("WERE GOING", apostrophes=("WERE",)), row("THEY WERE AT OHARES", apostrophes=("OHARES",))]
    assert stats.apostrophe_collisions(rows) == {"words": 2, "collisions": 1, "collided": {"WERE": 1}}


def test_describe_split():
    rows = [
        row("TURN LEFT", 1800.0),
        row("ROGER", 1800.0, rate=8000, bandwidth=3900.0),
        row("OK", 0.5, bandwidth=3900.0),
        row("", 9.0, rejection=Rejection("empty_text", "", "x")),
    ]
    found = stats.describe_split(rows, 40)
    assert (found["rows"], found["hours"], found["words"], found["dropped"]) == (3, 1.000139, 4, 1)
    assert found["dropped_by_reason"] == {"empty_text": 1}
    assert found["native_sample_rates"] == {"16000": 2, "8000": 1}
    assert found["upsampled"] == 1


def test_values_outside_a_histogram_count_in_the_outer_bins():
    counts = HISTOGRAM.counts([row(duration=0.1), row(duration=99.0)], 40)
    assert (counts[0], counts[-1], sum(counts)) == (1, 1, 2)


def test_characters_per_frame():
    assert stats.characters_per_frame(row("ABCDEFGHIJKLM", 1.0), 40) == 0.5


def test_histogram_files_hold_percentages(tmp_path):
    splits = {"train": [row(duration=1.1), row(duration=2.1)], "test": [row(duration=1.1)]}
    stats.write_histograms(tmp_path, {split: stats.describe_split(rows, 40) for split, rows in splits.items()})
    with open(tmp_path / "duration.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[2] == {"duration": "1.25", "train": "50.0", "valid": "0.0", "test": "100.0"}
    assert sum(float(line["train"]) for line in rows) == 100.0


def test_json_has_lists_of_numbers_on_one_line():
    content = {"a": [1, 2.5, -3e-05], "b": {"c": ["x", "y"], "d": []}}
    written = stats.to_json(content)
    assert json.loads(written) == content
    assert "1, 2.5, -3e-05" in written
