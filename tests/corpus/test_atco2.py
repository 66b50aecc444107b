"""Reading ATCO2 in its own distribution: segments, columns, rules that leave out, call signs nearby."""

import csv
import errno
import json
import os

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core.errors import InputError
from atc_asr.corpus import atco2
from atc_asr.decoding.boost import CallsignBoost, read_expected
from stages import export

RATE = 16_000
SPLITS = {"train": None, "valid": None, "test": "test"}
NAME = "LKPR_RUZYNE_Radar_120_520MHz_20201025_091112"
INFO = """\
airport: LKPR
channel: RUZYNE_Radar
frequency: 120.52
waypoints nearby: ERASU KENOK
callsigns nearby:
OKPMB : Oscar Kilo Papa Mike Bravo
DLH3NL : Lufthansa Three November Lima

ignored: yes
"""
LABELS = (
    ("ATCO radar", "[#callsign]Lufthansa Three November Lima[/#callsign] [#command]descend[/#command]", 1, 0),
    ("OK-PMB", "level one hundred [#callsign]Mike Bravo[/#callsign] 04R(zero four right)", 1, 0),
    ("", "[#callsign]Speedbird One Two Niner[/#callsign] [hes] roger", 1, 0),
    ("ATCO radar", "dobrý den", 1, 1),
    ("ATCO radar", "not checked", 0, 0),
    ("UNK", "[NE Czech] nashledanou [/NE]", 1, 0),
)


def segment(number, label, text, correct=1, foreign=0, start=None, end=None):
    start, end = 3.0 * number if start is None else start, 3 * number + 2.9 if end is None else end
    return (
        f"<segment><start>{start}</start><end>{end}</end><speaker>A</speaker><speaker_label>{label}</speaker_label>"
        f"<text>{text}</text><tags><correct_transcript>{correct}</correct_transcript><correct_tagging>1</correct_tagging>"
        f"<non_english>{foreign}</non_english></tags></segment>"
    )


def write_recording(folder, segments, name=NAME, info=INFO, seconds=20):
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(name)).standard_normal(RATE * seconds) * 0.1
    sf.write(os.fsencode(folder / f"{name}.wav"), noise.clip(-1, 1), RATE)
    (folder / f"{name}.xml").write_text(f'<?xml version="1.0"?><data>{"".join(segments)}</data>', encoding="utf-8")
    if info:
        (folder / f"{name}.info").write_text(info)
    return folder


@pytest.fixture
def corpus(tmp_path):
    segments = [segment(number, *label) for number, label in enumerate(LABELS)]
    return write_recording(tmp_path / "ATCO2/DATA", segments).parent


def clips_of(corpus):
    source = atco2.open_atco2(str(corpus), "base", splits=SPLITS)
    return [clip for shard in source.shards() for clip in source.read(shard)]


def test_segments_are_cut_with_their_columns(corpus):
    clips = clips_of(corpus)
    samples = sf.read(corpus / f"DATA/{NAME}.wav", dtype="float32", always_2d=True)[0]
    assert np.array_equal(clips[1].audio, samples[3 * RATE : round(5.9 * RATE)])
    assert clips[1].id == f"{NAME}_000300_000590"
    assert [(clip.columns["role"], clip.columns["callsign"]) for clip in clips[:3]] == [
        ("controller", "DLH3NL"),
        ("pilot", "OKPMB"),
        ("", "BAW129"),
    ]
    assert {(clip.columns["tape"], clip.columns["speaker"]) for clip in clips} == {(NAME, f"{NAME}_A")}
    assert [clip.left_out for clip in clips] == [None, None, None, "non_english", "marked_incorrect", None]


def test_an_export_counts_what_is_left_out_and_writes_the_call_signs(corpus, tmp_path):
    out = tmp_path / "out"
    export.main(
        f"--corpus {corpus} --layout atco2 --train_split null --valid_split null --out_dir {out} --processes 1".split()
    )
    with open(out / "base/test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["transcript"] for row in rows] == [
        "LUFTHANSA THREE NOVEMBER LIMA DESCEND",
        "LEVEL ONE HUNDRED MIKE BRAVO ZERO FOUR RIGHT",
        "SPEEDBIRD ONE TWO NINER ROGER",
    ]
    stats = json.loads((out / "base/stats.json").read_text())["splits"]["test"]
    assert stats["dropped_by_reason"] == {"marked_incorrect": 1, "non_english": 2}
    assert stats["removed"]["foreign"] == {"count": 1, "examples": ["[NE Czech] nashledanou [/NE]"]}
    assert stats["removed"]["brackets"] == {"count": 1, "examples": ["04R(zero four right)"]}
    assert (stats["removed"]["marks"]["count"], "[hes]" in stats["removed"]["marks"]["examples"]) == (9, True)
    boost = CallsignBoost(read_expected(out / f"base/boost/{NAME}.csv"))
    for file in (NAME, rows[0]["id"]):
        assert {"LUFTHANSA THREE NOVEMBER LIMA", "OSCAR KILO PAPA MIKE BRAVO"} <= set(boost.forms(file, 0, 1))
    assert boost.forms("another recording", 0, 1) == ()


def test_one_damaged_file_is_one_rejected_row(corpus):
    folder = corpus / "DATA"
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><data>&b;</data>'
    write_recording(folder, [], name="bomb")
    (folder / "bomb.xml").write_text(bomb)
    write_recording(folder, [], name="empty")
    write_recording(folder, [segment(1, "", "x")], name="gone")
    (folder / "gone.wav").unlink()
    write_recording(folder, [segment(1, "", "x", start="soon"), segment(2, "", "y", end=99), "<segment/>"], name="odd")
    clips = {clip.id: clip for clip in clips_of(corpus)}
    assert "declares the entity 'a'" in clips["bomb"].problem
    assert clips["empty"].left_out == "empty_transcript"
    assert (clips["gone_000300_000590"].audio, clips["gone_000300_000590"].path) == (None, str(folder / "gone.wav"))
    assert "start and end" in clips["odd_segment0001"].problem
    assert "not within the recording of 20.00 s" in clips["odd_000600_009900"].problem
    assert "start and end" in clips["odd_segment0003"].problem
    assert len(clips) == len(LABELS) + 6


def test_names_that_are_not_utf8_are_escaped(corpus, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_recording(corpus / "DATA", [segment(1, "", "roger"), segment(2, "", "dobr\u00fd", foreign=1)], name=name)
    out = tmp_path / "out"
    export.main(
        f"--corpus {corpus} --layout atco2 --train_split null --valid_split null --out_dir {out} --processes 1".split()
    )
    with open(out / "base/test.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["transcript"] == "ROGER"]
    assert [(row["tape"], row["speaker"]) for row in rows] == [("caf\\xe9", "caf\\xe9_A")]
    (boost,) = (path for path in (out / "base/boost").iterdir() if path.stem != NAME)
    assert {row.file for row in read_expected(boost)} == {"caf\\xe9", rows[0]["id"]}
    assert (out / "base/wavs" / f"{rows[0]['id']}.wav").is_file()


def test_a_recording_that_cannot_be_read_is_rejected_rows(corpus, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("atc_asr.corpus.segments.cut", fails)
    assert {clip.problem for clip in clips_of(corpus) if not clip.left_out} == {
        f"{corpus / 'DATA' / NAME}.wav: [Errno {errno.EIO}] Input/output error"
    }


def test_an_end_that_is_rounded_up_is_the_end_of_the_recording(tmp_path):
    folder = write_recording(tmp_path / "c", [segment(6, "", "roger", end=20.3)])
    assert len(clips_of(folder)[0].audio) == 2 * RATE


def test_codes_without_spoken_forms(tmp_path):
    path = tmp_path / "x.info"
    path.write_text("callsigns nearby:\nDLH3NL CSA12B\nN123AB\n")
    assert list(atco2.read_nearby(path).values()) == ["DLH3NL", "CSA12B", "N123AB"]
    path.write_text("airport: LKPR\n")
    assert atco2.read_nearby(path) == {}


def test_a_folder_without_transcripts_and_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"has no transcripts, wanted <recording>\.xml"):
        clips_of(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        clips_of(tmp_path / "gone")
