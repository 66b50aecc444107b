"""Files of expected call signs, and their spoken forms."""

import logging
from pathlib import Path

import pytest

from atc_asr.core.errors import InputError
from atc_asr.decoding.boost import CallsignBoost, ExpectedCallsign, read_expected, spoken_forms

NAMES = {"DAL": ["delta"], "BAW": ["speedbird"], "ACA": ["air canada"], "SWR": ["swiss", "swissair"]}


@pytest.mark.parametrize(
    ("callsign", "forms"),
    [
        ("DAL686", {"DELTA SIX EIGHT SIX", "DELTA SIX EIGHTY SIX"}),
        ("DAL2104", {"DELTA TWO ONE ZERO FOUR", "DELTA TWO ONE OH FOUR", "DELTA TWENTY ONE OH FOUR"}),
        ("DAL500", {"DELTA FIVE ZERO ZERO", "DELTA FIVE HUNDRED", "DELTA FIFE ZERO ZERO"}),
        ("ACA9", {"AIR CANADA NINE", "AIR CANADA NINER"}),
        ("BAW12AB", {"SPEEDBIRD ONE TWO ALPHA BRAVO", "SPEEDBIRD TWELVE ALPHA BRAVO"}),
        ("N123AB", {"NOVEMBER ONE TWO THREE ALPHA BRAVO", "NOVEMBER THREE ALPHA BRAVO", "THREE ALPHA BRAVO"}),
        ("SWR12", {"SWISS ONE TWO", "SWISSAIR TWELVE"}),
        ("OKPMB", {"OSCAR KILO PAPA MIKE BRAVO", "OSCAR MIKE BRAVO"}),
        ("XYZ12", {"XRAY YANKEE ZULU ONE TWO", "X Y Z ONE TWO", "X Y Z TWELVE"}),
    ],
)
def test_spoken_forms(callsign: str, forms: set[str]) -> None:
    spoken = spoken_forms(callsign, NAMES)
    assert forms <= set(spoken)
    assert len(set(spoken)) == len(spoken)


def test_forms_of_file_and_time() -> None:
    boost = CallsignBoost(
        [
            ExpectedCallsign("N1A", None, 0.0, float("inf")),
            ExpectedCallsign("N2B", "tape", 10.0, 20.0),
            ExpectedCallsign("N3C", "other", 0.0, 5.0),
        ]
    )
    assert "TWO BRAVO" not in boost.forms("tape", 0.0, 9.0)
    assert "NOVEMBER TWO BRAVO" in boost.forms("tape", 19.0, 30.0)
    assert "NOVEMBER ONE ALPHA" in boost.forms("elsewhere", 0.0, 1.0)
    assert not any("CHARLIE" in form for form in boost.forms("tape", 0.0, 100.0))


def test_forms_of_icao_are_folded(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("callsign,file,start,end\n qqq012 ,tape,1.5,\nN-7A,,,\nok-pmb,,,\n")
    assert read_expected(tmp_path / "x.csv") == [
        ExpectedCallsign("QQQ12", "tape", 1.5, float("inf")),
        ExpectedCallsign("N7A", None, 0.0, float("inf")),
        ExpectedCallsign("OKPMB", None, 0.0, float("inf")),
    ]


def test_operators_without_a_name_are_spelled_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = [ExpectedCallsign("QQQ12", None, 0.0, float("inf"))]
    with caplog.at_level(logging.WARNING):
        assert "QUEBEC QUEBEC QUEBEC ONE TWO" in CallsignBoost(expected).forms("a", 0.0, 1.0)
    assert "operator QQQ has no telephony name" in caplog.text
    caplog.clear()
    (tmp_path / "operators.csv").write_text("icao,telephony\nQQQ,quack\n")
    assert "QUACK ONE TWO" in CallsignBoost(expected, tmp_path / "operators.csv").forms("a", 0.0, 1.0)
    assert not caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sign\nDAL1\n", r"x\.csv:1: got columns \['sign'\]"),
        ("callsign,altitude\nDAL1,3\n", r"x\.csv:1: got columns"),
        ("callsign\nDELTA ONE\n", r"x\.csv:2: got callsign 'DELTA ONE', wanted ICAO form"),
        ("callsign,start\nDAL1,soon\n", r"x\.csv:2: start: got 'soon', wanted seconds"),
        ("callsign,start,end\nDAL1,5,2\n", "wanted start <= end"),
        ("callsign\n", "no call signs"),
    ],
)
def test_message_names_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_expected(tmp_path / "x.csv")
