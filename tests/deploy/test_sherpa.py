"""sherpa-onnx loads the exported files, and gives the text and the times of greedy decoding here."""

import numpy as np
import pytest
import torch

from atc_asr.commands import deploy_sherpa
from atc_asr.core.errors import InputError
from atc_asr.decoding.ctc import collapse, token_spans
from atc_asr.deploy import sherpa
from atc_asr.tokenizer.tokens import char_tokens
from tests import tiny_network

RATE = 16000


@pytest.fixture(scope="module", params=[20, 40])
def run(request, tmp_path_factory):
    """A run folder, its recogniser, and the folder of the export."""
    folder = tmp_path_factory.mktemp("run")
    recognizer = tiny_network.save_run(folder, char_tokens(["AB CD"]), frame_ms=request.param)
    deploy_sherpa.main([str(folder), str(folder / "sherpa")])
    return recognizer, folder / "sherpa"


def test_text_and_times_are_those_of_greedy_decoding(run):
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    recognizer, folder = run
    files = {name: str(folder / f"{name}.{suffix}") for name, suffix in (("model", "onnx"), ("tokens", "txt"))}
    loaded = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(**files, num_threads=1)
    for number, seconds in enumerate((0.4, 2.0, 5.3)):
        samples = np.random.default_rng(number).normal(0.01, 0.02, round(seconds * RATE)).astype(np.float32)
        samples *= 1 + np.sin(np.arange(len(samples)) / 800).astype(np.float32)
        stream = loaded.create_stream()
        stream.accept_waveform(RATE, samples)
        loaded.decode_stream(stream)
        level = 10 ** (sherpa.LEVEL / 20) / samples.std()
        wavs = torch.from_numpy(level * (samples - samples.mean()))[None]
        log_probs = recognizer.log_probs(wavs, torch.ones(1))[0][0].numpy()
        path = log_probs.argmax(axis=1)
        assert stream.result.text.split() == recognizer.tokens.decode(collapse(path)).split() != []
        starts = [span.first * recognizer.frame_seconds for span in token_spans(path, log_probs)]
        assert stream.result.timestamps == pytest.approx(starts, abs=1e-4)


def test_frames_that_sherpa_does_not_have_are_refused(run, tmp_path, monkeypatch):
    recognizer, _ = run
    monkeypatch.setattr(recognizer, "frame_seconds", 0.03)
    with pytest.raises(InputError, match=r"^frames of 30 ms, wanted a multiple of 20 ms"):
        sherpa.export(recognizer, tmp_path / "sherpa")
    assert not list(tmp_path.iterdir())


def test_a_graph_with_other_outputs_is_removed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sherpa, "CHECKED", ((1, 1.0),))
    monkeypatch.setattr(sherpa.SherpaGraph, "forward", lambda self, x: self.exported(x, torch.tensor([x.shape[1]]))[0])
    with pytest.raises(InputError, match=r"onnxruntime: got|differs from the recogniser by"):
        sherpa.export(run[0], tmp_path / "sherpa")
    assert not list(tmp_path.iterdir())
