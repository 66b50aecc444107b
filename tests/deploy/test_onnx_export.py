"""The ONNX file says what the recogniser says, at any size, and stands alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from speechbrain.nnet import attention

from atc_asr.core.errors import InputError
from atc_asr.deploy import onnx_export
from atc_asr.model import network, run_folder
from atc_asr.tokenizer.tokens import char_tokens
from benchmarks.onnx_export import random_recognizer

PRESET = Path(__file__).resolve().parents[2] / "presets" / "atc0.yaml"
NETWORKS = [("RelPosMHAXL", 40, [4, 4]), ("RoPEMHA", 20, [4, 4, 4]), ("regularMHA", 40, [4, 4])]


@pytest.fixture(params=NETWORKS, ids=lambda network: network[0])
def recognizer(request, tiny_model, specaugment, tmp_path):
    attention_type, frame_ms, channels = request.param
    model = replace(
        tiny_model,
        attention_type=attention_type,
        frame_ms=frame_ms,
        front_end_channels=channels,
        front_end_kernels=[3] * len(channels),
        n_fft=512,  # longer than its window
    )
    units = char_tokens(["AB CD"])
    torch.manual_seed(3)
    text = network.fill_placeholders(network.HPARAMS_FILE, network.hparams_values(model, specaugment, len(units)))
    hparams = network.build(text, "test")
    hparams.encoder(torch.randn(1, 16000), torch.ones(1))
    torch.nn.init.normal_(hparams.ctc_head.w.weight, std=3.0)
    run_folder.save_weights(tmp_path, hparams_text=text, hparams=hparams, tokens=units)
    return run_folder.load_recognizer(tmp_path, device="cpu")


def test_says_the_same_at_sizes_it_was_not_traced_with(recognizer, tmp_path):
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
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["tokens"]) == list(recognizer.tokens.symbols)
    assert (facts["sample_rate"], float(facts["frame_seconds"])) == ("16000", recognizer.frame_seconds)


@pytest.mark.slow
def test_the_specifications_network_but_for_its_depth(tmp_path):
    shallow = PRESET.read_text().replace("num_layers: 12", "num_layers: 2")
    assert shallow != PRESET.read_text()
    (tmp_path / "preset.yaml").write_text(shallow)
    recognizer = random_recognizer(tmp_path / "preset.yaml", tmp_path)
    assert onnx_export.export(recognizer, tmp_path / "model.onnx") < 1e-4


def test_a_file_that_says_something_else_is_not_left_behind(recognizer, tmp_path, monkeypatch):
    save = onnx.save

    def save_louder(model, path):
        bias = next(weights for weights in model.graph.initializer if weights.name.endswith("ctc_head.w.bias"))
        bias.raw_data = np.arange(len(recognizer.tokens), dtype=np.float32).tobytes()
        save(model, path)

    monkeypatch.setattr(onnx, "save", save_louder)
    with pytest.raises(InputError, match=r"model\.onnx: differs from the recogniser by .*, wanted at most 1e-04"):
        onnx_export.export(recognizer, tmp_path / "model.onnx")
    assert list(tmp_path.glob("*onnx*")) == []
