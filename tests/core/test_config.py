"""params.yaml -> sections: what is refused, and how it is said."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from atc_asr.core import config
from atc_asr.core.config import option
from atc_asr.core.errors import InputError


@dataclass(frozen=True)
class Example:
    section: ClassVar[str] = "example"
    count: int = option("how many", low=1)
    rate: float = option("how fast", above=0, high=1)
    kind: str = option("which", choices=("one", "two"))
    flag: bool = option("whether")
    names: list[str] = option("who")
    place: str | None = option("where, null = nowhere")


GOOD = {"count": 2, "rate": 0.5, "kind": "one", "flag": True, "names": ["a"], "place": None}


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_what_dvc_writes_for_small_numbers_as_a_number(tmp_path):
    text = "example: {count: 1, rate: 1e-05, kind: two, flag: false, names: [], place: x}"
    assert config.load_section(Example, write(tmp_path, text)).rate == 1e-05


def test_an_int_will_do_for_a_float():
    made = config.make_section(Example, GOOD | {"rate": 1}, "p: example")
    assert made.rate == 1.0
    assert isinstance(made.rate, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": "2"}, "p: example.count: got '2', wanted int >= 1 (how many)"),
        ({"count": True}, "p: example.count: got True, wanted int >= 1 (how many)"),
        ({"count": 0}, "p: example.count: got 0, wanted int >= 1 (how many)"),
        ({"rate": 0}, "p: example.rate: got 0, wanted float > 0 <= 1 (how fast)"),
        ({"rate": float("nan")}, "p: example.rate: got nan, wanted float > 0 <= 1 (how fast)"),
        ({"kind": "three"}, "p: example.kind: got 'three', wanted one of one, two (which)"),
        ({"flag": 1}, "p: example.flag: got 1, wanted bool (whether)"),
        ({"names": "a"}, "p: example.names: got 'a', wanted list of str (who)"),
        ({"place": 3}, "p: example.place: got 3, wanted str or null (where, null = nowhere)"),
        ({"counts": 3}, "p: example.counts: unknown key; did you mean count?"),
    ],
)
def test_refuses_a_wrong_key_in_one_line(changes, message):
    with pytest.raises(InputError) as refusal:
        config.make_section(Example, GOOD | changes, "p: example")
    assert str(refusal.value) == message


def test_refuses_a_missing_key():
    values = {key: value for key, value in GOOD.items() if key != "rate"}
    with pytest.raises(InputError, match=r"example\.rate: missing, wanted float"):
        config.make_section(Example, values, "example")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exampel: {}", "section example is missing; did you mean exampel"),
        ("- a", "got list, wanted a mapping"),
        ("a: [", "not valid YAML"),
        ("example: 3", "wanted a section with keys"),
    ],
)
def test_refuses_a_file_without_the_section(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        config.load_section(Example, write(tmp_path, text))


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        config.load_section(Example, tmp_path / "none.yaml")
