"""ICAO forms of call signs, and their short forms."""

import pytest

from atc_asr.atc.vocabulary.callsigns import icao_form, is_registration, is_short_form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("DLH465  ", "DLH465"), ("dal2181", "DAL2181"), ("N-123AB", "N123AB"), ("AAL022", "AAL22"),
        ("CSA 1DZ", "CSA1DZ"),
        ("OK-PMB", "OKPMB"), ("OKPMB", "OKPMB"), ("D-EMKL", "DEMKL"), ("HB-KFB", "HBKFB"), ("JA8119", "JA8119"),
        ("HL7423", "HL7423"), ("RA-02801", "RA02801"), ("9V-SKA", "9VSKA"), ("B-18901", "B18901"),
        ("BAW12AB", "BAW12AB"),
        ("UPS2917", "UPS2917"), ("VNA123", "VNA123"), ("N1", "N1"),
    ],
)  # fmt: skip
def test_forms(text, form):
    assert icao_form(text) == form


@pytest.mark.parametrize("text", ["", "DELTA ONE", "N123ABC", "N0A", "AB12", "QQ-ABC", "1234", "D1-1", "AAL123456"])
def test_texts_that_are_no_callsign(text):
    assert icao_form(text) is None


def test_flights_are_no_registrations():
    assert not any(map(is_registration, ("BAW12", "JAL751", "UPS2917", "HLF4617", "EWG5KT", "HKE862", "CSA1DZ")))


@pytest.mark.parametrize(
    ("short", "whole", "same"),
    [
        ("OMB", "OKPMB", True), ("OKB", "OKPMB", True), ("OMP", "OKPMB", False), ("N3AB", "N123AB", True),
        ("*3AB", "N123AB", True), ("*4AB", "N123AB", False), ("*64VN", "EZY64VN", True), ("CZ", "HBZCZ", True),
        ("UAECQ", "UAE5CQ", True), ("UAECQ", "QTR5CQ", False), ("DLH465", "DLH465", True), ("DLH46", "DLH465", False),
        ("DAL", "DAL2181", False),
    ],
)  # fmt: skip
def test_short_forms(short, whole, same):
    assert is_short_form(short, whole) is same
