"""Leakage between splits."""

import pytest

from atc_asr.core.errors import InputError
from atc_asr.corpus import leakage
from atc_asr.corpus.clips import Row


def row(name, transcript, digest, **columns):
    return Row(name, "", 1.0, transcript, (), columns, 16000, -20.0, 4000.0, digest, None)


SPLITS = {
    "train": [row("a", "TURN LEFT", "1", speaker="x"), row("b", "ROGER", "2", speaker="y")],
    "test": [
        row("c", "ROGER", "3", speaker="x"),
        row("d", "WILCO", "2", speaker="z"),
        row("e", "OK", "5", speaker="z"),
    ],
}


def test_report():
    assert leakage.report(SPLITS) == {
        "identical_audio": {"train-test": 1},
        "test": {
            "transcripts_seen_in_train": 0.333333,
            "columns": {"speaker": {"values": 2, "shared_values": 1, "utterances_shared": 0.333333}},
        },
    }


def test_empty_columns_are_not_shared():
    splits = {"train": [row("a", "A", "1", speaker="")], "test": [row("b", "B", "2", speaker="")]}
    assert leakage.report(splits)["test"]["columns"]["speaker"]["utterances_shared"] == 0.0


def test_shared_audio_is_an_error_that_names_the_pairs():
    with pytest.raises(InputError, match=r"1 clips of train-test have identical audio \(b = d\)"):
        leakage.check_shared_audio(SPLITS)
    leakage.check_shared_audio({"train": SPLITS["train"]})
