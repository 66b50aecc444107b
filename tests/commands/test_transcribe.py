"""The command transcribe on audio files, folders, raw PCM and damaged recordings."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from atc_asr.commands import transcribe
from atc_asr.core.errors import InputError
from tests.echo import FRAME_SAMPLES, SAMPLE_RATE, SCALE, TOKENS, EchoRecognizer, spoken_path

SPOKEN = [("DELTA ONE", 1.0), ("UNITED TWO", 5.0)]


def recording(seconds: float = 10.0) -> np.ndarray:
    """Echo speech at known times on the grid of frames, with silence between (see LoudEcho)."""
    samples = np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32)
    for text, start in SPOKEN:
        path = spoken_path(text, TOKENS)
        speech = np.repeat((path + len(TOKENS)) * SCALE, FRAME_SAMPLES)
        first = round(start * SAMPLE_RATE)
        samples[first : first + len(speech)] = speech
    return samples


class LoudEcho(EchoRecognizer):
    """An echo recogniser whose token numbers are offset by V, so that blanks within speech have a level too."""

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
    transcribe.main(flags(run_dir, run_dir / "tape.wav"))
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["hyp"] for row in rows] == [text for text, _ in SPOKEN]
    for row, (text, start) in zip(rows, SPOKEN, strict=True):
        assert row["start"] == pytest.approx(start, abs=0.1)
        assert row["words"][0]["start"] == pytest.approx(start + 0.04, abs=0.05)
        assert [word["word"] for word in row["words"]] == text.split()


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


def test_other_recordings_are_written_when_one_is_damaged(run_dir: Path) -> None:
    folder = run_dir / "tapes"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF....")
    soundfile.write(folder / "b.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(InputError, match=r"1 of 2 recordings cannot be read: .*a\.wav"):
        transcribe.main(flags(run_dir, folder, "--out_dir", run_dir / "out"))
    assert [path.name for path in (run_dir / "out").iterdir()] == ["b.jsonl"]


@pytest.mark.parametrize("file_format", ["jsonl", "TextGrid"])
def test_a_recording_damaged_in_the_middle_has_no_output(run_dir: Path, file_format: str) -> None:
    noise = np.random.default_rng(1).normal(scale=1e-3, size=20 * SAMPLE_RATE).astype(np.float32)
    noise[: 10 * SAMPLE_RATE] += recording()
    soundfile.write(run_dir / "a.flac", noise, SAMPLE_RATE)
    data = (run_dir / "a.flac").read_bytes()
    (run_dir / "a.flac").write_bytes(data[: len(data) // 2] + b"\xff" * (len(data) // 2))
    with pytest.raises(InputError, match="1 of 1 recordings cannot be read"):
        transcribe.main(flags(run_dir, run_dir / "a.flac", "--out_dir", run_dir / "out", "--format", file_format))
    assert not (run_dir / "out").exists()


def test_a_transcript_is_written_while_later_recordings_are_read(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        soundfile.write(run_dir / f"{name}.wav", recording(), SAMPLE_RATE, subtype="FLOAT")
    written: list[set[str]] = []
    read_blocks = transcribe.read_blocks

    def read_and_look(file: Path, sample_rate: int) -> Iterator[np.ndarray]:
        written.append({path.name for path in run_dir.glob("out/*")})
        yield from read_blocks(file, sample_rate)

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
        patch.setattr("atc_asr.transcribe.segment.FLOOR_SECONDS", 2.0)
        patch.setattr("sys.stdin", SimpleNamespace(buffer=Radio()))
        patch.setattr("sys.stdout", SimpleNamespace(write=lambda line: written.append(read[0]), flush=lambda: None))
        transcribe.main(flags(run_dir, "-"))
    assert len(written) == 2
    assert written[0] < 4
    assert written[1] < 10


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["missing.wav"], r"missing\.wav: no such file"),
        (["-", "other.wav"], "wanted standard input alone"),
        ([__file__, "--device", "tape7"], "--device tape7: cannot be used"),
        ([__file__, "--search", "lexicon"], "decode.beam_size: got 1 with decode.search lexicon"),
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
    for name in ("a.wav", "a.flac"):
        soundfile.write(run_dir / "empty" / name, np.zeros(100), SAMPLE_RATE)
    with pytest.raises(InputError, match="has the same output as"):
        transcribe.main(flags(run_dir, run_dir / "empty"))
