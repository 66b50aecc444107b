"""export_onnx: a run folder becomes a file for onnxruntime, another folder an error of one line."""

import onnxruntime
import pytest

from atc_asr.commands import export_onnx
from atc_asr.core.errors import InputError
from atc_asr.tokenizer.tokens import char_tokens
from tests import tiny_network


def test_a_run_folder_becomes_a_file(tmp_path):
    tiny_network.save_run(tmp_path, char_tokens(["AB CD"]))
    out_file = tmp_path / "out" / "asr.onnx"
    export_onnx.main(["--checkpoint_dir", str(tmp_path), "--out_file", str(out_file)])
    session = onnxruntime.InferenceSession(out_file)
    assert [value.name for value in session.get_inputs()] == ["wavs", "num_samples"]


def test_a_folder_without_run_is_refused(tmp_path):
    out_file = tmp_path / "asr.onnx"
    with pytest.raises(InputError, match="nowhere"):
        export_onnx.main(["--checkpoint_dir", str(tmp_path / "nowhere"), "--out_file", str(out_file)])
    assert not out_file.exists()
