"""WAV headers that announce another length than the file has, on files and on their content."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core import audio_files
from atc_asr.core.audio_files import AudioError, find_data_chunk, open_audio, read_samples

SAMPLES = np.random.default_rng(0).integers(-1000, 1000, 800).astype(np.int16)
SIZE_AT = 40  # position of the data chunk's size in a WAV of soundfile


def wav(size: int | None = None) -> bytes:
    """A WAV of SAMPLES, with another size in the header."""
    file = io.BytesIO()
    sf.write(file, SAMPLES, 8000, format="WAV", subtype="PCM_16")
    data = bytearray(file.getvalue())
    if size is not None:
        data[SIZE_AT : SIZE_AT + 4] = struct.pack("<I", size)
    return bytes(data)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 4_000_000_000])
@pytest.mark.parametrize("as_file", [True, False])
def test_the_audio_that_is_there_is_read(tmp_path: Path, size: int, as_file: bool) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav(size))
    with open_audio(path if as_file else wav(size)) as (audio, chunk):
        assert audio.read(dtype="int16").tolist() == SAMPLES.tolist()
        assert chunk is not None
        assert (chunk.announced, chunk.present, chunk.is_streamed, chunk.missing) == (size, 1600, True, 0)


def test_a_truncated_file_says_how_much_is_missing() -> None:
    with open_audio(wav()[:-100]) as (audio, chunk):
        assert audio.read(dtype="int16").tolist() == SAMPLES[:-50].tolist()
        assert chunk is not None
        assert (chunk.is_streamed, chunk.missing) == (False, 100)


@pytest.mark.parametrize("more", [b"", b"LIST\x04\x00\x00\x00abcd", b"LIST\x03\x00\x00\x00abc\x00"])
def test_an_empty_data_chunk_before_other_chunks_is_empty(more: bytes) -> None:
    data = wav(0)[: SIZE_AT + 4] + more
    with open_audio(data) as (audio, chunk):
        assert (audio.frames, chunk) == (0, None)


def test_chunks_before_the_data_and_a_right_length() -> None:
    data = wav()
    data = data[:12] + b"LIST\x03\x00\x00\x00abc\x00" + data[12:]
    chunk = find_data_chunk(io.BytesIO(data))
    assert chunk is not None
    assert (chunk.announced, chunk.present) == (1600, 1600)
    with open_audio(data) as (audio, wrong):
        assert (audio.frames, wrong) == (800, None)


def test_an_encoding_without_seeking() -> None:
    file = io.BytesIO()
    sf.write(file, SAMPLES, 8000, format="WAV", subtype="GSM610")
    with open_audio(file.getvalue()) as (audio, _):
        assert not audio.seekable()
        assert len(audio.read(audio.frames)) == audio.frames >= 800


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEdata", b"text" * 100])
def test_what_is_no_audio(data: bytes) -> None:
    with pytest.raises(AudioError), open_audio(data):
        pass


def test_samples_of_a_file_with_one_warning_of_streams_and_one_of_each_truncated_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_files, "_warned", set())
    files = {"a": wav(0), "b": wav(0x7FFFF000), "c": wav()[:-100], "d": wav()[:-200], "e": wav()}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name in [*files, *files]:
        samples, rate = read_samples(tmp_path / name, "int16")
        assert (samples[:, 0].tolist(), samples.shape[1], rate) == (SAMPLES[: len(samples)].tolist(), 1, 8000)
        assert len(samples) == {"c": 750, "d": 700}.get(name, 800)
    assert [record.getMessage().removeprefix(f"{tmp_path}/") for record in caplog.records] == [
        "a: the header announces 0 bytes of audio, using the 1600 that are there",
        "c: is truncated: 100 of 1600 bytes of audio are missing",
        "d: is truncated: 200 of 1600 bytes of audio are missing",
    ]
    with pytest.raises(AudioError, match="No such file"):
        read_samples(tmp_path / "f", "int16")
