"""How messages show the content of untrusted files."""

import pytest

from atc_asr.core.errors import MAX_MESSAGE, MAX_VALUE, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.csv:3: got 'é', wanted ß", "a.csv:3: got 'é', wanted ß"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\t\u2028", r"two\nlines\r\t\u2028"),
        ("exe.\u202egnp\u200f \u2066x", r"exe.\u202egnp\u200f \u2066x"),
        ("caf\udce9.wav", r"caf\udce9.wav"),
    ],
)
def test_what_could_change_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("value", ["x" * 5000, "x y " * 5000, repr(["a, wanted b"] * 5000)])
def test_a_long_value_is_cut_and_what_was_wanted_is_kept(value):
    shown = printable(f"params.yaml: train.lr: got {value}, wanted float > 0")
    assert shown.startswith(f"params.yaml: train.lr: got {value[:100]}")
    assert shown.endswith(", wanted float > 0")
    assert len(shown) < MAX_VALUE + 100


def test_a_long_message_keeps_its_ends():
    shown = printable("begin " + "a b " * 100_000 + "end")
    assert shown.startswith("begin a b")
    assert shown.endswith("a b end")
    assert len(shown) <= MAX_MESSAGE + 3
