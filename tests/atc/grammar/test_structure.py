"""Structured output: call sign, role and slots with units, times and confidences, and its JSON Schema."""

import json
import re
from pathlib import Path

import pytest

from atc_asr.atc.grammar.slots import KINDS
from atc_asr.atc.grammar.structure import add_slots
from atc_asr.hypotheses.confidence import Calibration, recalibrate
from atc_asr.hypotheses.hypotheses import Hypothesis, Word, from_json, to_json

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "slots.schema.json").read_text(encoding="utf-8"))
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
LIMITS = {"minimum": lambda value, limit: value >= limit, "maximum": lambda value, limit: value <= limit}


def violations(value, schema, where="line") -> list[str]:
    """What a value violates of the keywords of JSON Schema that docs/slots.schema.json uses."""
    types = schema.get("type", [])
    found = [
        f"{where}: {value!r} is no {types}"
        for wanted in [[types] if isinstance(types, str) else types]
        if wanted and not any(isinstance(value, TYPES[name]) and not isinstance(value, bool) for name in wanted)
    ]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{where}: {value!r} does not match {schema['pattern']}")
    if isinstance(value, int | float):
        found += [f"{where}: {value} {name}" for name, holds in LIMITS.items()
                  if name in schema and not holds(value, schema[name])]  # fmt: skip
    if isinstance(value, list):
        for at, item in enumerate(value):
            found += violations(item, schema.get("items", {}), f"{where}.{at}")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
        if schema.get("additionalProperties") is False:
            found += [f"{where}: {name} is unknown" for name in value.keys() - known.keys()]
        for name in value.keys() & known.keys():
            found += violations(value[name], known[name], f"{where}.{name}")
    return found


def hypothesis(text: str, confidences: dict[str, float] | None = None) -> Hypothesis:
    """A text whose words last half a second each, with the confidence 0.9 or another one."""
    words = text.split()
    timed = (Word(word, at / 2, at / 2 + 0.5, (confidences or {}).get(word, 0.9)) for at, word in enumerate(words))
    return Hypothesis("a", text, -1.0, tuple(timed))


TEXT = "UNITED SIX EIGHTY SIX DESCEND AND MAINTAIN FIVE THOUSAND"


def test_a_slot_has_the_times_and_the_lowest_confidence_of_its_words():
    found = add_slots(hypothesis(TEXT, {"FIVE": 0.3, "EIGHTY": 0.8}))
    assert found.callsign == "UAL686"
    callsign, altitude = found.slots
    assert (callsign.kind, callsign.value, callsign.unit, callsign.act) == ("callsign", "UAL686", None, None)
    assert (callsign.first_word, callsign.last_word, callsign.start, callsign.end) == (0, 3, 0.0, 2.0)
    assert (callsign.confidence, callsign.doubtful) == (0.8, ("EIGHTY",))
    assert (altitude.kind, altitude.value, altitude.unit, altitude.act) == ("altitude", "5000", "ft", "instruction")
    assert TEXT.split()[altitude.first_word : altitude.last_word + 1][-2:] == ["FIVE", "THOUSAND"]
    assert (altitude.end, altitude.confidence, altitude.doubtful) == (4.5, 0.3, ("FIVE",))


@pytest.mark.parametrize("words", [(), (Word("UNITED", 0.0, 0.5, 0.9),)])
def test_a_text_without_the_times_of_its_words_has_slots_without_times(words):
    found = add_slots(Hypothesis("a", TEXT, None, words))
    for slot in found.slots:
        assert (slot.start, slot.end, slot.confidence, slot.doubtful) == (None, None, None, ())


def test_calibrated_words_give_calibrated_slots():
    calibration = Calibration(slope=0.5, intercept=-1.0)
    raw = hypothesis(TEXT, {"FIVE": 0.6})
    assert recalibrate(calibration, add_slots(raw)) == add_slots(recalibrate(calibration, raw))
    assert recalibrate(calibration, raw).slots is None
    assert recalibrate(calibration, add_slots(Hypothesis("a", ""))).slots == ()


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("FLIGHT LEVEL THREE FIVE ZERO SPEED MACH POINT SEVEN EIGHT", {"altitude": "FL", "speed": "Mach"}),
        ("QNH ONE ZERO ONE THREE HEADING TWO SEVEN ZERO SPEED TWO TWO ZERO",
         {"altimeter": "hPa", "heading": "deg", "speed": "kt"}),
        ("ALTIMETER TWO NINER NINER TWO RATE OF DESCENT TWO THOUSAND FEET PER MINUTE",
         {"altimeter": "inHg/100", "vertical_rate": "ft/min"}),
        ("WIND CALM RUNWAY TWO SEVEN CLEARED TO LAND", {"wind": None, "runway": None, "clearance": None}),
        ("HEADING THREE NINER ZERO", {"heading": None}),
    ],
)  # fmt: skip
def test_units(text, units):
    assert {slot.kind: slot.unit for slot in add_slots(hypothesis(text)).slots} == units


@pytest.mark.parametrize(
    "text",
    ["", "ROGER", TEXT, "SIX EIGHTY SIX WITH YOU", "OSCAR MIKE PAPA CLEARED TOUCH AND GO RUNWAY TWO TWO",
     "THREE ALPHA BRAVO WIND CALM", "CONTACT BREMEN RADAR ONE TWO THREE DECIMAL TWO TWO FIVE SQUAWK FOUR SIX TWO ONE"],
)  # fmt: skip
def test_output_is_valid_by_its_schema_and_is_read_again(text):
    for one in (hypothesis(text), Hypothesis("a", text)):
        line = to_json(add_slots(one))
        assert violations(json.loads(line), SCHEMA) == []
        assert from_json(line, "x").slots is not None
        assert to_json(from_json(line, "x")) == line


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"role": "tower"}, "is none of"),
        ({"role_confidence": 0.2}, "minimum"),
        ({"callsign": "UAL 686"}, "does not match"),
        ({"slots": [{"kind": "altitude"}]}, "value is missing"),
        ({"slots": None}, "is no array"),
    ],
)
def test_the_schema_refuses_other_values(change, violation):
    line = json.loads(to_json(add_slots(hypothesis(TEXT)))) | change
    assert violation in " ".join(violations(line, SCHEMA))


def test_the_schema_names_all_kinds():
    assert SCHEMA["properties"]["slots"]["items"]["properties"]["kind"]["enum"] == list(KINDS)
