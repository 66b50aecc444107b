"""Counts by sclite's rules, against the counts of the program sclite."""

import csv
from pathlib import Path

import pytest

from atc_asr.scoring import sclite
from atc_asr.wer import wer

SCLITE_COUNTS = Path(__file__).with_name("sclite_counts.csv")


def read_sclite_counts() -> list[dict[str, str]]:
    lines = [line for line in SCLITE_COUNTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


@pytest.mark.parametrize("row", read_sclite_counts())
def test_counts_equal_those_of_sclite(row):
    found = sclite.count_edits(row["ref"].split(), row["hyp"].split())
    assert (found.hits, found.substitutions, found.deletions, found.insertions) == tuple(
        int(row[name]) for name in ("correct", "substitutions", "deletions", "insertions")
    )


def test_the_table_has_pairs_that_jiwer_counts_differently():
    ours = [wer.count_edits(row["ref"].split(), row["hyp"].split()) for row in read_sclite_counts()]
    theirs = [sclite.count_edits(row["ref"].split(), row["hyp"].split()) for row in read_sclite_counts()]
    assert sum(one != other for one, other in zip(ours, theirs, strict=True)) >= 40
    assert all(one.errors <= other.errors for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("ref", "hyp"), [("", ""), ("A B", ""), ("", "A B"), ("A B", "A B")])
def test_empty_and_equal_texts(ref, hyp):
    assert sclite.count_edits(ref.split(), hyp.split()) == wer.count_edits(ref.split(), hyp.split())


def test_corpus_counts_are_sums_without_empty_references():
    scored = [wer.score_pair(wer.Pair(*texts)) for texts in (("a", "A B", "B C"), ("b", "A", ""), ("c", "", "A"))]
    assert sclite.count_corpus(scored) == wer.Counts(hits=1, deletions=2, insertions=1)
