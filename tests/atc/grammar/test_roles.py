"""Roles of speakers, from utterances whose speaker is certain by ICAO Doc 9432 and the AIM."""

import numpy as np
import pytest

from atc_asr.atc.grammar.roles import tell_role
from atc_asr.atc.grammar.slots import read_slots
from atc_asr.corpus import phraseology


def role_of(text: str):
    words = text.split()
    return tell_role(words, read_slots(words))


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("UNITED SIX EIGHTY SIX TURN LEFT HEADING TWO SEVEN ZERO", "controller"),
        ("LEFT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX", "pilot"),
        ("BOSTON APPROACH UNITED SIX EIGHTY SIX LEVEL ONE ZERO THOUSAND", "pilot"),
        ("UNITED SIX EIGHTY SIX BOSTON APPROACH ROGER", "controller"),
        ("UH UNITED SIX EIGHTY SIX IS WITH YOU LEVEL TEN THOUSAND", "pilot"),
        ("GOOD MORNING LUFTHANSA FIVE MIKE RADAR CONTACT", "controller"),
        ("LUFTHANSA FIVE MIKE REQUEST DESCENT", "pilot"),
        ("LUFTHANSA FIVE MIKE SAY REQUEST", "controller"),
        ("LUFTHANSA FIVE MIKE REPORT PASSING FLIGHT LEVEL ONE HUNDRED", "controller"),
        ("WE ARE PASSING FLIGHT LEVEL ONE HUNDRED", "pilot"),
        ("WILCO", "pilot"),
        ("TRAFFIC IN SIGHT DELTA TWELVE", "pilot"),
        ("DELTA TWELVE TRAFFIC TWO O CLOCK FIVE MILES REPORT IN SIGHT", "controller"),
        ("U S AIR ONE FIFTY FOUR REDUCE SPEED TO ONE SEVEN ZERO", "controller"),
    ],
)
def test_roles(text, role):
    assert role_of(text)[0] == role


@pytest.mark.parametrize("text", ["", "ROGER", "DELTA TWELVE", "SIX FIVE"])
def test_words_that_both_say_tell_nothing(text):
    assert role_of(text) == (None, None)


def test_more_signs_make_the_role_surer():
    likely, surer = (role_of(text)[1] for text in ("DELTA TWELVE GOOD MORNING HEAVY RAIN",
                                                   "DELTA TWELVE BOSTON APPROACH RADAR CONTACT TURN LEFT"))  # fmt: skip
    assert 0.5 < likely < surer <= 1


def test_roles_of_the_synthetic_corpus():
    """Its generator is independent of the grammar."""
    style = phraseology.SpeakingStyle(pilot_fraction=0.5, group_fraction=0.6)
    rng = np.random.default_rng(5)
    made = [phraseology.make_transmission("train", rng, style) for _ in range(500)]
    told = [(one.role, *role_of(one.text.upper())) for one in made]
    assert np.mean([role == found for role, found, _ in told]) > 0.9
    sure = [role == found for role, found, confidence in told if confidence and confidence > 0.95]
    assert len(sure) > 100 and np.mean(sure) > 0.98
