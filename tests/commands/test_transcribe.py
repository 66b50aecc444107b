"""Recordings in, transmissions out: files of several kinds, folders, raw PCM, and what cannot be read."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import atc_asr.commands.transcribe
from atc_asr.core.errors import InputError
from atc_asr.transcribe.captions import Transmission
from tests.echo import FRAME_SAMPLES, SAMPLE_RATE, SCALE, TOKENS, EchoRecognizer, spoken_path

SPOKEN = [("DELTA ONE", 1.0), ("UNITED TWO", 5.0)]


def recording(seconds: float = 10.0) -> np.ndarray:
    """Echo speech at known times, on a grid of frames, silence between (blank carries a level too, to be heard)."""
    samples = np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32)
    for text, start in SPOKEN:
        path = spoken_path(text, TOKENS)
        speech = np.repeat((path + len(TOKENS)) * SCALE, FRAME_SAMPLES)
        first = round(start * SAMPLE_RATE)
        samples[first : first + len(speech)] = speech
    return samples


class LoudEcho(EchoRecognizer):
    """Token numbers lie `V` steps up, so that blanks inside speech are loud; quieter samples are blanks."""

    def log_probs(self, wavs, wav_lens):
        return super().log_probs((wavs - len(TOKENS) * SCALE).clamp(min=0), wav_lens)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("atc_asr.model.run_folder.load_recognizer", lambda *_, **__: LoudEcho())
    return tmp_path


def flags(run_dir: Path, *more: object) -> list[str]:
    return [str(item) for item in (*more, "--checkpoint_dir", run_dir, "--padding_seconds", 0.04)]


def test_a_file_on_standard_output(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(run_dir / "tape.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    atc_asr.commands.transcribe.main(flags(run_dir, run_dir / "tape.wav"))
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["hyp"] for row in rows] == [text for text, _ in SPOKEN]
    for row, (text, start) in zip(rows, SPOKEN, strict=True):
        assert row["start"] == pytest.approx(start, abs=0.1)
        assert row["words"][0]["start"] == pytest.approx(start + 0.04, abs=0.05)
        assert [word["word"] for word in row["words"]] == text.split()


def test_a_folder_of_many_kinds(run_dir: Path) -> None:
    folder = run_dir / "tapes"
    (folder / "day").mkdir(parents=True)
    mono = recording()
    soundfile.write(folder / "day" / "a.flac", np.stack([mono, mono], axis=1), SAMPLE_RATE, subtype="PCM_24")
    soundfile.write(folder / "b.wav", np.repeat(mono, 3), 3 * SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (folder / "notes.txt").write_text("no audio")
    atc_asr.commands.transcribe.main(flags(run_dir, folder, "--out_dir", run_dir / "out", "--format", "srt"))
    assert "DELTA ONE" in (run_dir / "out" / "day" / "a.srt").read_text()
    assert (run_dir / "out" / "b.srt").read_text().count("-->") == 2
    assert (run_dir / "out" / "silent.srt").read_text() == ""


def test_one_damaged_recording_does_not_stop_the_others(run_dir: Path) -> None:
    folder = run_dir / "tapes"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF....")
    soundfile.write(folder / "b.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(InputError, match=r"1 of 2 recordings cannot be read: .*a\.wav"):
        atc_asr.commands.transcribe.main(flags(run_dir, folder, "--out_dir", run_dir / "out"))
    assert [path.name for path in (run_dir / "out").iterdir()] == ["b.jsonl"]


@pytest.mark.parametrize("file_format", ["jsonl", "TextGrid"])
def test_a_recording_that_breaks_off_leaves_nothing(run_dir: Path, file_format: str) -> None:
    noise = np.random.default_rng(1).normal(scale=1e-3, size=20 * SAMPLE_RATE).astype(np.float32)
    noise[: 10 * SAMPLE_RATE] += recording()
    soundfile.write(run_dir / "a.flac", noise, SAMPLE_RATE)
    data = (run_dir / "a.flac").read_bytes()
    (run_dir / "a.flac").write_bytes(data[: len(data) // 2] + b"\xff" * (len(data) // 2))
    with pytest.raises(InputError, match="1 of 1 recordings cannot be read"):
        atc_asr.commands.transcribe.main(
            flags(run_dir, run_dir / "a.flac", "--out_dir", run_dir / "out", "--format", file_format)
        )
    assert list((run_dir / "out").iterdir()) == []


def test_transmissions_are_handed_on_as_they_come() -> None:
    taken: list[str] = []

    def stream() -> Iterator[Transmission]:
        for file, hyp in (("a", "ONE"), ("a", "TWO"), ("c", "THREE"), ("c", "FOUR")):
            taken.append(hyp)
            yield Transmission(file, 0.0, 1.0, hyp, 0.0, ())

    heard = {}
    for file, name, transmissions in atc_asr.commands.transcribe.by_recording(
        [(Path(name), Path(name)) for name in "abcd"], stream()
    ):
        heard[name.name] = [one.hyp for one in transmissions]
        if file.name == "a":
            assert taken == ["ONE", "TWO", "THREE"]
    assert heard == {"a": ["ONE", "TWO"], "b": [], "c": ["THREE", "FOUR"], "d": []}


def test_raw_pcm_as_it_arrives(run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pcm = (recording() * 32768).astype("<i2").tobytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(pcm + b"\0")))
    atc_asr.commands.transcribe.main(flags(run_dir, "-"))
    assert [json.loads(line)["hyp"] for line in capsys.readouterr().out.splitlines()] == [text for text, _ in SPOKEN]


def test_live_transmissions_do_not_wait_for_the_end(run_dir: Path) -> None:
    heard: list[float] = []
    taken = [0.0]

    class Radio(io.RawIOBase):
        def __init__(self) -> None:
            self.data = io.BytesIO((recording(40.0) * 32768).astype("<i2").tobytes())

        def read(self, size: int = -1) -> bytes:
            taken[0] += size / 2 / SAMPLE_RATE
            return self.data.read(size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", SimpleNamespace(buffer=Radio()))
        patch.setattr("sys.stdout", SimpleNamespace(write=lambda line: heard.append(taken[0]), flush=lambda: None))
        atc_asr.commands.transcribe.main(flags(run_dir, "-", "--floor_seconds", 2))
    assert len(heard) == 2
    assert heard[0] < 4
    assert heard[1] < 10


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["missing.wav"], r"missing\.wav: no such file"),
        (["-", "other.wav"], "standard input goes alone"),
        ([__file__, "--device", "tape7"], "--device tape7: cannot be used"),
    ],
)
def test_inputs_that_are_not_there(run_dir: Path, more: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        atc_asr.commands.transcribe.main(flags(run_dir, *more))


def test_folders_without_audio_and_outputs_that_collide(run_dir: Path) -> None:
    (run_dir / "empty").mkdir()
    with pytest.raises(InputError, match="holds no audio files"):
        atc_asr.commands.transcribe.main(flags(run_dir, run_dir / "empty"))
    for name in ("a.wav", "a.flac"):
        soundfile.write(run_dir / "empty" / name, np.zeros(100), SAMPLE_RATE)
    with pytest.raises(InputError, match="its output would be that of"):
        atc_asr.commands.transcribe.main(flags(run_dir, run_dir / "empty"))
