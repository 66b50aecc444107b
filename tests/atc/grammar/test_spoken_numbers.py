"""Spoken numbers, group form and digit by digit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.atc.grammar.spoken_numbers import fold_digits, fold_groups, join_digits, join_value, read_run
from atc_asr.atc.vocabulary import words


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("SIX EIGHTY SIX", "686"),
        ("TWENTY ONE OH FOUR", "2104"),
        ("TWENTY OH FOUR", "2004"),
        ("TWELVE HUNDRED", "1200"),
        ("FIVE HUNDRED TWELVE", "512"),
        ("TWO HUNDRED AND TEN", "210"),
        ("TWO THOUSAND", "2000"),
        ("NINER TREE FIFE", "935"),
        ("TRIPLE SEVEN", "777"),
        ("686", "686"),
    ],
)
def test_digits_as_they_are_said(text, digits):
    assert join_digits(read_run(text.split(), 0)) == digits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ONE ZERO THOUSAND", 10000),
        ("TEN THOUSAND FIVE HUNDRED", 10500),
        ("ONE ZERO TEN THOUSAND", 10000),
        ("ONE ONE THOUSAND", 11000),
        ("TWENTY FIVE HUNDRED", 2500),
        ("TWO THOUSAND THREE THOUSAND", None),
        ("ONE TWO POINT FIVE", None),
    ],
)
def test_values(text, value):
    assert join_value(read_run(text.split(), 0)) == value


@pytest.mark.parametrize("text", ["", "HEADING", "HUNDRED", "O CLOCK", "OH OKAY", "POINT"])
def test_no_number_begins_here(text):
    assert read_run(text.split() or [""], 0) == []


@given(st.integers(1, 9999))
def test_group_form_and_single_digits_are_the_same_number(number):
    grouped = words.group_words(number).upper().split()
    single = [words.DIGITS[int(digit)].upper() for digit in str(number)]
    assert join_digits(read_run(grouped, 0)) == str(number)
    assert fold_groups(grouped) == fold_groups(single) == list(str(number))


def test_digits_fold_without_their_groups():
    assert fold_digits("NINER 9 SIXTY 27.5 DECIMAL".split()) == ["9", "9", "SIXTY", "2", "7", "POINT", "5", "POINT"]


def test_groups_fold_within_other_words():
    assert fold_groups("CLIMB ONE ZERO THOUSAND NOW".split()) == ["CLIMB", "1", "0", "0", "0", "0", "NOW"]
    assert fold_groups("ONE TWENTY FOUR POINT SIX".split()) == ["1", "2", "4", "POINT", "6"]
