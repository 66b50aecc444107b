"""The command transcribe on audio files, folders, raw PCM and damaged recordings."""

import io
import json
import logging
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from atc_asr.commands import transcribe
from atc_asr.core.errors import InputError
from benchmarks.recordings import UNREADABLE
from tests.echo import FRAME_SAMPLES, SAMPLE_RATE, TOKENS, EchoRecognizer, log_posteriors, spoken_path

SPOKEN = [("DELTA ONE", 1.0), ("UNITED TWO", 5.0)]
FIRST_BIN = 41  # of a frame's spectrum, with the tone of token 0; 25 Hz each
NOISE = 1e-3


def speech(text: str) -> np.ndarray:
    """A tone for every frame of a path, whose frequency is the number of the token."""
    bins = FIRST_BIN + 2 * spoken_path(text, TOKENS)
    phase = 2 * np.pi * np.outer(bins, np.arange(FRAME_SAMPLES)) / FRAME_SAMPLES
    return 0.1 * np.sin(phase).ravel()


def recording(seconds: float = 10.0, spoken: list[tuple[str, float]] = SPOKEN, seed: int = 0) -> np.ndarray:
    """Speech for `ToneEcho` at known times on the grid of frames, in weak noise."""
    samples = NOISE * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    for text, start in spoken:
        first = round(start * SAMPLE_RATE)
        samples[first : first + len(speech(text))] += speech(text)
    return samples.astype(np.float32)


class ToneEcho(EchoRecognizer):
    """A recogniser of `speech` at any level: the loudest tone of a frame is its token."""

    def log_probs(self, wavs, wav_lens):
        num_frames = torch.ceil(wav_lens * wavs.shape[1] / FRAME_SAMPLES - 1e-3).long()
        wavs = torch.nn.functional.pad(wavs, (0, -wavs.shape[1] % FRAME_SAMPLES))
        spectra = torch.fft.rfft(wavs.reshape(len(wavs), -1, FRAME_SAMPLES)).abs()
        tones = spectra[:, :, FIRST_BIN : FIRST_BIN + 2 * len(TOKENS) : 2]
        paths = torch.where(tones.amax(2) > 0.2 * tones.amax(), tones.argmax(2), 0).numpy()
        return torch.from_numpy(np.stack([log_posteriors(path, len(TOKENS), self.peak) for path in paths])), num_frames


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("atc_asr.model.run_folder.load_recognizer", lambda *_, **__: ToneEcho())
    return tmp_path


def flags(run_dir: Path, *more: object) -> list[str]:
    more = ("--search", "greedy", *more, "--checkpoint_dir", run_dir, "--padding_seconds", 0.04)
    return [str(item) for item in more]


def test_a_file_on_standard_output(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(run_dir / "tape.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    transcribe.main(flags(run_dir, run_dir / "tape.wav"))
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["hyp"] for row in rows] == [text for text, _ in SPOKEN]
    for row, (text, start) in zip(rows, SPOKEN, strict=True):
        assert row["start"] == pytest.approx(start, abs=0.1)
        assert row["words"][0]["start"] == pytest.approx(start + 0.04, abs=0.05)
        assert [word["word"] for word in row["words"]] == text.split()


def test_slots_have_times_of_the_recording(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(run_dir / "tape.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    (run_dir / "calibration.json").write_text('{"slope": 0.5, "intercept": -3}')
    transcribe.main(flags(run_dir, run_dir / "tape.wav", "--slots", "--calibration", run_dir / "calibration.json"))
    for line, callsign in zip(capsys.readouterr().out.splitlines(), ("DAL1", "UAL2"), strict=True):
        row = json.loads(line)
        (slot,), words = row["slots"], row["words"]
        assert (row["callsign"], slot["value"], slot["last_word"]) == (callsign, callsign, 1)
        assert (slot["start"], slot["end"]) == (words[0]["start"], words[1]["end"])
        assert slot["confidence"] == min(word["confidence"] for word in words) < 0.7
        assert slot["doubtful"] == row["hyp"].split()
    transcribe.main(flags(run_dir, run_dir / "tape.wav", "--slots", "false"))
    assert "slots" not in json.loads(capsys.readouterr().out.splitlines()[0])


def test_the_parts_of_a_folder_are_one_run(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    for number in range(3):
        soundfile.write(run_dir / f"{number}.wav", recording()[number * 100 :], SAMPLE_RATE, subtype="FLOAT")
    parts = []
    for more in ([], ["--shard", "1/2"], ["--shard", "2/2"], ["--shard", "1/4"]):
        transcribe.main(flags(run_dir, run_dir, *more))
        parts.append(capsys.readouterr().out)
    whole, first, second, nothing = parts
    assert first.count("0.wav") and second.count("2.wav") and nothing == ""
    assert first + second == whole


def test_a_folder_with_several_audio_formats(run_dir: Path) -> None:
    folder = run_dir / "tapes"
    (folder / "day").mkdir(parents=True)
    mono = recording()
    soundfile.write(folder / "day" / "a.flac", np.stack([mono, mono], axis=1), SAMPLE_RATE, subtype="PCM_24")
    soundfile.write(folder / "b.wav", np.repeat(mono, 3), 3 * SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (folder / "notes.txt").write_text("no audio")
    transcribe.main(flags(run_dir, folder, "--out_dir", run_dir / "out", "--format", "srt"))
    assert "DELTA ONE" in (run_dir / "out" / "day" / "a.srt").read_text()
    assert (run_dir / "out" / "b.srt").read_text().count("-->") == 2
    assert (run_dir / "out" / "silent.srt").read_text() == ""


@pytest.mark.parametrize("file_format", ["jsonl", "TextGrid"])
def test_a_recording_damaged_in_the_middle_has_no_output(run_dir: Path, file_format: str) -> None:
    soundfile.write(run_dir / "a.flac", recording(20.0), SAMPLE_RATE)
    data = (run_dir / "a.flac").read_bytes()
    (run_dir / "a.flac").write_bytes(data[: len(data) // 2] + b"\xff" * (len(data) // 2))
    with pytest.raises(InputError, match="none of 1 recordings could be transcribed"):
        transcribe.main(flags(run_dir, run_dir / "a.flac", "--out_dir", run_dir / "out", "--format", file_format))
    assert not (run_dir / "out").exists()


def test_a_transcript_is_written_while_later_recordings_are_read(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        soundfile.write(run_dir / f"{name}.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    written: list[set[str]] = []
    read_blocks = transcribe.read_blocks

    def read_and_look(track, audio) -> Iterator[np.ndarray]:
        written.append({path.name for path in run_dir.glob("out/*")})
        yield from read_blocks(track, audio)

    monkeypatch.setattr(transcribe, "read_blocks", read_and_look)
    monkeypatch.setattr(transcribe, "BATCHES_PER_GROUP", 0)
    transcribe.main(flags(run_dir, *sorted(run_dir.glob("*.wav")), "--out_dir", run_dir / "out"))
    assert written == [set(), set(), {"a.jsonl"}]
    assert len(list(run_dir.glob("out/*"))) == 3


def test_a_file_given_twice_is_transcribed_once(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(run_dir / "tape.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    transcribe.main(flags(run_dir, run_dir / "tape.wav", run_dir / "tape.wav"))
    assert len(capsys.readouterr().out.splitlines()) == len(SPOKEN)


def test_raw_pcm(run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pcm = (recording() * 32768).astype("<i2").tobytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(pcm + b"\0")))
    transcribe.main(flags(run_dir, "-"))
    assert [json.loads(line)["hyp"] for line in capsys.readouterr().out.splitlines()] == [text for text, _ in SPOKEN]


def test_live_transmissions_are_written_before_the_stream_ends(run_dir: Path) -> None:
    written: list[float] = []
    read = [0.0]

    class Radio(io.RawIOBase):
        def __init__(self) -> None:
            self.data = io.BytesIO((recording(40.0) * 32768).astype("<i2").tobytes())

        def read(self, size: int = -1) -> bytes:
            read[0] += size / 2 / SAMPLE_RATE
            return self.data.read(size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", SimpleNamespace(buffer=Radio()))
        patch.setattr("sys.stdout", SimpleNamespace(write=lambda line: written.append(read[0]), flush=lambda: None))
        transcribe.main(flags(run_dir, "-"))
    assert len(written) == 2
    ends = [start + len(speech(text)) / SAMPLE_RATE for text, start in SPOKEN]
    assert all(shown <= end + 1.0 for shown, end in zip(written, ends, strict=True))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["missing.wav"], r"missing\.wav: no such file"),
        (["-", "other.wav"], "wanted standard input alone"),
        (["-", "--shard", "1/2"], "wanted standard input alone"),
        ([__file__, "--shard", "3/2"], r"--shard: got '3/2', wanted I/N with I from 1 to N"),
        ([__file__, "--device", "tape7"], "--device tape7: cannot be used"),
        ([__file__, "--search", "lexicon", "--beam_size", 1], "decode.beam_size: got 1 with decode.search lexicon"),
        (["-", "--pcm_rate", "10"], "--pcm_rate: got '10', wanted int >= 1000"),
        ([__file__, "--format", "doc"], "--format: got 'doc', wanted one of jsonl, srt, vtt, TextGrid"),
    ],
)
def test_unusable_inputs(run_dir: Path, more: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        transcribe.main(flags(run_dir, *more))


def test_a_folder_without_audio_and_equal_outputs_are_refused(run_dir: Path) -> None:
    (run_dir / "empty").mkdir()
    with pytest.raises(InputError, match="holds no audio files"):
        transcribe.main(flags(run_dir, run_dir / "empty"))
    for folder in ("one", "two"):
        (run_dir / folder).mkdir()
        soundfile.write(run_dir / folder / "a.wav", np.zeros(100), SAMPLE_RATE)
    with pytest.raises(InputError, match="has the same output as"):
        transcribe.main(flags(run_dir, run_dir / "one", run_dir / "two"))


def wav(samples: np.ndarray | None = None, rate: int = SAMPLE_RATE, **settings: str) -> bytes:
    file = io.BytesIO()
    samples = recording() if samples is None else samples
    soundfile.write(file, samples, rate, **{"format": "WAV", "subtype": "PCM_16"} | settings)
    return file.getvalue()


def with_size(size: int) -> bytes:
    """A WAV whose header has another size of its audio."""
    data = bytearray(wav())
    data[40:44] = struct.pack("<I", size)
    return bytes(data)


def texts(run_dir: Path, name: str) -> list[str]:
    """The transmissions in a transcript."""
    return [json.loads(line)["hyp"] for line in (run_dir / "out" / f"{name}.jsonl").read_text().splitlines()]


def transcribe_folder(run_dir: Path, files: dict[str, bytes], *more: object) -> int:
    """Write and transcribe a folder of files; returns the exit code."""
    folder = run_dir / "tapes"
    for name, data in files.items():
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        transcribe.main(flags(run_dir, folder, "--out_dir", run_dir / "out", *more))
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
    return 0


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)


WORDS = [text for text, _ in SPOKEN]


@pytest.mark.usefixtures("no_ffmpeg")
def test_ten_kinds_of_unreadable_recordings_are_named_and_stop_no_other(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {name: make() for name, make in UNREADABLE.items()} | {"a.wav": wav(), "z.wav": wav()}
    with caplog.at_level(logging.INFO):
        assert transcribe_folder(run_dir, files) == 1
    assert texts(run_dir, "a") == texts(run_dir, "z") == WORDS
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == len(UNREADABLE)
    assert all(sum(f"/{name}: left out: " in error for error in errors) == 1 for name in UNREADABLE)
    assert "2 recordings" in caplog.messages[-1]
    assert "10 left out" in caplog.messages[-1]


def test_any_exception_of_one_recording_stops_no_other(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_blocks = transcribe.read_blocks

    def fail_on_b(track, audio) -> Iterator[np.ndarray]:
        yield from read_blocks(track, audio)
        if track.path.stem == "b":
            raise ZeroDivisionError

    monkeypatch.setattr(transcribe, "read_blocks", fail_on_b)
    assert transcribe_folder(run_dir, {f"{name}.wav": wav() for name in "abc"}) == 1
    assert texts(run_dir, "a") == texts(run_dir, "c") == WORDS
    assert not (run_dir / "out" / "b.jsonl").exists()


def test_gsm_and_other_encodings(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    slow = recording()[::2]  # 8 kHz
    files = {
        "gsm.wav": wav(slow, 8000, subtype="GSM610"),
        "ulaw.wav": wav(slow, 8000, subtype="ULAW"),
        "adpcm.wav": wav(subtype="MS_ADPCM"),
        "float.aiff": wav(format="AIFF", subtype="FLOAT"),
        "x.mp3": wav(format="MP3", subtype="MPEG_LAYER_III"),
        "x.opus": wav(format="OGG", subtype="OPUS"),
    }
    assert transcribe_folder(run_dir, files) == 0
    assert caplog.text.count("gsm.wav: is coded as GSM 6.10, which loses much of the voice") == 1
    assert caplog.text.count("is coded as") == 1
    assert len(texts(run_dir, "gsm")) == 2  # it is made for voices, and changes tones
    for name in ("ulaw", "adpcm", "float", "x.mp3", "x.opus"):
        assert texts(run_dir, name) == WORDS, name


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (lambda: with_size(0), "using the 320000 that are there"),
        (lambda: with_size(0x7FFFF000), "using the 320000 that are there"),
        (lambda: with_size(0x7FFFFFFF), "using the 320000 that are there"),
        (lambda: with_size(0xFFFFFFFF), "using the 320000 that are there"),
        (lambda: with_size(320100), "is truncated: 100 of 320100 bytes of audio are missing"),
    ],
)
def test_the_audio_behind_a_wrong_header_is_used_with_one_warning(
    run_dir: Path, caplog: pytest.LogCaptureFixture, data: Callable[[], bytes], warning: str
) -> None:
    assert transcribe_folder(run_dir, {"a.wav": data()}) == 0
    assert texts(run_dir, "a") == WORDS
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning in message


FAKE_FFMPEG = """
import sys
assert sys.argv[sys.argv.index("-i") + 1].startswith("file:")
path = sys.argv[sys.argv.index("-i") + 1][5:]
data = open(path, "rb").read()
if not data.startswith(b"AU inside"):
    sys.exit("first line\\nInvalid data found")
sys.stdout.buffer.write(data[9:])
"""


def test_ffmpeg_reads_what_libsndfile_does_not(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (run_dir / "bin").mkdir()
    (run_dir / "bin" / "ffmpeg.py").write_text(FAKE_FFMPEG)
    (run_dir / "bin" / "ffmpeg").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$0.py" "$@"\n')
    (run_dir / "bin" / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{run_dir / 'bin'}{os.pathsep}{os.environ['PATH']}")
    stereo = np.stack([recording(), recording()], axis=1)
    au = b"AU inside" + wav(stereo, format="AU", subtype="FLOAT", endian="BIG")
    assert transcribe_folder(run_dir, {"a.m4a": au, "b.webm": b"\x1aE\xdf\xa3", "c.wav": wav()}) == 1
    assert texts(run_dir, "a") == texts(run_dir, "c") == WORDS
    assert "b.webm: left out: ffmpeg: Invalid data found" in caplog.text


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")
def test_the_real_ffmpeg_reads_m4a(run_dir: Path) -> None:
    import subprocess

    (run_dir / "a.wav").write_bytes(wav())
    subprocess.run(["ffmpeg", "-v", "error", "-i", run_dir / "a.wav", run_dir / "a.m4a"], check=True)
    assert transcribe_folder(run_dir, {"a.m4a": (run_dir / "a.m4a").read_bytes()}) == 0
    assert texts(run_dir, "a") == WORDS


LEFT, RIGHT = [("DELTA ONE", 1.0), ("MAYDAY", 6.0)], [("UNITED TWO", 1.5)]


@pytest.fixture
def two_radios() -> bytes:
    return wav(np.stack([recording(10.0, LEFT, 1), recording(10.0, RIGHT, 2)], axis=1))


def test_channels_are_split_or_chosen(run_dir: Path, two_radios: bytes) -> None:
    assert transcribe_folder(run_dir, {"a.wav": two_radios, "mono.wav": wav()}, "--channels", "split") == 0
    assert texts(run_dir, "a.left") == [text for text, _ in LEFT]
    assert texts(run_dir, "a.right") == [text for text, _ in RIGHT]
    assert texts(run_dir, "mono") == WORDS
    row = json.loads((run_dir / "out" / "a.right.jsonl").read_text())
    assert row["channel"] == "right"
    assert row["id"].endswith(f"a.wav#right#{round(1000 * row['start']):09d}")
    for side, spoken in (("left", LEFT), ("right", RIGHT)):
        assert transcribe_folder(run_dir, {}, "--channels", side) == 0
        assert texts(run_dir, "a") == [text for text, _ in spoken]
        assert texts(run_dir, "mono") == WORDS


def test_channels_of_live_audio_are_split(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pcm = soundfile.read(io.BytesIO(wav(np.stack([recording(), recording(10.0, RIGHT)], 1))), dtype="<i2")[0].tobytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(pcm)))
    transcribe.main(flags(run_dir, "-", "--pcm_channels", 2, "--channels", "split"))
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted((row["channel"], row["hyp"]) for row in rows) == [
        ("left", "DELTA ONE"), ("left", "UNITED TWO"), ("right", "UNITED TWO")
    ]  # fmt: skip


@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_channels_that_cancel_are_noticed(run_dir: Path, caplog: pytest.LogCaptureFixture, offset: float) -> None:
    samples = np.stack([recording(), -recording()], axis=1) + offset
    assert transcribe_folder(run_dir, {"a.wav": wav(samples)}) == 0
    assert texts(run_dir, "a") == WORDS
    assert caplog.text.count("the channels cancel in the mix, using the") == 1


def test_different_channels_are_mixed_without_a_warning(
    run_dir: Path, caplog: pytest.LogCaptureFixture, two_radios: bytes
) -> None:
    assert transcribe_folder(run_dir, {"a.wav": two_radios}) == 0
    assert "cancel" not in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda samples: samples + 0.2,
        lambda samples: samples + 0.07 * np.sin(2 * np.pi * 50 * np.arange(len(samples)) / SAMPLE_RATE),
        lambda samples: samples * 0.02,
        lambda samples: samples * 8.0,
    ],
)
def test_offset_hum_and_gain_change_no_word(run_dir: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    assert transcribe_folder(run_dir, {"a.wav": wav(change(recording()).astype(np.float32))}) == 0
    assert texts(run_dir, "a") == WORDS


def test_a_recording_without_words_is_warned_about_and_counted(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = recording(6.0, [])
    with caplog.at_level(logging.INFO):
        assert transcribe_folder(run_dir, {"a.wav": wav(noise), "b.wav": wav()}) == 0
    assert texts(run_dir, "a") == []
    # -60 dB in 8 kHz, of which 3.1 kHz are the voice band
    assert "a.wav: no words found in 0 transmissions, 6.0 s of audio with a level of -64.1 dB" in caplog.text
    assert "2 recordings" in caplog.messages[-1]
    assert "1 transcripts without words, 0 left out" in caplog.messages[-1]


def test_quiet_and_clipped_recordings_are_warned_about(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {"quiet.wav": wav(0.0005 * recording()), "loud.wav": wav(np.clip(40 * recording(), -1, 1))}
    assert transcribe_folder(run_dir, files, "--min_level", "-60") == 0
    assert "quiet.wav: 2.4 s of sound above the noise are below segment.min_level (-60 dB" in caplog.text
    assert "loud.wav: 19.8 % of the samples are clipped" in caplog.text


def test_recordings_of_one_name_have_outputs_of_their_own(run_dir: Path) -> None:
    files = {
        "a.wav": wav(),
        "a.flac": wav(recording(10.0, RIGHT), format="FLAC"),
        "day/a.wav": wav(),
        "a.wav.wav": wav(),
    }
    assert transcribe_folder(run_dir, files) == 0
    outputs = {str(path.relative_to(run_dir / "out")) for path in (run_dir / "out").rglob("*.jsonl")}
    assert outputs == {"a.wav.jsonl", "a.flac.jsonl", "a.wav.wav.jsonl", "day/a.jsonl"}
    assert texts(run_dir, "a.flac") == ["UNITED TWO"]


def test_a_recording_given_twice_is_one_recording(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_dir / "tapes"
    (folder / "day").mkdir(parents=True)
    (folder / "day" / "a.wav").write_bytes(wav())
    (run_dir / "link").symlink_to(folder)
    more = (folder, folder / "day", run_dir / "link" / "day" / "a.wav", "--out_dir", run_dir / "out")
    transcribe.main(flags(run_dir, folder / "day" / "a.wav", *more))
    assert [path.name for path in (run_dir / "out").rglob("*")] == ["a.jsonl"]
    assert texts(run_dir, "a") == WORDS


def test_a_name_that_is_not_utf8_loses_no_recording(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    try:
        assert transcribe_folder(run_dir, {name: wav(), "b.wav": wav()}) == 0
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    assert texts(run_dir, os.fsdecode(b"caf\xe9")) == texts(run_dir, "b") == WORDS
    transcribe.main(flags(run_dir, run_dir / "tapes"))
    files = {json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()}
    assert files == {str(run_dir / "tapes" / "caf\\xe9.wav"), str(run_dir / "tapes" / "b.wav")}


def test_a_transcript_whose_name_is_too_long_is_left_out(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert transcribe_folder(run_dir, {f"{'x' * 251}.wav": wav(), "b.wav": wav()}) == 1
    assert texts(run_dir, "b") == WORDS
    assert "left out: File name too long" in caplog.text


def test_other_files_and_hidden_ones_are_listed_and_broken_links_left_out(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (run_dir / "tapes").mkdir()
    (run_dir / "tapes" / "gone.wav").symlink_to(run_dir / "nowhere.wav")
    with caplog.at_level(logging.INFO):
        assert transcribe_folder(run_dir, {"a.wav": wav(), "._a.wav": b"x", "notes.txt": b"x"}) == 1
    assert "2 other files are no audio by their names: " in caplog.text
    assert "gone.wav: left out: No such file or directory" in caplog.text
    assert texts(run_dir, "a") == WORDS
