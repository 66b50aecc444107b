"""Decoding, resampling and writing of audio."""

import io
import resource
import wave

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.corpus import audio


def encoded(samples, rate, **settings):
    file = io.BytesIO()
    sf.write(file, samples, rate, **{"format": "WAV", "subtype": "PCM_16", **settings})
    return file.getvalue()


def tone(hertz, rate, seconds=0.5):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize("form", [{"format": "WAV"}, {"format": "FLAC"}, {"format": "OGG", "subtype": "VORBIS"}])
def test_header_of_encoded_bytes(form):
    header = audio.read_header(encoded(np.zeros((800, 2)), 8000, **form), None)
    assert (header.sample_rate, header.channels, header.num_samples, header.missing) == (8000, 2, 800, 0)
    assert header.duration == 0.1


def test_header_of_arrays():
    assert audio.read_header(np.zeros(800, np.int16), 8000) == audio.Header(8000, 1, 800, 0)
    assert audio.read_header(np.zeros((800, 2)), 8000) == audio.Header(8000, 2, 800, 0)
    with pytest.raises(audio.AudioError, match="sample rate"):
        audio.read_header(np.zeros(800), None)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"no audio at all", b"RIFF\x00\x00\x00\x00WAVEfmt ", b"fLaC" + b"\0" * 40]
)
def test_bytes_that_are_not_audio(data):
    with pytest.raises(audio.AudioError):
        audio.read_header(data, None)


def test_missing_bytes_of_a_truncated_wav():
    assert audio.read_header(encoded(np.zeros(800), 8000)[:-100], None).missing == 100


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_the_audio_behind_a_wrong_length_is_used(size):
    samples = np.arange(800, dtype=np.int16)
    data = bytearray(encoded(samples, 8000))
    data[40:44] = size.to_bytes(4, "little")
    header = audio.read_header(bytes(data), None)
    assert (header.num_samples, header.missing, header.is_streamed) == (800, 0, True)
    assert audio.decode(bytes(data))[:, 0].tolist() == (samples / 32768).tolist()


def test_decode_scales_to_full_scale_1():
    samples = np.array([0, 1, -1, 32767, -32768], np.int16)
    assert audio.decode(encoded(samples, 8000))[:, 0].tolist() == (samples / 32768).tolist()
    assert audio.decode(samples)[:, 0].tolist() == (samples / 32768).tolist()


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=200))
def test_16_khz_pcm16_is_unchanged(values):
    samples = np.array(values, np.int16)
    assert audio.to_pcm16(audio.decode(samples)[:, 0], 16000).tolist() == values


def test_resampling_keeps_the_tone_and_its_length():
    pcm = audio.to_pcm16(tone(1000, 8000), 8000)
    assert len(pcm) == 8000
    wanted = np.rint(tone(1000, 16000) * 32768)
    assert np.abs(pcm[1000:-1000] - wanted[1000:-1000]).max() < 40  # 0.1 % of full scale


def test_resampling_is_deterministic():
    noise = np.random.default_rng(1).standard_normal(8000).astype(np.float32) * 0.1
    assert np.array_equal(audio.to_pcm16(noise, 8000), audio.to_pcm16(noise, 8000))


def test_samples_above_full_scale_are_clipped():
    assert audio.to_pcm16(np.array([1.5, -1.5], np.float32), 16000).tolist() == [32767, -32768]


def test_a_written_wav_is_read_by_the_standard_library(tmp_path):
    samples = np.array([0, 1, -1, 32767, -32768], np.int16)
    audio.write_wav(tmp_path / "x.wav", samples)
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert file.getparams()[:4] == (1, 2, 16000, 5)
        assert np.frombuffer(file.readframes(5), "<i2").tolist() == samples.tolist()


@pytest.mark.parametrize("limit", [20, 44, 1000])
def test_a_partial_write_is_an_error(tmp_path, limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            audio.write_wav(tmp_path / "x.wav", np.zeros(8000, np.int16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
