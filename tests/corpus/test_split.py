import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.corpus.split import assign_groups


def test_every_split_gets_about_its_share():
    groups = [f"s{number % 50}" for number in range(1000)]
    assigned = assign_groups(groups, {"valid": 0.1, "test": 0.2}, seed=1)
    counts = {split: sum(assigned[group] == split for group in groups) for split in ("train", "valid", "test")}
    assert counts == {"train": 700, "valid": 100, "test": 200}


def test_a_giant_group_stays_in_train():
    groups = ["tower"] * 90 + [f"pilot{number}" for number in range(10)]
    for seed in range(20):
        assert assign_groups(groups, {"test": 0.05}, seed)["tower"] == "train"


def test_too_few_groups():
    with pytest.raises(InputError, match="2 groups are too few"):
        assign_groups(["a", "b"], {"valid": 0.1, "test": 0.1}, seed=1)


@given(st.lists(st.sampled_from("abcdefghij"), min_size=3), st.integers(0, 5), st.randoms())
def test_order_does_not_matter_and_no_split_is_empty(groups, seed, random):
    assume(len(set(groups)) >= 3)
    assigned = assign_groups(groups, {"valid": 0.2, "test": 0.2}, seed)
    assert set(assigned.values()) == {"train", "valid", "test"}
    random.shuffle(groups)
    assert assign_groups(groups, {"valid": 0.2, "test": 0.2}, seed) == assigned
