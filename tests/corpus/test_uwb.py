"""Reading UWB-ATCC in its own distribution: Transcriber and STM files."""

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core.errors import InputError
from atc_asr.core.text import normalize
from atc_asr.corpus import conventions, uwb

RATE = 8000
SPLITS = {"train": "train", "valid": None, "test": None}
TRS = """\
<?xml version="1.0" encoding="CP1250"?>
<!DOCTYPE Trans SYSTEM "trans-14.dtd">
<Trans scribe="x" audio_filename="e2_ACCU-1.wav" version="1">
<Episode><Section type="report" startTime="0" endTime="9.5">
<Turn startTime="0" endTime="9.5">
<Sync time="0"/>
..
<Sync time="1.0"/>
[ground] (CSA(C S A)) 7 5 8 dobrý den
<Sync time="2.5"/>
[air_|] roger [|_air] <Event desc="cs" type="language" extent="begin"/>nashledanou
<Event desc="cs" type="language" extent="end"/>
[ground_|] bye [|_ground]
<Sync time="4.0"/>
[noise]
<Sync time="5.0"/>
[air] [unintelligible] <Event desc="b" type="noise" extent="instantaneous"/>
<Sync time="6.0"/>
no speaker
</Turn></Section></Episode></Trans>
"""


def write_wav(path, seconds=9.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, int(RATE * seconds)), RATE)


@pytest.fixture
def corpus(tmp_path):
    write_wav(tmp_path / "ZCU/audio/ACCU-1.wav")
    (tmp_path / "ZCU/transcripts").mkdir()
    (tmp_path / "ZCU/transcripts/ACCU-1.trs").write_bytes(TRS.encode("cp1250"))
    return tmp_path / "ZCU"


def clips_of(corpus):
    source = uwb.open_uwb(str(corpus), "base", splits=SPLITS)
    return [clip for shard in source.shards() for clip in source.read(shard)]


def words(clip):
    return normalize(conventions.apply(clip.text, "uwb")[0])


def test_parts_between_marks_of_time(corpus):
    clips = clips_of(corpus)
    assert [(clip.id, words(clip), clip.columns["role"]) for clip in clips] == [
        ("ACCU-1_000100_000250", "CSA 7 5 8 DOBRY DEN", "controller"),
        ("ACCU-1_000250_000400", "ROGER BYE", "both"),
        ("ACCU-1_000500_000600", "", "pilot"),
        ("ACCU-1_000600_000950", "NO SPEAKER", ""),
    ]
    assert {clip.columns["tape"] for clip in clips} == {"ACCU-1"}
    samples = sf.read(corpus / "audio/ACCU-1.wav", dtype="float32", always_2d=True)[0]
    assert np.array_equal(clips[0].audio, samples[RATE : RATE * 5 // 2])
    assert clips[0].sample_rate == RATE


def test_a_file_without_its_last_end_tags_is_used(corpus, caplog):
    whole = clips_of(corpus)
    (corpus / "transcripts/ACCU-1.trs").write_bytes(
        TRS.encode("cp1250")[: -len("</Turn></Section></Episode></Trans>\n")]
    )
    assert [(clip.id, clip.text) for clip in clips_of(corpus)] == [(clip.id, clip.text) for clip in whole]
    assert "ends before its last end tags" in caplog.text


def test_stm(tmp_path):
    write_wav(tmp_path / "TWR-1.wav")
    lines = (";; x", "TWR-1 A x 0.50 2.00 <,,,> [ground] dobrý den", "", "TWR-1 A x 2 3.5 [air] (QNH(Q N H)) 1 0 1 3")
    (tmp_path / "all.stm").write_bytes("\n".join(lines).encode("cp1250"))
    assert [(clip.id, words(clip), clip.columns) for clip in clips_of(tmp_path)] == [
        ("TWR-1_000050_000200", "DOBRY DEN", {"tape": "TWR-1", "role": "controller"}),
        ("TWR-1_000200_000350", "QNH 1 0 1 3", {"tape": "TWR-1", "role": "pilot"}),
    ]


def test_damaged_and_empty_transcripts_are_one_row_each(corpus):
    (corpus / "transcripts/bad.trs").write_text("<Trans><Turn></Trans>")
    (corpus / "transcripts/times.trs").write_text('<Trans><Turn endTime="x"><Sync time="0"/>[air] x</Turn></Trans>')
    (corpus / "transcripts/none.trs").write_text("<Trans/>")
    (corpus / "transcripts/bad.stm").write_text("TWR-1 hello\n")
    clips = {clip.id: clip for clip in clips_of(corpus)}
    assert len(clips) == 7  # both files bad.* are the row bad
    assert "wanted recording, channel" in clips["bad"].problem or "is not XML" in clips["bad"].problem
    assert "could not convert" in clips["times"].problem
    assert clips["none"].left_out == "empty_transcript"
    with pytest.raises(InputError, match="has no transcripts"):
        clips_of(corpus / "audio")
