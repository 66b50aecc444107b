"""Text normalisation."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core import text


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (
            "washington ah u_s_air six eighty six is ah with you level ten thousand\n",
            "WASHINGTON AH U S AIR SIX EIGHTY SIX IS AH WITH YOU LEVEL TEN THOUSAND",
        ),
        ("we're  number-two", "WERE NUMBER TWO"),
        ("we’re", "WERE"),
        ("o´clock", "OCLOCK"),
        ("[noise] turn (unintelligible) left <hes>", "TURN LEFT"),
        ("[a [b] c] d", "D"),
        ("{laugh} roger", "ROGER"),
        ("118.7 and 1/2, ok?", "118.7 AND 1/2 OK"),
        ("½ mile", "1/2 MILE"),
        ("lufthansa three two .", "LUFTHANSA THREE TWO"),
        ("roger .. bye / ciao", "ROGER BYE CIAO"),
        ("ROGER. 118.7. U.S. 1/2/", "ROGER 118.7 U.S 1/2"),
        ("wait...then… .5 /5 1..2", "WAIT THEN .5 5 1 2"),
        ("Ｆｌ３５０", "FL350"),
        ("Kraków ø Łódź Ærø straße", "KRAKOW O LODZ AERO STRASSE"),
        ("runway ٣٦", "RUNWAY 36"),
        ("flight–level—three", "FLIGHT LEVEL THREE"),
        ("[unclosed roger", "UNCLOSED ROGER"),
        ("(noise)\n", ""),
        ("\n", ""),
        ("дом", ""),
    ],
)
def test_normalized_texts(raw, wanted):
    assert text.normalize(raw) == wanted


@given(st.text())
def test_idempotent_and_within_the_alphabet(raw):
    once = text.normalize(raw)
    assert text.normalize(once) == once
    assert set(once) <= set(text.ALPHABET)
    assert once == " ".join(once.split())


@given(st.text())
def test_composed_and_decomposed_accents_are_equal(raw):
    assert text.normalize(unicodedata.normalize("NFD", raw)) == text.normalize(unicodedata.normalize("NFC", raw))


@given(st.text(alphabet="abcXYZ019 ./'"))
def test_letters_and_digits_are_kept(raw):
    kept = [char for char in raw.upper() if char.isalnum()]
    assert [char for char in text.normalize(raw) if char.isalnum()] == kept


def test_foreign_characters_are_those_that_normalize_removes():
    assert text.foreign_characters("climb дом é ½ [шум]") == "ДОМ"
    assert text.foreign_characters("plain, text – only!") == ""


def test_apostrophe_words():
    assert text.apostrophe_words("we're going, o'hare's tower (isn't) pilots' 'quoted") == ["WERE", "OHARES", "PILOTS"]


def test_nested_marks_are_removed():
    assert text.normalize("(" * 15 + "x" + ")" * 15 + " roger") == "ROGER"


@pytest.mark.parametrize("piece", ["x", "(", "(a", "<", "'x", "[a] ", "x'"])
def test_long_texts_take_linear_time(piece):
    long = piece * (1_000_000 // len(piece))
    text.normalize(long + ")")
    text.foreign_characters(long)
    text.apostrophe_words(long)
