"""Stage package, and transcription with the folder that it writes: without torch, with the texts of the run folder."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from atc_asr.commands import transcribe
from atc_asr.core.config import load_section, read_yaml
from atc_asr.core.errors import InputError
from atc_asr.decoding.params import DecodeParams
from atc_asr.deploy.recognizer_folder import LM_FILES, open_folder
from atc_asr.lm.ngram import TOKEN_ARPA, WORD_ARPA, WORDS_FILE, estimate, write_arpa
from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.transcribe.onnx_network import OnnxNetwork
from stages import package
from tests import tiny_network

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = ["DELTA ONE TWO CLIMB", "UNITED THREE TURN LEFT", "ROGER"]
CARD = "---\nlibrary_name: speechbrain\n---\n\n# tiny\n\n## Use\n\nfrom speechbrain\n"
# Modules that an environment for transcription does not have.
ABSENT = (
    "torch torchaudio speechbrain hyperpyyaml scipy sentencepiece onnx datasets dvc huggingface_hub dotenv rapidfuzz "
    "matplotlib optuna silero_vad"
).split()
WITHOUT_TORCH = f"import sys; sys.modules |= dict.fromkeys({ABSENT}); from atc_asr.commands import transcribe; "


def tone(seed: int, seconds: float) -> np.ndarray:
    """A sound in which the untrained network recognises letters, between two seconds of near silence."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * 16000)) / 16000
    sound = sum(0.05 * np.sin(2 * np.pi * (f * times + 40 * np.sin(3 * times))) for f in random.uniform(300, 3000, 5))
    quiet = np.zeros(16000)
    return (np.concatenate((quiet, sound, quiet)) + 1e-4 * random.normal(size=32000 + len(sound))).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a run folder, a recogniser folder of it, and two recordings."""
    folder = tmp_path_factory.mktemp("a made")
    tokens = char_tokens([*SENTENCES, "ABCDEFGHIJKLMNOPQRSTUVWXYZ "])
    tiny_network.save_run(folder / "run", tokens)
    (folder / "run" / "README.md").write_text(CARD)
    (folder / "lm").mkdir()
    sentences = [sentence.split() for sentence in SENTENCES]
    write_arpa(folder / "lm" / WORD_ARPA, estimate(sentences, 2))
    (folder / "lm" / WORDS_FILE).write_text("".join(f"{word}\n" for word in sorted({*" ".join(SENTENCES).split()})))
    (folder / "lm" / "stats.json").write_text("{}")
    (folder / "calibration.json").write_text('{"slope": 0.5, "intercept": 0.25}')
    (folder / "test.json").write_text('{"wer": 2.91, "wer_low": 2.25, "wer_high": 3.62, "callsign": null}')
    (folder / "operators.csv").write_text("icao,telephony\nXYZ,zulu air\n")
    soundfile.write(folder / "a.wav", tone(1, 4.0), 16000, subtype="FLOAT")
    soundfile.write(folder / "b.wav", tone(2, 1.5), 16000, subtype="FLOAT")
    package.main(
        f"--checkpoint_dir|{folder}/run|--lm_dir|{folder}/lm|--calibration|{folder}/calibration.json|--metrics_file|"
        f"{folder}/test.json|--operators|{folder}/operators.csv|--out_dir|{folder}/recognizer|--params|"
        f"{ROOT}/params.yaml|--beam_size|7|--num_processes|1|--hangover_seconds|0.4".split("|")
    )
    return folder


@pytest.fixture
def recognizer(made: Path, tmp_path: Path) -> Path:
    """A copy of the recogniser folder."""
    return Path(shutil.copytree(made / "recognizer", tmp_path / "recognizer"))


def test_the_folder_has_all_files_and_the_settings_of_the_run(made: Path) -> None:
    folder = made / "recognizer"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    others = {"calibration.json", "operators.csv", "params.yaml", "README.md", "recognizer.json"}
    assert files == {"network.onnx", "tokens.txt", "lm/words.txt", "lm/word.arpa"} | others
    params, own = read_yaml(folder / "params.yaml"), read_yaml(ROOT / "params.yaml")
    assert params["decode"] == own["decode"] | {"beam_size": 7, "num_processes": 1}
    assert params["segment"] == own["segment"] | {"hangover_seconds": 0.4}
    assert (params["posteriors"], params["score"]) == (own["posteriors"], {"operators": None})
    card = (folder / "README.md").read_text()
    assert "library_name: onnx" in card and "from speechbrain" not in card
    assert "word error rate 2.9 %, low 2.2 %, high 3.6 %." in card
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert str(ROOT).encode() not in written and str(made).encode() not in written
    assert LM_FILES == (WORDS_FILE, WORD_ARPA, TOKEN_ARPA)


def test_an_empty_folder_without_torch_gives_the_texts_of_the_run_folder(made: Path, tmp_path: Path, capsys) -> None:
    recordings = [str(made / "a.wav"), str(made / "b.wav")]
    run = f"--checkpoint_dir|{made}/run|--lm_dir|{made}/lm|--calibration|{made}/calibration.json|--params"
    transcribe.main([*recordings, *run.split("|"), str(made / "recognizer" / "params.yaml")])
    wanted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    command = [sys.executable, "-c", WITHOUT_TORCH + "transcribe.main()", str(made / "recognizer"), *recordings]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    got = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(one["id"], one["hyp"]) for one in got] == [(one["id"], one["hyp"]) for one in wanted]
    assert len(got) == 2 and all(one["hyp"] for one in got)
    for one, other in zip(got, wanted, strict=True):
        assert one["words"] == [pytest.approx(word, abs=2e-3) for word in other["words"]]
    assert list(tmp_path.iterdir()) == []


def test_flags_replace_the_settings_of_the_folder(made: Path, recognizer: Path, capsys, caplog) -> None:
    caplog.set_level("INFO")
    arguments = [str(recognizer), str(made / "b.wav")]
    for more, words in ((), "lexicon (camel-kenlm"), (["--beam-size", "1"], "greedy (numpy"):
        transcribe.main([*arguments, *more])
        assert words in caplog.text
        caplog.clear()
    (recognizer / "README.md").unlink()
    settings = (recognizer / "params.yaml").read_text().replace("beam_size: 7", "beam_size: 1")
    (recognizer / "params.yaml").write_text(settings)
    transcribe.main(arguments)
    assert "greedy (numpy" in caplog.text


def test_a_waveform_has_the_same_log_probabilities_alone_and_among_others(made: Path) -> None:
    network = OnnxNetwork(open_folder(made / "recognizer"))
    signals = [tone(seed, seconds) for seed, seconds in ((1, 2.0), (2, 0.5), (3, 1.237))]
    together = network.log_probs(signals, ["x"] * 3)
    for signal, log_probs in zip(signals, together, strict=True):
        assert np.array_equal(network.log_probs([signal], ["x"])[0], log_probs)


def describe(folder: Path, **changes: object) -> None:
    """Replace keys of recognizer.json."""
    path = folder / "recognizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_network(folder: Path, content: bytes) -> None:
    (folder / "network.onnx").write_bytes(content)
    sizes = json.loads((folder / "recognizer.json").read_text())["files"]
    describe(folder, files=sizes | {"network.onnx": len(content)})


def identity() -> onnx.ModelProto:
    """A graph that copies its input."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["B", "S"]) for name in ("wavs", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["wavs"], ["y"])], "g", ends[:1], ends[1:])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


def with_metadata(model: onnx.ModelProto, **values: str) -> bytes:
    """A model with other metadata."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept | values)
    return model.SerializeToString()


def set_metadata(**values: str) -> Callable[[Path], None]:
    return lambda folder: replace_network(folder, with_metadata(onnx.load(folder / "network.onnx"), **values))


def wrong_width(folder: Path) -> None:
    """A graph whose tokens are those of the folder, but not its number of outputs."""
    model = onnx.load(folder / "network.onnx")
    sink = onnx.helper.make_node("Concat", ["log_probs", "log_probs"], ["twice"], axis=2)
    model.graph.node.append(sink)
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("twice", onnx.TensorProto.FLOAT, ["B", "T", "V"]))
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [{"log_probs": "inner", "twice": "log_probs"}.get(name, name) for name in names]
    model.graph.output[0].name = "log_probs"
    replace_network(folder, model.SerializeToString())


GOOD = {"tokens": '["<blank>", "A"]', "sample_rate": "16000", "frame_seconds": "0.04"}
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "network": (lambda folder: (folder / "network.onnx").unlink(), r"network\.onnx: no such file, wanted the complete"),
    "tokens": (lambda folder: (folder / "tokens.txt").unlink(), r"tokens\.txt: no such file"),
    "n-gram": (lambda folder: (folder / "lm" / "word.arpa").unlink(), r"word\.arpa: no such file"),
    "params": (lambda folder: (folder / "params.yaml").unlink(), r"params\.yaml: cannot be read: No such file"),
    "description": (lambda folder: (folder / "recognizer.json").unlink(), r"has no recognizer\.json, wanted a recogn"),
    "cut": (lambda folder: os.truncate(folder / "network.onnx", 99), r"network\.onnx: got 99 bytes, wanted \d+"),
    "version": (lambda folder: describe(folder, format=2), "got format 2, wanted 1: it is of another version"),
    "list": (lambda folder: (folder / "recognizer.json").write_text("[]"), "got list, wanted an object"),
    "outside": (lambda folder: describe(folder, files={"../x": 1}), r"got files .*, wanted the sizes of network\.onnx"),
    "bytes": (lambda folder: replace_network(folder, b"\0" * 99), r"network\.onnx: onnxruntime cannot load it"),
    "no metadata": (
        lambda folder: replace_network(folder, identity().SerializeToString()),
        "is not the graph of a recogniser: its metadata has no valid tokens",
    ),
    "other graph": (
        lambda folder: replace_network(folder, with_metadata(identity(), **GOOD)),
        "is not the graph of a recogniser: got .*, wanted .*num_samples",
    ),
    "other tokens": (set_metadata(**GOOD), "its tokens are not those of"),
    "no rate": (set_metadata(sample_rate="0"), "its metadata has no valid sample_rate"),
    "long frames": (set_metadata(frame_seconds="inf"), "its metadata has no valid frame_seconds"),
    "width": (wrong_width, r"got log-probabilities of shape \(1, \d+, 56\), wanted \(1, \[\d+\], 28\)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_named_in_one_line(made: Path, recognizer: Path, case: str) -> None:
    break_it, message = BROKEN[case]
    break_it(recognizer)
    with pytest.raises(InputError, match=message) as caught:
        transcribe.main([str(recognizer), str(made / "b.wav")])
    assert str(recognizer) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{made}/run|{made}/b.wav", r"run: got a run folder, .*: atc-asr package --checkpoint_dir .*/run --lm"),
        ("{made}/b.wav", r"b\.wav: has no recognizer\.json, wanted a recogniser folder of stages\.package first"),
        ("{made}/recognizer", "recognizer: got a recogniser folder alone, wanted recordings after it"),
        ("{made}/recognizer|{made}/b.wav|--device|cuda", "--device: got cuda with a recogniser folder, wanted cpu"),
    ],
)
def test_a_folder_that_is_no_recognizer_and_missing_recordings(made: Path, arguments: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        transcribe.main(arguments.format(made=made).split("|"))


def test_other_text_rules_are_a_warning(recognizer: Path, caplog) -> None:
    describe(recognizer, text_version="1")
    open_folder(recognizer)
    assert "text rules 1, this program has 2" in caplog.text


def test_a_run_folder_alone_becomes_a_recognizer(made: Path, tmp_path: Path, capsys) -> None:
    lone = Path(shutil.copytree(made / "run", tmp_path / "lone"))
    (lone / "README.md").unlink()
    arguments = ["--checkpoint_dir", str(lone), "--out_dir", str(tmp_path / "recognizer")]
    package.main([*arguments, "--params", str(ROOT / "params.yaml"), "--search", "greedy"])
    assert load_section(DecodeParams, tmp_path / "recognizer" / "params.yaml").search == "greedy"
    transcribe.main([str(tmp_path / "recognizer"), str(made / "b.wav")])
    assert json.loads(capsys.readouterr().out)["hyp"]


@pytest.mark.parametrize("flag", ["lm_dir", "calibration", "metrics_file", "checkpoint_dir"])
def test_a_missing_input_leaves_the_old_folder(made: Path, recognizer: Path, tmp_path: Path, flag: str) -> None:
    before = (recognizer / "recognizer.json").stat().st_mtime_ns
    more = {"checkpoint_dir": made / "run", flag: tmp_path / "none"}
    words = [word for name, path in more.items() for word in (f"--{name}", str(path))]
    with pytest.raises(InputError, match="none"):
        package.main([*words, "--out_dir", str(recognizer), "--params", str(ROOT / "params.yaml")])
    assert (recognizer / "recognizer.json").stat().st_mtime_ns == before
