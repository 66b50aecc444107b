"""The grammar on transmissions written by hand after real ones, before it read them."""

from collections import Counter
from pathlib import Path

import pytest

from atc_asr.atc.grammar.slots import read_slots
from atc_asr.atc.vocabulary.callsigns import is_short_form
from atc_asr.core.text import normalize

FOLDER = Path(__file__).parent


def read_table(name: str) -> list[list[str]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")] for line in lines if line and not line.startswith("#")]


def status_of(gold: str, text: str) -> str:
    """`read`, `unreadable` or `without` as the grammar reads the call sign; `wrong` for another one than `gold`."""
    found = [slot.value for slot in read_slots(normalize(text).split()) if slot.kind == "callsign"]
    values = [value for value in found if value]
    if values:
        wanted = gold.split()
        return "read" if all(any(is_short_form(value, one) for one in wanted) for value in values) else "wrong"
    return "unreadable" if found else "without"


def test_callsigns_are_read_or_counted_and_never_wrong():
    rows = read_table("transmissions_callsigns.txt")
    found = Counter((gold if gold in "-?" else "callsign", status_of(gold, text)) for gold, text in rows)
    with_callsign = Counter({status: count for (gold, status), count in found.items() if gold != "-"})
    assert len(rows) >= 300
    assert with_callsign["wrong"] == 0 and with_callsign["without"] <= 0.02 * with_callsign.total()
    assert found["callsign", "read"] >= 0.95 * sum(count for (gold, _), count in found.items() if gold == "callsign")
    assert {status for gold, status in found if gold == "-"} == {"without"}


def test_slots_of_every_kind_are_read():
    wanted, hits, extra = Counter(), Counter(), Counter()
    rows = read_table("transmissions_slots.txt")
    for text, slots, _ in rows:
        gold = Counter(slots.split())
        read = [slot for slot in read_slots(normalize(text).split()) if slot.kind != "callsign"]
        found = Counter(f"{slot.kind}={(slot.value or '?').replace(' ', '_')}" for slot in read)
        for counts, values in ((wanted, gold), (hits, gold & found), (extra, found - gold)):
            for value, count in values.items():
                counts[value.partition("=")[0]] += count
    assert len(rows) >= 300
    assert hits.total() >= 0.95 * wanted.total() and extra.total() <= 0.02 * wanted.total()
    assert {kind: hits[kind] / wanted[kind] for kind in wanted if hits[kind] < 0.95 * wanted[kind]} == {}


def test_acts_are_told():
    told = []
    for text, slots, act in read_table("transmissions_slots.txt"):
        for slot in read_slots(normalize(text).split()):
            if f"{slot.kind}={(slot.value or '?').replace(' ', '_')}" in slots.split():
                told.append((act, slot.act))
    assert sum(wanted == found for wanted, found in told) >= 0.95 * len(told)
    assert {found for _, found in told} == {"", "instruction", "request", "report", "readback"}


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("SPEEDBIRD TWO SEVEN GOLF RATE OF DESCENT TWO THOUSAND FEET PER MINUTE OR GREATER", ["vertical_rate=2000+"]),
        ("DESCEND TO FLIGHT LEVEL TWO NINE ZERO DESCEND AT ONE THOUSAND FEET PER MINUTE OR MORE",
         ["altitude=FL290", "vertical_rate=1000+"]),
        ("TWO ONE ZERO DEGREES FOUR KNOTS RUNWAY TWO FIVE CLEARED TAKEOFF",
         ["wind=210/04", "runway=25", "clearance=TAKEOFF"]),
        ("WIND TWO SIX DEGREES NINE KNOTS", ["wind=?"]),
        ("HOLD OVER IMPED", ["clearance=HOLD", "point=IMPED"]),
        ("DIRECT SAINT PREX THANK YOU LUFTHANSA ONE TWO", ["point=SAINT PREX"]),
        ("DIRECT TO KINES KISTLER FOUR FIVE SIX", ["point=KINES"]),
        ("CLIMB AND MAINTAIN 10 000", ["altitude=10000"]),
        ("DESCEND AND MAINTAIN 1 500", ["altitude=1500"]),
        ("CONTACT BREMEN RADAR ON ONE TWO THREE DECIMAL TWO TWO FIVE", ["station=BREMEN RADAR", "frequency=123.225"]),
        ("RADAR CONTACT ONE TWO MILES FROM THE FIELD", []),
        ("SQUAWK FOUR SIX TWO ONE AND IDENT", ["squawk=4621", "squawk=IDENT"]),
    ],
)  # fmt: skip
def test_values(text, slots):
    read = [slot for slot in read_slots(text.split()) if slot.kind != "callsign"]
    assert [f"{slot.kind}={slot.value or '?'}" for slot in read] == slots


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("SPEEDBIRD 27G GOOD MORNING", ["BAW27G"]),
        ("TIME TWO ONE", []),
        ("EAGLE THREE FIVE ONE TURN LEFT", ["HCF351"]),
        ("FOLLOW THE EAGLE THREE FIVE ONE TURN LEFT", []),
        ("KISTLER FOUR FIVE SIX TURN LEFT", [None]),
        ("ZURICH ONE THREE FOUR DECIMAL SIX", []),
        ("CONTACT SINGAPORE ONE THREE THREE DECIMAL EIGHT", []),
        ("NEGATIVE CONTACT JETBLUE SEVEN EIGHTEEN", ["JBU718"]),
        ("TAXI VIA ALPHA BRAVO CHARLIE", []),
        ("INFORMATION ALPHA BRAVO CHARLIE", []),
        ("HOTEL BRAVO JULIETT JOIN DOWNWIND", ["HBJ"]),
        ("HELI CHARLIE ZULU CLEARED TO LAND", ["CZ"]),
        ("JULIETT ALPHA EIGHT ONE ONE NINER CONTACT TOKYO CONTROL", ["JA8119"]),
        ("CHARLIE ECHO SIERRA FIVE SIX FOUR CONTINUE NOVEMBER ONE", ["CES564"]),
        ("AIR CHINA NINE ZERO NINE DIRECT PANZO PAPA ALFA NOVEMBER ZULU OSCAR", ["CCA909"]),
        ("HAINAN7931 TAXI ALPHA 3", ["CHH7931"]),
        ("CHINA SOUTHERN 579ER CONTACT SEOUL APPROACH", ["CSN579"]),
        ("SIX EIGHTY SIX ROGER", [None]),
        ("SPEEDBIRD TWO PASSING LEVEL ONE NINE ONE NOVEMBER ONE ZERO ONE NINE", ["BAW2"]),
        ("NOVEMBER ONE ZERO ONE NINE TURN LEFT", ["N1019"]),
        ("CLEARED TO LAND EIGHTEEN SIXTY EIGHT", [None]),
        ("CLEARED TO LAND RUNWAY TWO SEVEN", []),
        ("ESTIMATING ARRIVAL AT ZERO TWO ZERO SIX", []),
        ("AND SEVEN ZERO TWO PAPA TURN LEFT", [None]),
        ("ONE TWO ONE DECIMAL EIGHT GOOD BYE", []),
    ],
)
def test_callsigns(text, values):
    assert [slot.value for slot in read_slots(text.split()) if slot.kind == "callsign"] == values
