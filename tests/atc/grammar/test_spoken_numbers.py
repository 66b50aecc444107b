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
def test_digits(text, digits):
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
def test_words_that_begin_no_number(text):
    assert read_run(text.split() or [""], 0) == []


@given(st.integers(1, 9999))
def test_group_form_and_single_digits_give_the_same_number(number):
    grouped = words.group_words(number).upper().split()
    single = [words.DIGITS[int(digit)].upper() for digit in str(number)]
    assert join_digits(read_run(grouped, 0)) == str(number)
    assert fold_groups(grouped) == fold_groups(single) == list(str(number))


def test_fold_digits_leaves_group_form():
    assert fold_digits("NINER 9 SIXTY 27.5 DECIMAL".split()) == ["9", "9", "SIXTY", "2", "7", "POINT", "5", "POINT"]


def test_letters_after_written_digits_are_spelled():
    for fold in (fold_digits, fold_groups):
        assert fold("RUNWAY 26R SPEEDBIRD 27G".split()) == ["RUNWAY", "2", "6", "RIGHT", "SPEEDBIRD", "2", "7", "GOLF"]


def test_thousands_that_lost_their_comma():
    assert fold_groups("10 000 FEET".split()) == [*"10000", "FEET"]
    assert fold_groups("DESCEND 1 500".split()) == ["DESCEND", *"1500"]


def test_fold_groups():
    assert fold_groups("CLIMB ONE ZERO THOUSAND NOW".split()) == ["CLIMB", "1", "0", "0", "0", "0", "NOW"]
    assert fold_groups("ONE TWENTY FOUR POINT SIX".split()) == ["1", "2", "4", "POINT", "6"]
