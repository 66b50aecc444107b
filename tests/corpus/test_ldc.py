"""Reading ATC0 as the LDC distributes it."""

import gzip
import os

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core import text
from atc_asr.core.errors import InputError
from atc_asr.corpus import ldc

RATE = 8000
TRANSCRIPT = """\
((TAPE-HEADER "Dallas Fort Worth (DFW) approach" (ID D1-1)))
((COMMENT "TEXT may hold brackets (like these"))

((FROM DAL13-1)
 (NUM D1-1-0001)
 (TO AAL1581)
 (TEXT AMERICAN FIFTEEN EIGHTY ONE TURN LEFT
       WE (QUOTE LL) CALL / YOU)
 (TIMES 1.00 2.50))

((FROM AAL1581) (NUM D1-1-0002) (TO DAL13-1) (TEXT (UNINTELLIGIBLE) LEFT [NOISE] AND WE 'RE U_S_AIR) (TIMES 3 4.25))
((FROM AAL1581) (TO DAL13-1) (TEXT NO TIMES HERE))
((FROM AAL1581) (TO DAL13-1) (TEXT BEYOND THE END) (TIMES 9.0 11.0))
((FROM AAL1581) (TO DAL13-1) (TEXT BACKWARDS) (TIMES 5.0 4.0))
((FROM AAL1581) (TO DAL13-1) (TEXT LOST BRACKET (TIMES 6.0 7.0))
((FROM N9DN) (TO DAL13-1) (TEXT (UNINTELLIGIBLE)) (TIMES 8.0 9.0))
((TAPE-TAIL "end"))
"""


def speech(seconds=10.0):
    """A smooth signal that differs in every second."""
    time = np.arange(int(RATE * seconds)) / RATE
    return np.rint(3000 * np.sin(2 * np.pi * (200 + 50 * np.floor(time)) * time)).astype(np.int16)


def write_sphere(path, samples, *, stated="10", true="10", **changes):
    fields = {"sample_count": len(samples), "sample_n_bytes": 2, "channel_count": 1, "sample_rate": RATE}
    header = "NIST_1A\n   1024\ndatabase_id -s4 ATC0\n"
    header += "".join(f"{name} -i {value}\n" for name, value in (fields | changes).items())
    header += f"sample_byte_format -s2 {stated}\nsample_coding -s3 pcm\nend_head\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode().ljust(1024) + samples.astype(">i2" if true == "10" else "<i2").tobytes())
    return path


@pytest.fixture
def corpus(tmp_path):
    write_sphere(tmp_path / "atc0_dfw/data/audio/dfw_a1.sph", speech())
    transcript = tmp_path / "atc0_dfw/data/transcripts/DFW_A1.txt"
    transcript.parent.mkdir()
    transcript.write_text(TRANSCRIPT)
    return tmp_path


def clips_of(corpus):
    source = ldc.open_ldc(str(corpus), "base")
    return [clip for shard in source.shards() for clip in source.read(shard)]


@pytest.mark.parametrize(("stated", "true"), [("10", "10"), ("01", "01"), ("01", "10"), ("10", "01")])
def test_a_wrong_byte_order_is_corrected(corpus, caplog, stated, true):
    write_sphere(corpus / "atc0_dfw/data/audio/dfw_a1.sph", speech(), stated=stated, true=true)
    first, second, *_ = clips_of(corpus)
    assert np.array_equal(first.audio, speech()[RATE : RATE * 5 // 2])
    assert np.array_equal(second.audio, speech()[3 * RATE : RATE * 17 // 4])
    assert ("byte order" in caplog.text) == (stated != true)


def test_a_tape_whose_name_is_not_utf8(corpus):
    for folder, suffix in (("audio", ".sph"), ("transcripts", ".txt")):
        (path,) = (corpus / "atc0_dfw/data" / folder).iterdir()
        path.rename(path.with_name(os.fsdecode(b"caf\xe9") + suffix))
    assert {clip.columns["tape"] for clip in clips_of(corpus)} == {"caf\\xe9"}
    assert any(clip.audio is not None for clip in clips_of(corpus))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"channel_count": 3}, "3 channels"),
        ({"sample_n_bytes": 1}, "cannot be read as SPHERE"),
        ({"sample_rate": 0}, "cannot be read as SPHERE"),
        ({"sample_rate": "x"}, "cannot be read as SPHERE"),
    ],
)
def test_an_unsupported_tape(tmp_path, changes, wanted):
    path = write_sphere(tmp_path / "t.sph", speech(), **changes)
    with pytest.raises(InputError, match=wanted):
        ldc.open_sphere(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "t.sph").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"t\.sph: cannot be read as SPHERE"):
        ldc.open_sphere(tmp_path / "t.sph")
    sf.write(tmp_path / "t.wav", speech(), RATE)
    with pytest.raises(InputError, match=r"t\.wav: got WAV, PCM_16, 1 channels; wanted SPHERE"):
        ldc.open_sphere(tmp_path / "t.wav")


def test_transmissions_are_cut_by_their_times(corpus):
    first, second, *_ = clips_of(corpus)
    assert (first.id, second.id) == ("dfw_a1_000100_000250", "dfw_a1_000300_000425")
    assert np.array_equal(first.audio, speech()[RATE : RATE * 5 // 2])
    assert (first.sample_rate, len(second.audio)) == (RATE, RATE * 5 // 4)


def test_transcripts(corpus):
    first, second, *_ = clips_of(corpus)
    assert first.text == "AMERICAN FIFTEEN EIGHTY ONE TURN LEFT WE'LL CALL YOU"
    assert second.text == "(UNINTELLIGIBLE) LEFT [NOISE] AND WE'RE U_S_AIR"
    assert text.normalize(second.text) == "LEFT AND WERE U S AIR"


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (["WE", ["QUOTE", "LL"]], "WE'LL"),
        (["WE", ["quote", "ll"], "GO"], "WE'll GO"),
        (["WE", "'LL"], "WE'LL"),
        (["WE'", "LL"], "WE'LL"),
        (["WE", "'", "LL"], "WE'LL"),
        (["WE'LL"], "WE'LL"),
        (["THE", "PILOTS'", "DOORS"], "THE PILOTS' DOORS"),
        (["TOWER//", "ROGER"], "TOWER ROGER"),
    ],
)
def test_spellings_of_contractions(written, wanted):
    assert ldc.join_text(written) == wanted


def test_speaker_role_and_callsign(corpus):
    first, second, *_ = clips_of(corpus)
    assert first.columns == {"tape": "dfw_a1", "speaker": "DAL13-1", "callsign": "AAL1581", "role": "controller"}
    assert second.columns == {"tape": "dfw_a1", "speaker": "AAL1581", "callsign": "AAL1581", "role": "pilot"}


def test_problems_name_the_line(corpus):
    problems = [clip.problem for clip in clips_of(corpus)[2:]]
    assert problems == [
        "line 12: TIMES are missing, wanted two numbers",
        "line 13: TIMES 9 11 are not within the tape of 10.00 s",
        "line 14: TIMES 5 4 are not within the tape of 10.00 s",
        "line 15: TIMES are missing, wanted two numbers",
        None,
    ]


@pytest.mark.parametrize("times", ["nan 2.0", "1.0 inf", "1.0 1e999", "1.0", "1 2 3", "one two", "(1) 2"])
def test_invalid_times_affect_one_clip(corpus, times):
    transcript = corpus / "atc0_dfw/data/transcripts/DFW_A1.txt"
    transcript.write_text(f"((FROM A) (TO B) (TEXT X) (TIMES {times}))\n((FROM A) (TO B) (TEXT Y) (TIMES 1 2))\n")
    bad, good = clips_of(corpus)
    assert (bad.id, good.id) == ("dfw_a1_line000001", "dfw_a1_000100_000200")
    assert "wanted two numbers" in bad.problem
    assert good.problem is None


def test_one_shard_per_tape(corpus):
    source = ldc.open_ldc(str(corpus), "base")
    assert [(shard.split, shard.size) for shard in source.shards()] == [("train", 7)]


def test_a_missing_tape_and_missing_transcripts(corpus, tmp_path):
    (corpus / "atc0_dfw/data/transcripts/other.txt").write_text(TRANSCRIPT)
    with pytest.raises(InputError, match="has no tape"):
        ldc.open_ldc(str(corpus), "base")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no transcripts"):
        ldc.open_ldc(str(tmp_path / "empty"), "base")


def test_a_truncated_tape_keeps_its_beginning(corpus):
    tape = corpus / "atc0_dfw/data/audio/dfw_a1.sph"
    tape.write_bytes(tape.read_bytes()[: 1024 + 2 * 3 * RATE])
    clips = clips_of(corpus)
    assert clips[0].problem is None
    assert "not within the tape of 3.00 s" in clips[1].problem


def test_two_channels_are_read(corpus):
    stereo = np.stack([speech(), speech() // 2], axis=1)
    tape = corpus / "atc0_dfw/data/audio/dfw_a1.sph"
    write_sphere(tape, stereo, stated="01", sample_count=len(stereo), channel_count=2)
    first = clips_of(corpus)[0]
    assert np.array_equal(first.audio, stereo[RATE : RATE * 5 // 2])


def test_compressed_files_and_upper_case_names(corpus):
    folder = corpus / "atc0_dfw/data"
    before = clips_of(corpus)
    compressed = folder / "TRANSCRIPTS/dfw_a1.TXT.GZ"
    for path, new in (
        (folder / "audio/dfw_a1.sph", folder / "AUDIO/DFW_A1.SPH.gz"),
        (folder / "transcripts/DFW_A1.txt", compressed),
    ):
        new.parent.mkdir()
        new.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    after = clips_of(corpus)
    assert [(clip.id, clip.problem) for clip in after] == [(clip.id, clip.problem) for clip in before]
    assert np.array_equal(after[1].audio, before[1].audio)
    compressed.write_bytes(gzip.compress(TRANSCRIPT.encode())[:-30])
    with pytest.raises(InputError, match=r"dfw_a1\.TXT\.GZ: cannot be read"):
        clips_of(corpus)


def test_an_empty_transcript_is_left_out_and_counted(corpus):
    write_sphere(corpus / "atc0_dfw/data/audio/dfw_a2.sph", speech())
    (corpus / "atc0_dfw/data/transcripts/dfw_a2.txt").touch()
    empty = clips_of(corpus)[-1]
    assert (empty.id, empty.left_out, empty.columns) == ("dfw_a2", "empty_transcript", {"tape": "dfw_a2"})
    assert len(clips_of(corpus)) == 8


def test_hidden_files_and_readme_files_are_passed_over(corpus):
    before = [clip.id for clip in clips_of(corpus)]
    (corpus / "atc0_dfw/data/transcripts/._DFW_A1.txt").write_bytes(b"\0\5\x16\7Mac OS X")
    (corpus / "atc0_dfw/data/audio/._dfw_a1.sph").write_bytes(b"\0\5\x16\7Mac OS X")
    (corpus / "atc0_dfw/data/transcripts/readme.txt").write_text("Transcripts (of tapes) by NIST")
    assert [clip.id for clip in clips_of(corpus)] == before


def test_the_split_is_the_first_that_the_export_wants(corpus):
    source = ldc.open_ldc(str(corpus), "base", splits={"train": None, "valid": None, "test": "test"})
    assert [shard.split for shard in source.shards()] == ["test"]
