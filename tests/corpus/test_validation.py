"""Validation over all rows: splits by group, duplicates."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.corpus.checks import Rejection
from atc_asr.corpus.clips import Row
from atc_asr.corpus.validation import assign_groups, reject_duplicates


def test_splits_have_about_their_fractions():
    groups = [f"s{number % 50}" for number in range(1000)]
    assigned = assign_groups(groups, {"valid": 0.1, "test": 0.2}, seed=1)
    counts = {split: sum(assigned[group] == split for group in groups) for split in ("train", "valid", "test")}
    assert counts == {"train": 700, "valid": 100, "test": 200}


def test_a_large_group_stays_in_train():
    groups = ["tower"] * 90 + [f"pilot{number}" for number in range(10)]
    for seed in range(20):
        assert assign_groups(groups, {"test": 0.05}, seed)["tower"] == "train"


def test_too_few_groups_are_an_error():
    with pytest.raises(InputError, match="2 groups are too few"):
        assign_groups(["a", "b"], {"valid": 0.1, "test": 0.1}, seed=1)


@given(st.lists(st.sampled_from("abcdefghij"), min_size=3), st.integers(0, 5), st.randoms())
def test_the_assignment_does_not_depend_on_order_and_no_split_is_empty(groups, seed, random):
    assume(len(set(groups)) >= 3)
    assigned = assign_groups(groups, {"valid": 0.2, "test": 0.2}, seed)
    assert set(assigned.values()) == {"train", "valid", "test"}
    random.shuffle(groups)
    assert assign_groups(groups, {"valid": 0.2, "test": 0.2}, seed) == assigned


def row(name, digest, split="train", rejection=None):
    return Row(name, split, 1.0, "ROGER", (), {}, 16000, -20.0, 4000.0, digest, rejection)


def test_duplicates_name_the_first_row():
    silence = Rejection("silence", "-70", "-60")
    rows = [
        row("a", "1", rejection=silence),
        row("b", "1"),
        row("b", "2"),
        row("c", "1"),
        row("d", "1", split="test"),
        row("e", "2"),
    ]
    wanted = [silence, None, Rejection("duplicate_id", "as b", "once"), Rejection("duplicate_audio", "as b", "once")]
    assert [row.rejection for row in reject_duplicates(rows, False)] == [*wanted, None, None]
    assert [row.rejection for row in reject_duplicates(rows, True)] == [*wanted[:3], None, None, None]
