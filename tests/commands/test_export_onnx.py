"""The ONNX door: a run folder in, a file that onnxruntime runs out, one line for a folder that is none."""

from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

from atc_asr.commands import export_onnx
from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.model import network, run_folder
from atc_asr.tokenizer.tokens import char_tokens

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def test_a_run_folder_becomes_a_file(tmp_path):
    units = char_tokens(["AB CD"])
    model = replace(load_section(network.ModelParams, PARAMS), num_layers=1)
    values = network.hparams_values(model, load_section(network.SpecAugmentParams, PARAMS), len(units))
    text = network.fill_placeholders(network.HPARAMS_FILE, values)
    hparams = network.build(text, "test")
    hparams.normalizer(hparams.compute_features(torch.randn(1, 16000)), torch.ones(1))
    run_folder.save_weights(tmp_path, hparams_text=text, hparams=hparams, tokens=units)

    out_file = tmp_path / "out" / "asr.onnx"
    export_onnx.main(["--checkpoint_dir", str(tmp_path), "--out_file", str(out_file), "--params", str(PARAMS)])
    session = onnxruntime.InferenceSession(out_file)
    assert [value.name for value in session.get_inputs()] == ["wavs", "num_samples"]


def test_a_folder_that_is_no_run_is_one_line(tmp_path):
    out_file = tmp_path / "asr.onnx"
    with pytest.raises(InputError, match="nowhere"):
        export_onnx.run(checkpoint_dir=tmp_path / "nowhere", out_file=out_file)
    assert not out_file.exists()
