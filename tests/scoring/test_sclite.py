"""Counts by sclite's rules, against what sclite itself counted."""

import csv
from pathlib import Path

import pytest

from atc_asr.scoring import sclite
from atc_asr.wer import wer

COUNTED = Path(__file__).with_name("sclite_counts.csv")


def read_counted() -> list[dict[str, str]]:
    lines = [line for line in COUNTED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


@pytest.mark.parametrize("row", read_counted())
def test_counts_are_those_of_sclite(row):
    found = sclite.count_edits(row["ref"].split(), row["hyp"].split())
    assert (found.hits, found.substitutions, found.deletions, found.insertions) == tuple(
        int(row[name]) for name in ("correct", "substitutions", "deletions", "insertions")
    )


def test_the_table_holds_pairs_that_jiwer_counts_otherwise():
    ours = [wer.count_edits(row["ref"].split(), row["hyp"].split()) for row in read_counted()]
    theirs = [sclite.count_edits(row["ref"].split(), row["hyp"].split()) for row in read_counted()]
    assert sum(one != other for one, other in zip(ours, theirs, strict=True)) >= 40
    assert all(one.errors <= other.errors for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("ref", "hyp"), [("", ""), ("A B", ""), ("", "A B"), ("A B", "A B")])
def test_empty_sides_and_equal_ones(ref, hyp):
    assert sclite.count_edits(ref.split(), hyp.split()) == wer.count_edits(ref.split(), hyp.split())


def test_a_corpus_adds_up_and_leaves_empty_references_out():
    scored = [wer.score_pair(wer.Pair(*texts)) for texts in (("a", "A B", "B C"), ("b", "A", ""), ("c", "", "A"))]
    assert sclite.count_corpus(scored) == wer.Counts(hits=1, deletions=2, insertions=1)
