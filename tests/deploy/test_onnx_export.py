"""The ONNX file has the recogniser's outputs at any batch size and duration, and contains the tokens."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from speechbrain.nnet import attention

from atc_asr.core.errors import InputError
from atc_asr.deploy import onnx_export
from atc_asr.tokenizer.tokens import char_tokens
from benchmarks.onnx_export import random_recognizer
from tests import tiny_network

PRESET = Path(__file__).resolve().parents[2] / "presets" / "atc0.yaml"
NETWORKS = [("RelPosMHAXL", 40, [4, 4]), ("RoPEMHA", 20, [4, 4, 4]), ("regularMHA", 40, [4, 4])]


@pytest.fixture(params=NETWORKS, ids=lambda network: network[0])
def recognizer(request, tmp_path):
    attention_type, frame_ms, channels = request.param
    return tiny_network.save_run(
        tmp_path, char_tokens(["AB CD"]), attention_type=attention_type, frame_ms=frame_ms, front_end_channels=channels,
        front_end_kernels=[3] * len(channels), n_fft=512,
    )  # fmt: skip


def test_outputs_at_sizes_that_were_not_traced(recognizer, tmp_path):
    path = tmp_path / "model.onnx"
    cache = attention._get_precomputed_values
    wavs = torch.randn(1, 4000)
    before = recognizer.log_probs(wavs, torch.ones(1))[0]
    assert onnx_export.export(recognizer, path) < 1e-4
    assert torch.equal(recognizer.log_probs(wavs, torch.ones(1))[0], before)
    assert attention._get_precomputed_values is cache

    session = onnxruntime.InferenceSession(path)
    got, num_frames = session.run(None, {"wavs": wavs.numpy(), "num_samples": np.array([4000])})
    np.testing.assert_allclose(got, before.numpy(), atol=1e-4)
    assert num_frames.tolist() == [before.shape[1]]
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["tokens"]) == list(recognizer.tokens.symbols)
    assert (metadata["sample_rate"], float(metadata["frame_seconds"])) == ("16000", recognizer.frame_seconds)


@pytest.mark.slow
def test_the_specifications_network_with_fewer_layers(tmp_path):
    shallow = PRESET.read_text().replace("num_layers: 12", "num_layers: 2")
    assert shallow != PRESET.read_text()
    (tmp_path / "preset.yaml").write_text(shallow)
    recognizer = random_recognizer(tmp_path / "preset.yaml", tmp_path)
    assert onnx_export.export(recognizer, tmp_path / "model.onnx") < 1e-4


@pytest.mark.parametrize("recognizer", NETWORKS[-1:], indirect=True)
def test_a_file_with_other_outputs_is_removed(recognizer, tmp_path, monkeypatch):
    save = onnx.save

    def save_changed(model, path):
        bias = next(weights for weights in model.graph.initializer if weights.name.endswith("ctc_head.w.bias"))
        bias.raw_data = np.arange(len(recognizer.tokens), dtype=np.float32).tobytes()
        save(model, path)

    monkeypatch.setattr(onnx, "save", save_changed)
    with pytest.raises(InputError, match=r"model\.onnx: differs from the recogniser by .*, wanted at most 1e-04"):
        onnx_export.export(recognizer, tmp_path / "model.onnx")
    assert list(tmp_path.glob("*onnx*")) == []
