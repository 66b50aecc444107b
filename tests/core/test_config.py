"""Sections of params.yaml: accepted and refused values, and the messages of refusals."""

from typing import ClassVar, Literal

import pytest

from atc_asr.core import config
from atc_asr.core.config import Section, param
from atc_asr.core.errors import InputError


class Example(Section):
    section: ClassVar[str] = "example"
    count: int = param("a count", ge=1)
    rate: float = param("a rate", gt=0, le=1)
    kind: Literal["one", "two"] = param("a kind")
    flag: bool = param("a switch")
    names: list[str] = param("some names")
    place: str | None = param("a place; null = nowhere")


GOOD = {"count": 2, "rate": 0.5, "kind": "one", "flag": True, "names": ["a"], "place": None}


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_small_numbers_as_dvc_writes_them_are_floats(tmp_path):
    text = "example: {count: 1, rate: 1e-05, kind: two, flag: false, names: [], place: x}"
    assert config.load_section(Example, write(tmp_path, text)).rate == 1e-05


def test_an_int_is_accepted_as_a_float():
    made = config.make_section(Example, GOOD | {"rate": 1}, "p: example")
    assert made.rate == 1.0
    assert isinstance(made.rate, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": "2"}, "p: example.count: got '2', wanted int >= 1 (a count)"),
        ({"count": True}, "p: example.count: got True, wanted int >= 1 (a count)"),
        ({"count": 0}, "p: example.count: got 0, wanted int >= 1 (a count)"),
        ({"rate": 0}, "p: example.rate: got 0, wanted float > 0 <= 1 (a rate)"),
        ({"rate": float("nan")}, "p: example.rate: got nan, wanted float > 0 <= 1 (a rate)"),
        ({"kind": "three"}, "p: example.kind: got 'three', wanted one of one, two (a kind)"),
        ({"flag": 1}, "p: example.flag: got 1, wanted bool (a switch)"),
        ({"names": "a"}, "p: example.names: got 'a', wanted list of str (some names)"),
        ({"names": [1]}, "p: example.names: got [1], wanted list of str (some names)"),
        ({"place": 3}, "p: example.place: got 3, wanted str or null (a place; null = nowhere)"),
        ({"counts": 3}, "p: example.counts: unknown key; did you mean count?"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(changes, message):
    with pytest.raises(InputError) as refusal:
        config.make_section(Example, GOOD | changes, "p: example")
    assert str(refusal.value) == message


def test_a_missing_key_is_refused():
    values = {key: value for key, value in GOOD.items() if key != "rate"}
    with pytest.raises(InputError, match=r"example\.rate: missing, wanted float"):
        config.make_section(Example, values, "example")


def test_the_file_is_checked_where_a_flag_replaces_its_value():
    with pytest.raises(InputError, match=r"^p: example\.count: got 0"):
        config.make_section(Example, GOOD | {"count": 0}, "p: example", {"count": 3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exampel: {}", "section example is missing; did you mean exampel"),
        ("- a", "got list, wanted a mapping"),
        ("a: [", "not valid YAML"),
        ("example: 3", "wanted a section with keys"),
    ],
)
def test_a_file_without_the_section_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        config.load_section(Example, write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        config.load_section(Example, tmp_path / "none.yaml")
