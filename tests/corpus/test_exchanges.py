"""Synthetic exchanges: readbacks agree with their clearances but for the planted error."""

import numpy as np
import pytest

from atc_asr.atc.grammar.spoken_numbers import fold_groups
from atc_asr.core.text import normalize
from atc_asr.corpus.exchanges import ACKNOWLEDGEMENTS, ERRORS, Exchange, make_call, make_exchange
from atc_asr.corpus.phraseology import SpeakingStyle, Transmission, split_of

STYLE = SpeakingStyle(pilot_fraction=0.5, group_fraction=0.6)


def make(error: str, count: int = 40, split: str = "test") -> list[Exchange]:
    rng = np.random.default_rng(1)
    return [make_exchange(split, rng, STYLE, error) for _ in range(count)]


def numbers(transmission: Transmission) -> set[str]:
    """The numbers of a transmission without its call sign, as digits."""
    found: set[str] = set()
    for clause in transmission.clauses:
        words = fold_groups(normalize(clause).split()) if clause != transmission.callsign.words else []
        found |= set("".join(word if word.isdigit() else " " for word in words if word != "POINT").split())
    return found


def test_the_same_generator_makes_the_same_exchanges():
    assert make("digit", 5) == make("digit", 5)


@pytest.mark.parametrize("error", ["", *ERRORS])
def test_a_clearance_begins_with_the_call_sign_and_both_are_short(error):
    for one in make(error):
        assert one.clearance.role == "controller" and one.readback.role == "pilot" and one.error == error
        assert one.clearance.clauses[0] == one.clearance.callsign.words
        assert one.readback.callsign.words in one.readback.clauses
        assert len(one.clearance.text.split()) <= 24


def test_without_an_error_the_readback_has_only_values_of_the_clearance():
    for one in make("", 200):
        assert one.readback.callsign.icao == one.clearance.callsign.icao
        assert numbers(one.readback) <= numbers(one.clearance), one


def test_a_changed_digit_changes_a_number():
    for one in make("digit", 100):
        assert len(numbers(one.readback) - numbers(one.clearance)) == 1, one


def test_a_swapped_side_is_not_in_the_clearance():
    sides = [[word for word in side.text.split() if word in ("left", "right")] for one in make("side", 100)
             for side in (one.clearance, one.readback)]  # fmt: skip
    assert all(read and cleared != read for cleared, read in zip(sides[::2], sides[1::2], strict=True))


def test_the_wrong_call_sign_is_that_of_another_aircraft_with_the_same_first_word():
    for one in make("callsign"):
        assert one.readback.callsign.icao != one.clearance.callsign.icao
        assert one.readback.callsign.words.split()[0] == one.clearance.callsign.words.split()[0]


def test_an_omission_leaves_an_instruction_out():
    for one in make("omission"):
        clauses = [clause for clause in one.readback.clauses if clause != one.readback.callsign.words]
        assert len(clauses) < len(one.clearance.clauses) - 1 or clauses[0] in ACKNOWLEDGEMENTS


def test_a_registration_may_be_shortened_in_the_readback():
    tails = [one for one in make("", 200) if one.clearance.callsign.icao[1].isdigit()]
    shorter = [one for one in tails if len(one.readback.callsign.words) < len(one.clearance.callsign.words)]
    assert 0 < len(shorter) < len(tails)


def test_calls_are_of_pilots_and_of_the_split():
    rng = np.random.default_rng(1)
    calls = [make_call("test", rng, STYLE) for _ in range(50)]
    assert {one.role for one in calls} == {"pilot"}
    flights = [one.callsign.icao for one in calls if not one.callsign.icao[1].isdigit()]
    assert flights and {split_of(icao) for icao in flights} == {"test"}
