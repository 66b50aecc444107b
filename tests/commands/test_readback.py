"""The command readback: transcripts in, exchanges out, and what it says of odd lines."""

import json
import logging

import pytest

from atc_asr.commands import readback
from atc_asr.core.errors import InputError
from atc_asr.readback.exchanges import read_exchanges

TURN = "UNITED SIX EIGHTY SIX TURN LEFT HEADING TWO SEVEN ZERO"
ANSWER = "LEFT HEADING TWO NINE ZERO UNITED SIX EIGHTY SIX"


def line(hyp, start, **fields):
    return {"id": f"a#{start}", "hyp": hyp, "file": "a.wav", "start": start, "end": start + 3} | fields


def run(path, rows, *flags):
    """The exchanges that the command writes for lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    readback.main([str(path), "--out_file", str(path.parent / "out.jsonl"), *flags])
    return read_exchanges(path.parent / "out.jsonl")


def test_plain_lines_are_compared(tmp_path, capsys):
    (exchange,) = run(tmp_path / "t.jsonl", [line(TURN.lower(), 0), line(ANSWER, 4.5)])
    assert exchange.alert and exchange.callsign == "UAL686" and exchange.file == "a.wav"
    assert (exchange.id, exchange.readback.id, exchange.readback.start) == ("a#0", "a#4.5", 4.5)
    readback.main([str(tmp_path / "t.jsonl")])
    (printed,) = capsys.readouterr().out.splitlines()
    assert json.loads(printed)["slots"][2] == {
        "kind": "heading", "cleared": "270", "read": "290", "result": "wrong", "confidence": 1.0,
    }  # fmt: skip


def test_slots_of_the_transcript_are_used(tmp_path):
    """They may be those of another program."""
    slots = [
        {"kind": kind, "value": value, "unit": None, "act": None, "first_word": 0, "last_word": 1, "confidence": 0.8}
        for kind, value in (("callsign", "UAL686"), ("squawk", "4621"))
    ]
    fields = {"role": "controller", "role_confidence": 0.9, "slots": slots}
    (exchange,) = run(tmp_path / "t.jsonl", [line("SQUAWK IT", 0, **fields), line("SQUAWK FOUR SIX TWO TWO", 4)])
    assert [(slot.kind, slot.result) for slot in exchange.slots] == [("callsign", "missing"), ("squawk", "wrong")]
    assert exchange.slots[1].confidence == 0.8


@pytest.mark.parametrize("value", ["", "A", "\u00e9" * 50, "*", "N"])
def test_a_call_sign_of_another_program_may_be_anything(tmp_path, value):
    slot = {"kind": "callsign", "value": value, "unit": None, "act": None, "first_word": 9, "last_word": 3}
    answer = line("LEFT HEADING TWO SEVEN ZERO", 4, slots=[slot, slot | {"kind": "heading", "value": "270"}])
    (exchange,) = run(tmp_path / "t.jsonl", [line(TURN, 0), answer])
    assert [slot.result for slot in exchange.slots] == ["wrong", "missing", "correct"]


def test_recordings_are_kept_apart(tmp_path):
    rows = [line(TURN, 0), line(ANSWER.replace("NINE", "SEVEN"), 4, file="b.wav")]
    (exchange,) = run(tmp_path / "t.jsonl", rows)
    assert exchange.readback is None


def test_lines_in_any_order_and_odd_ones_are_counted(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    rows = [
        line(ANSWER, 2), line(TURN, 0), {"id": "x", "hyp": TURN}, line(TURN, 9, end=8), line("HELLO", 30), line("", 40),
    ]  # fmt: skip
    (exchange,) = run(tmp_path / "t.jsonl", rows)
    assert exchange.readback.start == 2
    told = [record.getMessage().removeprefix(f"{tmp_path}/t.jsonl: ") for record in caplog.records]
    assert told == [
        "2 lines of unknown speakers",
        "2 lines without times, left out",
        "1 transmissions that begin before another ends",
        "4 transmissions, 1 clearances, 1 of them read back: 1 alerts",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file, wanted a transcript"),
        (b"WEBVTT\n\n00:00 --> 00:01\nHELLO\n", r"t\.jsonl:1: cannot be read .*, wanted an object with id, hyp, start"),
        (b'{"id": "a", "hyp": "HELLO"}\n', "got 1 lines without times, wanted a transcript"),
        (b'{"id": "a", "hyp": "HELLO", "start": "0", "end": 1}\n', "field start: got '0', wanted a valid number"),
        (b'{"id": "a", "start": 0, "end": 1}\n', "field hyp: missing"),
        (b'[1, 2]\n', "cannot be read"),
        (b"\xff\xfe\n", "is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_transcript_is_one_line(tmp_path, content, message):
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        readback.main([str(path), "--out_file", str(tmp_path / "out.jsonl")])
    assert "\n" not in str(caught.value) and not (tmp_path / "out.jsonl").exists()
