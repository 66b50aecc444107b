"""The grammar: texts are plain words and agree with their columns; splits share no call sign and no fix."""

import collections
import dataclasses
import functools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.atc.vocabulary import words
from atc_asr.atc.vocabulary.words import AIRCRAFT, ALPHABET, DIGITS, group_words, is_tail
from atc_asr.core.errors import InputError
from atc_asr.core.text import normalize
from atc_asr.corpus import phraseology
from atc_asr.corpus.phraseology import (
    Speaker,
    SpeakingStyle,
    callsign_key,
    fixes,
    make_transmission,
    split_of,
    synthetic_operators,
)
from atc_asr.corpus.source import SPLITS

STYLE = SpeakingStyle(
    pilot_fraction=0.5,
    tail_fraction=0.3,
    group_fraction=0.6,
    variant_fraction=0.2,
    hesitation_fraction=0.1,
    max_words=24,
)
PLAIN_DIGITS = {word: str(number) for number, word in enumerate(DIGITS)} | {"niner": "9", "tree": "3", "fife": "5"}


@functools.cache
def transmissions(split: str, count: int, style: SpeakingStyle = STYLE) -> list[phraseology.Transmission]:
    return [make_transmission(split, np.random.default_rng(number), style) for number in range(count)]


def spoken_number(spoken: list[str]) -> str:
    """Digits of a flight number in group form or spelled: an independent implementation."""
    tens = {word: 10 * number for number, word in enumerate(words.TENS, start=2)}
    teens = {word: number for number, word in enumerate(words.TEENS, start=10)}
    text, place = "", 0
    while place < len(spoken):
        word = spoken[place]
        following = spoken[place + 1] if place + 1 < len(spoken) else ""
        if word in tens and PLAIN_DIGITS.get(following, "0") != "0":
            text, place = text + str(tens[word] + int(PLAIN_DIGITS[following])), place + 2
            continue
        text += {"hundred": "00", "oh": "0"}.get(word) or str(tens.get(word) or teens.get(word) or PLAIN_DIGITS[word])
        place += 1
    return text


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (7, "seven"),
        (45, "forty five"),
        (40, "forty"),
        (12, "twelve"),
        (500, "five hundred"),
        (605, "six oh five"),
        (686, "six eighty six"),
        (610, "six ten"),
        (1000, "ten hundred"),
        (2104, "twenty one oh four"),
        (9999, "ninety nine ninety nine"),
    ],
)
def test_group_form(number: int, words: str) -> None:
    assert group_words(number) == words


@given(st.integers(1, 9999))
def test_group_form_has_every_digit(number: int) -> None:
    assert spoken_number(group_words(number).split()) == str(number)


@given(st.sampled_from(SPLITS), st.integers(0, 2**32), st.integers(16, 40))
def test_text_is_plain_words_within_bounds(split: str, seed: int, max_words: int) -> None:
    style = dataclasses.replace(STYLE, max_words=max_words)
    transmission = make_transmission(split, np.random.default_rng(seed), style)
    text = transmission.text
    assert re.fullmatch(r"[a-z]+( [a-z]+)*", text)
    assert normalize(text) == text.upper()
    assert normalize(normalize(text)) == normalize(text)
    assert 3 <= len(text.split()) <= max_words


def test_the_same_seed_makes_the_same_text() -> None:
    again = [make_transmission("train", np.random.default_rng(number), STYLE) for number in range(50)]
    assert transmissions("train", 50) == again
    assert len({transmission.text for transmission in transmissions("train", 1000)}) > 980


def test_the_callsign_column_matches_the_text() -> None:
    telephony = {operator.icao: operator.telephony for operator in synthetic_operators()}
    letters = {word: word[0].upper() for word in ALPHABET}
    for transmission in transmissions("train", 1000):
        callsign = transmission.callsign
        assert f" {callsign.words} " in f" {transmission.text} "
        words = callsign.words.removesuffix(" heavy")
        if is_tail(callsign.icao):
            prefix, *letters_and_digits = words.split()
            assert prefix in ("november", *AIRCRAFT)
            spelled = "".join(PLAIN_DIGITS.get(word) or letters[word] for word in letters_and_digits)
            assert spelled in (callsign.icao[1:], callsign.icao[-3:])
            assert re.fullmatch(r"N[1-9](\d{2,4}|\d{1,3}[A-HJ-NP-Z]|\d{1,2}[A-HJ-NP-Z]{2})", callsign.icao)
        else:
            icao, number = callsign.icao[:3], callsign.icao[3:]
            assert words.startswith(telephony[icao] + " ")
            assert spoken_number(words.removeprefix(telephony[icao]).split()) == number


def test_controllers_give_orders_and_pilots_do_not() -> None:
    orders = re.compile(r"\b(turn (left|right)|climb and|descend and|contact|reduce speed)\b")
    by_role = {"controller": [], "pilot": []}
    for transmission in transmissions("train", 1000):
        by_role[transmission.role].append(transmission)
    assert 400 < len(by_role["pilot"]) < 600
    assert sum(bool(orders.search(one.text)) for one in by_role["controller"]) > 150
    for one in by_role["pilot"]:
        assert not re.search(r"\b(turn (left|right) heading|climb and maintain|descend and maintain)\b", one.text)
    # controllers begin with the callsign
    for one in by_role["controller"]:
        assert re.sub(r"^(ah|uh) ", "", one.text).startswith(one.callsign.words)


def test_fractions_of_tails_and_hesitations() -> None:
    made = transmissions("train", 2000)
    words = [len(one.text.split()) for one in made]
    # ATC0 has 11.9 words a transmission
    assert 11 < np.mean(words) < 13
    fractions = {
        "tail": np.mean([is_tail(one.callsign.icao) for one in made]),
        "hesitation": np.mean([bool(re.search(r"\b(ah|uh)\b", one.text)) for one in made]),
    }
    # 4 standard errors of 2,000 draws
    assert fractions["tail"] == pytest.approx(0.3, abs=0.041)
    assert fractions["hesitation"] == pytest.approx(0.1, abs=0.027)


def test_fractions_of_zero_disable_hesitations_and_variants() -> None:
    calm = dataclasses.replace(STYLE, variant_fraction=0.0, hesitation_fraction=0.0)
    words = {word for one in transmissions("train", 500, calm) for word in one.text.split()}
    assert not words & {"ah", "uh", "niner", "tree", "fife"}


def test_train_has_every_digit_and_letter() -> None:
    counts = collections.Counter(word for one in transmissions("train", 2000) for word in one.text.split())
    for word in (*DIGITS, *ALPHABET, *words.TEENS, *words.TENS, "niner", "oh", "hundred", "thousand"):
        assert counts[word] >= 10, word


def test_splits_share_no_callsign_no_short_tail_no_fix() -> None:
    callsigns = {split: {callsign_key(one.callsign.icao) for one in transmissions(split, 1000)} for split in SPLITS}
    texts = {split: {one.text for one in transmissions(split, 1000)} for split in SPLITS}
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not callsigns[one] & callsigns[other]
        assert not texts[one] & texts[other]
        assert not set(fixes(one)) & set(fixes(other))
    assert {split: len(fixes(split)) > 15 for split in SPLITS} == dict.fromkeys(SPLITS, True)


def test_the_split_of_a_name_never_changes() -> None:
    # A change would move callsigns between train and test of existing corpora.
    names = ("UAL686", "DAL12", "SWA4", "5AB", "kokab", "bodak")
    assert [split_of(name) for name in names] == ["train", "train", "train", "valid", "test", "test"]
    unique = np.unique([split_of(f"UAL{number}") for number in range(1, 5001)], return_counts=True)
    counts = dict(zip(*unique, strict=True))
    assert counts["train"] / 5000 == pytest.approx(0.7, abs=0.03)
    assert counts["test"] / 5000 == pytest.approx(0.2, abs=0.03)


def test_fixes_are_five_letters_and_differ_from_other_words() -> None:
    other = {word for one in transmissions("train", 500) for word in one.text.split() if word not in fixes("train")}
    for split in SPLITS:
        assert all(re.fullmatch(r"[a-z]{5}", fix) for fix in fixes(split))
        assert not set(fixes(split)) & other


def test_quantities_are_in_range() -> None:
    speaker = Speaker(
        "train", np.random.default_rng(3), dataclasses.replace(STYLE, group_fraction=0.0, variant_fraction=0.0)
    )
    for _ in range(300):
        heading = spoken_number(speaker.heading().split())
        assert len(heading) == 3 and 10 <= int(heading) <= 360
        squawk = spoken_number(speaker.squawk().split())
        assert re.fullmatch(r"[0-7]{4}", squawk)
        frequency = spoken_number([word for word in speaker.frequency().split() if word not in ("point", "decimal")])
        assert re.fullmatch(r"1(1[89]|2\d|3[0-5])\d{1,2}", frequency)
        runway = speaker.runway().split()
        assert 1 <= int(spoken_number([word for word in runway if word in PLAIN_DIGITS])) <= 36


def test_a_too_small_limit_of_words_is_an_error() -> None:
    with pytest.raises(InputError, match="max_words: got 4"):
        transmissions(
            "train",
            20,
            dataclasses.replace(STYLE, tail_fraction=1.0, group_fraction=0.0, variant_fraction=0.0, max_words=4),
        )


def test_operators_of_a_file_are_spoken(tmp_path):
    (tmp_path / "operators.csv").write_text("icao,telephony\nKST,Kistler Air\n")
    style = dataclasses.replace(STYLE, operators=str(tmp_path / "operators.csv"), tail_fraction=0.0)
    rng = np.random.default_rng(0)
    callsigns = [make_transmission("train", rng, style).callsign for _ in range(400)]
    spoken = {one.words.rpartition(" air ")[0] for one in callsigns if one.icao.startswith("KST")}
    assert spoken == {"kistler"} and len({one.icao[:3] for one in callsigns}) > 10
