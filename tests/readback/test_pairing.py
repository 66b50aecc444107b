"""Readback: which transmission answers a clearance, and what is wrong in it."""

from dataclasses import replace

import pytest

from atc_asr.atc.grammar.structure import add_slots
from atc_asr.hypotheses.hypotheses import Hypothesis, Word
from atc_asr.readback.pairing import find_exchanges
from atc_asr.readback.transcript import Transmission

TURN = "UNITED SIX EIGHTY SIX TURN LEFT HEADING TWO SEVEN ZERO"


def said(text: str, start: float, confidence: float | None = None, role: str | None = None) -> Transmission:
    """A transmission of three seconds; `role` is a label, without one the words tell it."""
    words = text.split()
    listed = tuple(Word(word, start, start, confidence) for word in words) if confidence is not None else ()
    hypothesis = add_slots(Hypothesis(f"a#{start:g}", text, words=listed))
    if role:
        hypothesis = replace(hypothesis, role=role, role_confidence=None)
    return Transmission("a.wav", start, start + 3, hypothesis)


def dialogue(*texts: str) -> list[Transmission]:
    """Transmissions, one every four seconds."""
    return [said(text, 4.0 * number) for number, text in enumerate(texts)]


def judge(*texts: str) -> list[tuple]:
    """(kind, cleared, read, result) of the slots of the only exchange, those of call signs left out where correct."""
    ((exchange,), _) = find_exchanges(dialogue(*texts), 20, 0.5)
    found = [(slot.kind, slot.cleared, slot.read, slot.result) for slot in exchange.slots]
    faults = any(result == "wrong" or (result == "missing" and kind != "callsign") for kind, _, _, result in found)
    assert exchange.alert == faults
    return [one for one in found if one[0] != "callsign" or one[3] != "correct"]


CASES = [
    ("LEFT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX", ["correct", "correct"]),
    ("LEFT TO TWO SEVEN ZERO UNITED SIX EIGHT SIX", ["correct", "correct"]),
    ("UNITED SIX EIGHTY SIX LEFT TURN HEADING TWO SEVEN ZERO", ["correct", "correct"]),
    ("LEFT TURN TWO SEVENTY UNITED SIX EIGHTY SIX", ["correct", "correct"]),
    ("LEFT HEADING TWO NINE ZERO UNITED SIX EIGHTY SIX", ["correct", "wrong 290"]),
    ("RIGHT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX", ["wrong RIGHT", "correct"]),
    ("HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX", ["missing", "correct"]),
    ("ROGER UNITED SIX EIGHTY SIX", ["missing", "missing"]),
    ("TWO SEVEN ZERO UNITED SIX EIGHTY SIX", ["missing", "correct"]),
    ("LEFT HEADING TWO SEVEN UNITED SIX EIGHTY SIX", ["correct", "unreadable"]),
]


@pytest.mark.parametrize(("readback", "wanted"), CASES)
def test_a_turn_is_compared_with_its_side(readback, wanted):
    found = judge(TURN, readback)
    assert [one[:2] for one in found] == [("turn", "LEFT"), ("heading", "270")]
    values = {"LEFT", "270"}
    assert [result if read is None or read in values else f"{result} {read}" for _, _, read, result in found] == wanted


@pytest.mark.parametrize(
    ("clearance", "readback", "wanted"),
    [
        ("CLIMB AND MAINTAIN FLIGHT LEVEL ONE EIGHT ZERO", "CLIMBING TO FLIGHT LEVEL ONE EIGHT ZERO", []),
        ("DESCEND AND MAINTAIN FIVE THOUSAND", "DOWN TO SIX THOUSAND", [("altitude", "5000", "6000", "wrong")]),
        ("CONTACT BOSTON TOWER ONE TWO FOUR POINT SIX FIVE", "TWENTY FOUR SIXTY FIVE GOOD DAY", []),
        ("CONTACT BOSTON TOWER ONE TWO FOUR POINT SIX FIVE", "ONE TWO FOUR POINT SIX NINE",
         [("frequency", "124.650", "124.690", "wrong")]),
        ("CONTACT BOSTON TOWER TWENTY FOUR SIXTY FIVE", "OVER TO TWENTY FOUR SIXTY FIVE", []),
        ("SQUAWK FOUR SIX TWO ONE AND IDENT", "SQUAWKING FOUR SIX TWO ONE", []),
        ("CLEARED I L S RUNWAY TWO SEVEN LEFT APPROACH", "CLEARED I L S RUNWAY TWO SEVEN RIGHT APPROACH",
         [("runway", "27L", "27R", "wrong")]),
        ("RUNWAY TWO SEVEN CLEARED TO LAND", "RUNWAY TWO SEVEN", [("clearance", "LAND", None, "missing")]),
        ("REDUCE SPEED TO ONE EIGHT ZERO", "ONE EIGHT ZERO", []),
        ("BOSTON ALTIMETER TWO NINE NINE TWO", "ALTIMETER TWO NINE NINE TWO", []),
        ("WIND TWO SEVEN ZERO AT ONE TWO RUNWAY TWO FIVE CLEARED TO LAND", "CLEARED TO LAND RUNWAY TWO FIVE", []),
    ],
)  # fmt: skip
def test_values_are_compared_by_their_meaning(clearance, readback, wanted):
    found = judge(f"DELTA FOUR FIVE {clearance}", f"{readback} DELTA FOUR FIVE")
    assert [one for one in found if one[3] != "correct"] == wanted


def test_of_two_values_of_a_kind_each_is_compared_with_its_own():
    clearance = "DELTA FOUR FIVE CROSS BANEV AT FIVE THOUSAND THEN DESCEND AND MAINTAIN THREE THOUSAND"
    found = [
        one for one in judge(clearance, "THREE THOUSAND THEN SIX THOUSAND DELTA FOUR FIVE") if one[0] == "altitude"
    ]
    assert [one[1:] for one in found] == [("5000", "6000", "wrong"), ("3000", "3000", "correct")]


@pytest.mark.parametrize(
    "text",
    [
        "UNITED SIX EIGHTY SIX TRAFFIC TWELVE O CLOCK FIVE MILES AIRBUS AT FIVE THOUSAND",
        "UNITED SIX EIGHTY SIX CONFIRM HEADING TWO SEVEN ZERO",
        "UNITED SIX EIGHTY SIX RADAR CONTACT",
        "BOSTON APPROACH UNITED SIX EIGHTY SIX LEVEL FIVE THOUSAND",
        "REQUEST FLIGHT LEVEL ONE EIGHT ZERO UNITED SIX EIGHTY SIX",
    ],
)
def test_what_is_no_clearance_needs_no_readback(text):
    assert find_exchanges(dialogue(text), 20, 0.5) == ([], {})


def test_the_next_transmission_of_the_call_sign_answers():
    others = "SPEED TWO ONE ZERO DELTA FOUR FIVE", "LEFT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX"
    ((exchange,), _) = find_exchanges(dialogue(TURN, *others), 20, 0.5)
    assert exchange.readback.start == 8 and not exchange.alert


@pytest.mark.parametrize(
    ("full", "short"),
    [
        ("NOVEMBER THREE FOUR FIVE ALPHA BRAVO", "NOVEMBER FIVE ALPHA BRAVO"),
        ("CESSNA FIVE ALPHA BRAVO", "NOVEMBER THREE FOUR FIVE ALPHA BRAVO"),
        ("OSCAR KILO PAPA MIKE BRAVO", "OSCAR MIKE BRAVO"),
    ],
)
def test_call_signs_may_be_shortened(full, short):
    found = judge(f"{full} FLY HEADING TWO SEVEN ZERO", f"HEADING TWO SEVEN ZERO {short}")
    assert {one[3] for one in found} == {"correct"}


def test_a_call_sign_that_runs_into_a_number_is_found_by_its_words():
    name = "AIR SHUTTLE ONE OH SEVEN"
    found = judge(f"{name} MAINTAIN TWO HUNDRED KNOTS", f"{name} TWO HUNDRED KNOTS")
    assert {one[3] for one in found} == {"correct"}


@pytest.mark.parametrize(
    ("cleared", "read"),
    [
        (
            "UNITED SIX EIGHTY SIX TURN LEFT HEADING TWO SEVEN ZERO",
            "LEFT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY EIGHT",
        ),
        ("UNITED SIX EIGHTY SIX TURN LEFT HEADING TWO SEVEN ZERO", "LEFT HEADING TWO SEVEN ZERO UNITED SIX"),
        ("AIR SHUTTLE TEN CROSS RUNWAY TWO SEVEN LEFT", "CROSSING RUNWAY TWO SEVEN LEFT SHUTTLE TEN"),
        ("DELTA TEN CROSS RUNWAY TWO SEVEN LEFT", "CROSSING RUNWAY TWO SEVEN DELTA TEN"),
        ("DELTA TEN CLEARED DIRECT TETOL", "DIRECT SETOL DELTA TEN"),
    ],
)
def test_what_the_recogniser_may_have_misheard_is_an_alert_only_in_texts_without_confidences(cleared, read):
    for confidence, alert in ((None, True), (0.95, False)):
        ((exchange,), _) = find_exchanges([said(cleared, 0, confidence), said(read, 4, confidence)], 20, 0.5)
        assert exchange.alert is alert
        assert any(slot.result == ("wrong" if alert else "unreadable") for slot in exchange.slots)


def test_another_call_sign_with_the_same_values_is_wrong():
    assert judge(TURN, "LEFT HEADING TWO SEVEN ZERO UNITED FOUR FIVE")[0] == ("callsign", "UAL686", "UAL45", "wrong")


def test_an_answer_without_a_call_sign_is_compared():
    assert judge(TURN, "LEFT HEADING TWO NINE ZERO") == [
        ("callsign", "UAL686", None, "missing"),
        ("turn", "LEFT", "LEFT", "correct"),
        ("heading", "270", "290", "wrong"),
    ]


@pytest.mark.parametrize("others", [[], ["BOSTON TOWER DELTA FOUR FIVE READY FOR DEPARTURE RUNWAY TWO SEVEN"]])
def test_without_an_answer_everything_is_missing(others):
    assert {one[3] for one in judge(TURN, *others)} == {"missing"}


def test_an_answer_that_comes_too_late_is_none():
    transmissions = [said(TURN, 0), said("LEFT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX", 13.1)]
    assert find_exchanges(transmissions, 10, 0.5)[0][0].readback is None
    assert find_exchanges(transmissions, 10.2, 0.5)[0][0].readback is not None


def test_another_clearance_before_the_readback_is_counted():
    contact = "UNITED SIX EIGHTY SIX CONTACT BOSTON TOWER ONE TWO FOUR POINT SIX FIVE"
    answer = "TWENTY FOUR SIXTY FIVE GOOD DAY UNITED SIX EIGHTY SIX"
    exchanges, counts = find_exchanges(dialogue(TURN, contact, answer), 20, 0.5)
    assert [one.clearance.start for one in exchanges] == [4] and not exchanges[0].alert
    assert dict(counts) == {"clearances followed by another one before a readback": 1}


def test_a_label_of_the_speaker_is_believed():
    again = "UNITED SIX EIGHTY SIX TURN LEFT HEADING TWO EIGHT ZERO"
    answer = said("LEFT HEADING TWO EIGHT ZERO UNITED SIX EIGHTY SIX", 8)
    exchanges, counts = find_exchanges([said(TURN, 0), said(again, 4, role="controller"), answer], 20, 0.5)
    assert [one.clearance.start for one in exchanges] == [4] and not exchanges[0].alert and counts.total() == 1
    ((alone,), _) = find_exchanges([said(TURN, 0), said(again, 4, role="pilot"), answer], 20, 0.5)
    assert alone.alert


def test_a_clearance_without_a_call_sign_is_judged_by_the_next_transmission_or_counted():
    order = said("TURN LEFT HEADING TWO SEVEN ZERO", 0, role="controller")
    answer = said("LEFT HEADING TWO NINE ZERO UNITED SIX EIGHTY SIX", 4)
    ((exchange,), _) = find_exchanges([order, answer], 20, 0.5)
    assert exchange.callsign == "UAL686" and exchange.alert
    assert find_exchanges([order], 20, 0.5) == ([], {"clearances without a call sign that can be read": 1})


@pytest.mark.parametrize(("cleared", "read", "alert"), [(0.9, 0.9, True), (0.9, 0.6, True), (0.6, 0.6, False)])
def test_the_threshold_decides_by_the_confidence_of_both_values(cleared, read, alert):
    transmissions = [said(TURN, 0, cleared), said("LEFT HEADING TWO NINE ZERO UNITED SIX EIGHTY SIX", 4, read)]
    ((exchange,), _) = find_exchanges(transmissions, 20, 0.5)
    assert exchange.alert is alert
    (heading,) = [slot for slot in exchange.slots if slot.kind == "heading"]
    assert heading.confidence == pytest.approx(cleared * read)


def test_overlapping_transmissions_are_paired_by_their_starts():
    transmissions = [said(TURN, 0), said("LEFT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX", 2)]
    ((exchange,), _) = find_exchanges(transmissions, 0, 0.5)
    assert exchange.readback is not None and not exchange.alert


def test_a_clearance_is_answered_once():
    """Two controllers clear the same aircraft at a time; the first answer belongs to the first clearance."""
    squawk = "UNITED SIX EIGHTY SIX SQUAWK FOUR SIX TWO ONE"
    answers = "LEFT HEADING TWO SEVEN ZERO UNITED SIX EIGHTY SIX", "SQUAWK FOUR SIX TWO ONE UNITED SIX EIGHTY SIX"
    exchanges, _ = find_exchanges(dialogue(TURN, answers[0], squawk, answers[1]), 20, 0.5)
    assert [(one.clearance.start, one.readback.start) for one in exchanges] == [(0, 4), (8, 12)]
