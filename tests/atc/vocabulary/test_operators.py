"""The table of operators, and those of a user's file."""

import re
from collections import Counter
from pathlib import Path

import pytest

from atc_asr.atc.vocabulary.operators import load_operators, phraseology, read_operators
from atc_asr.atc.vocabulary.words import ALPHABET
from atc_asr.core.errors import InputError

OPERATORS = load_operators()


def find(name: str, operators=OPERATORS):
    return operators.find(name.split(), 0)


def test_the_table_is_consistent():
    rows = read_operators()
    assert len({row.icao for row in rows}) >= 1500
    assert max(Counter((row.icao, row.telephony) for row in rows).values()) == 1
    for row in rows:
        assert re.fullmatch(r"[A-Z]{3}", row.icao)
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", row.telephony)
        assert re.fullmatch(r"(\d{4})?", row.until) and row.country
    assert 40 <= sum(row.synthetic for row in rows) < 100


def test_no_name_is_a_letter_of_the_radio_alphabet_but_delta():
    assert {row.telephony for row in read_operators()} & set(ALPHABET) == {"delta"}


@pytest.mark.parametrize(
    ("name", "icao"),
    [
        ("SWISSAIR", "SWR"), ("SABENA", "SAB"), ("AERO LLOYD", "AEF"), ("LUXAIR", "LGL"), ("EGYPTAIR", "MSR"),
        ("AIR BERLIN", "BER"), ("CHINA EASTERN", "CES"), ("XIAMEN AIR", "CXA"), ("AIR FRANS", "AFR"),
        ("AIR FRANCE", "AFR"), ("AIRFRANS", "AFR"), ("U S AIR", "USA"), ("USAIR", "USA"), ("T W A", "TWA"),
        ("RYAN AIR", "RYR"), ("CRITTER", "VJA"), ("CACTUS", "AWE"), ("KOREAN AIR", "KAL"),
    ],
)  # fmt: skip
def test_names_of_today_and_of_the_recordings(name, icao):
    assert find(f"{name} ONE TWO") == (icao, len(name.split()))


def test_the_longest_name_is_found():
    assert find("AIR CHINA ONE") == ("CCA", 2)
    assert find("AIR CHINO ONE") is None


def test_a_name_of_two_operators_is_ambiguous():
    assert find("MIDLAND ONE TWO") == (None, 1)


def test_operators_of_a_file_come_first(tmp_path: Path):
    (tmp_path / "operators.csv").write_text("icao,telephony,note\nbmr,Midland,\nKST,Kistler Air,x\n", encoding="utf-8")
    operators = load_operators(str(tmp_path / "operators.csv"))
    assert find("MIDLAND ONE", operators) == ("BMR", 1)
    assert find("KISTLER AIR ONE", operators) == ("KST", 2)
    assert find("LUFTHANSA ONE", operators) == ("DLH", 1)
    assert operators.names["KST"][0] == "kistler air"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("icao,name\n", r"x.csv:1: got columns \['icao', 'name'\], wanted icao and telephony"),
        ("icao,telephony\nKST,kistler\nKS,air\n", r"x.csv:3: got icao 'KS', wanted three letters"),
        ("icao,telephony\nKST,\n", r"x.csv:2: got telephony '', wanted words of letters"),
        ("icao,telephony\nKST\n", r"x.csv:2: got telephony ''"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, content, message):
    (tmp_path / "x.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_operators(str(tmp_path / "x.csv"))
    with pytest.raises(InputError, match=r"absent.csv: cannot be read"):
        load_operators(str(tmp_path / "absent.csv"))


def test_phraseology_has_no_letters_of_the_radio_alphabet():
    assert not phraseology() & {word.upper() for word in ALPHABET}
