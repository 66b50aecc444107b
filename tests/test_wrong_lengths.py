"""Readers of a manifest's audio: a WAV whose header has the size of a stream is read like one with the right size."""

import numpy as np
import pytest
import soundfile

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.model.batches import read_wav
from atc_asr.report.page import _encode_audio
from atc_asr.scoring.slices import read_snr

RATE = 16_000
READERS = {
    "train, posteriors": lambda utterance: read_wav(utterance, RATE).tolist(),
    "score": read_snr,
    "report": lambda utterance: _encode_audio(utterance.wav),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wrong_length_changes_nothing(tmp_path, reader, size):
    samples = np.random.default_rng(0).normal(0, 0.1, RATE) * np.linspace(0, 1, RATE)
    results = []
    for name in ("right", "wrong"):
        utterance = Utterance(name, tmp_path / f"{name}.wav", 1.0, "A")
        soundfile.write(utterance.wav, samples, RATE, subtype="PCM_16")
        if name == "wrong":
            data = bytearray(utterance.wav.read_bytes())
            data[40:44] = size.to_bytes(4, "little")
            utterance.wav.write_bytes(data)
        results.append(READERS[reader](utterance))
    assert results[0] == results[1]


def test_audio_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(0), RATE)
    with pytest.raises(InputError, match=r"\(id x\): no samples, wanted speech"):
        read_wav(Utterance("x", tmp_path / "x.wav", 1.0, "A"), RATE)


def test_the_snr_of_two_channels(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, (RATE, 1)) * np.linspace(0, 1, RATE)[:, None]
    found = []
    for channels in (1, 2):
        soundfile.write(tmp_path / "x.wav", np.repeat(samples, channels, axis=1), RATE)
        found.append(read_snr(Utterance("x", tmp_path / "x.wav", 1.0, "A")))
    assert found[0] == pytest.approx(found[1])
