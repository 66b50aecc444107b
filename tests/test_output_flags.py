"""Every output flag of every command pointed at what another program wrote, at devices, pipes, links and full disks."""

import errno
import importlib
import json
import os
import pkgutil
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

import stages
from atc_asr.core import cli, config
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, write_manifest
from atc_asr.posteriors.store import PosteriorsMeta, write_posteriors
from atc_asr.tokenizer.tokens import Tokens
from stages import decode, score, tokenizer
from tests.echo import EchoRecognizer

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    "--front_end_channels 4 4 --n_mels 20 --num_layers 1 --d_model 16 --num_heads 2 --d_ffn 32 --kernel_size 3 "
    "--epochs 1 --batch_size 4 --init_from null --checkpoint_minutes 0 --skip_test"
)
SPLITS = " ".join(
    f"--{split}_manifest {{data}}/{split}.csv --{split}_hyps {{data}}/hyps.jsonl" for split in ("valid", "test")
)
# Arguments besides the output flags. Those of `none` have no inputs, so that they end after the check of their outputs.
COMMANDS = {
    "stages.export": "--corpus {data} --layout manifests --configs base --processes 1",
    "stages.tokenizer": "--train_manifest {data}/train.csv",
    "stages.lm": "--train_manifest {data}/train.csv --valid_manifest {data}/valid.csv --order 2",
    "stages.train": f"--train_manifest {{data}}/train.csv --valid_manifest {{data}}/valid.csv {TINY}",
    "stages.posteriors": "--checkpoint_dir {data}/none --manifest {data}/test.csv",
    "stages.decode": "--checkpoint_dir {data}/tokens --posteriors {data}/test.npz --search greedy --num_processes 1",
    "stages.calibrate": SPLITS,
    "stages.score": "--ref_manifest {data}/test.csv --hyp_file {data}/hyps.jsonl --estimate_snr false --resamples 100",
    "stages.report": "--ref_manifest {data}/test.csv --hyp_file {data}/hyps.jsonl --scorecard_file {data}/card.json",
    "stages.package": "--checkpoint_dir {data}/none",
    "atc_asr.commands.transcribe": "{data}/a.wav --checkpoint_dir {data}/none",
    "atc_asr.commands.readback": "{data}/transcript.jsonl",
    "atc_asr.commands.export_onnx": "--checkpoint_dir {data}/none",
    "atc_asr.commands.deploy_sherpa": "{data}/none",
    "atc_asr.commands.sweep": "--metrics m.json --run_metrics r.json --space train.lr=0.1",
    "atc_asr.commands.sweep_csv": "--run_metrics none.json",
}
WITHOUT_INPUTS = {"posteriors", "package", "transcribe", "export_onnx", "deploy_sherpa", "sweep", "sweep_csv"}
# Names that a command writes into the folder of its flag; other names may be there and stay.
WRITTEN_INSIDE = {
    ("export", "out_dir"): "base/notes",
    ("transcribe", "out_dir"): "a.jsonl",
    ("train", "output_dir"): "",
}


def flags_models():
    """Every Flags model with the module of its command."""
    names = [f"{package.__name__}.{item.name}" for package in (stages, importlib.import_module("atc_asr.commands"))
             for item in pkgutil.iter_modules(package.__path__)]  # fmt: skip
    for name in names:
        module = importlib.import_module(name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, config.Flags) and value is not config.Flags:
                yield name, value


MODELS = dict(flags_models())
FLAGS = [
    (name, flag)
    for name, model in MODELS.items()
    for flag, field in model.model_fields.items()
    if (field.json_schema_extra or {}).get("output")
]


def is_folder_flag(flag):
    return flag.endswith("_dir")


def test_flags_that_name_an_output_are_marked_and_in_the_table():
    assert {name for name, _ in FLAGS} <= set(COMMANDS)
    for name, model in MODELS.items():
        for flag, field in model.model_fields.items():
            if re.match(r"(\w+_)?out(put)?_(dir|file)$|metrics_csv$", flag) or "to write" in field.description:
                assert (name, flag) in FLAGS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Inputs of all commands: three utterances with transcripts, tokens, log-probabilities, hypotheses and scores."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = []
    for number, text in enumerate(("TURN LEFT", "AIR CLEARED", "TURN RIGHT HEADING")):
        wav = folder / f"{number}.wav"
        soundfile.write(wav, np.random.default_rng(number).normal(0, 0.1, 32000), 16000, subtype="PCM_16")
        rows.append(Utterance(f"u{number}", wav, 2.0, text))
    shutil.copy(folder / "0.wav", folder / "a.wav")
    for split in ("train", "valid", "test"):
        write_manifest(folder / f"{split}.csv", rows)
    common = ["--params", str(ROOT / "params.yaml")]
    tokenizer.main(["--train_manifest", f"{folder}/train.csv", "--out_dir", f"{folder}/tokens", *common])
    tokens = Tokens.load(folder / "tokens")
    matrices = []
    for row in rows:
        path = [number for token in tokens.encode(row.transcript) for number in (token, 0)]
        matrices.append(np.log(np.eye(len(tokens), dtype=np.float32)[path] * 0.9 + 0.1 / len(tokens)))
    ids = tuple(row.id for row in rows)
    write_posteriors(folder / "test.npz", PosteriorsMeta(ids, (2.0,) * 3, tokens.symbols, 0.04), enumerate(matrices))
    outs = {
        decode: "--out_file {data}/hyps.jsonl",
        score: "--metrics_file {data}/m.json --scorecard_file {data}/card.json --alignments_file {data}/a.txt",
    }
    turn = {"hyp": "UNITED SIX EIGHTY SIX TURN LEFT HEADING TWO SEVEN ZERO", "start": 0, "end": 3}
    (folder / "transcript.jsonl").write_text(json.dumps({"id": "a", **turn}) + "\n")
    for module, out in outs.items():
        module.main([*f"{COMMANDS[module.__name__]} {out}".format(data=folder).split(), *common])
    return folder


def snapshot(folder):
    """Every entry of a folder with its kind, mode and content, without what links point to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(info.st_mode) else os.readlink(path) if path.is_symlink() else None
        found[str(path.relative_to(folder))] = (info.st_mode, content)
    return found


def call(name, capsys):
    """Exit code of a command, and the lines that say why it failed."""
    module, arguments = name
    capsys.readouterr()
    code = 0
    try:
        cli.enter(lambda: importlib.import_module(module).main(arguments))
    except SystemExit as error:
        code = error.code
    written = capsys.readouterr().err
    assert "Traceback" not in written
    return code, [line for line in written.splitlines() if line.startswith("error: ")]


def no_experiment(*_, **__):
    raise InputError("no experiment")


@pytest.fixture
def point(data, tmp_path, monkeypatch, capsys):
    """Calls a command with a path for one of its output flags and new paths for the others that it needs."""
    (tmp_path / "project").mkdir()  # no repository, in which a sweep could run experiments
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr("atc_asr.sweep.worker.run_experiment", no_experiment)
    shutil.copy(ROOT / "params.yaml", "params.yaml")

    def run(name, flag, path):
        paths = {
            other: tmp_path / "new" / other
            for other, field in MODELS[name].model_fields.items()
            if (name, other) in FLAGS and field.is_required()
        }
        if name.endswith("transcribe"):
            monkeypatch.setattr("atc_asr.model.run_folder.load_recognizer", lambda *_, **__: EchoRecognizer())
        if name == "stages.train" and flag != "run_dir":
            paths["output_dir"] = tmp_path / "new" / "runs"
        arguments = COMMANDS[name].format(data=data).split()
        for other, given in (paths | {flag: path}).items():
            positional = MODELS[name].model_fields[other].json_schema_extra["positional"]
            arguments += [str(given)] if positional else [f"--{other}", str(given)]
        return call((name, arguments), capsys)

    return run


def make_foreign(folder, command, flag):
    """A folder and a file of another program."""
    (folder / "theirs").mkdir(parents=True)
    inside = WRITTEN_INSIDE.get((command, flag)) or "notes"
    for name in ("notes", inside):
        (folder / "theirs" / name).parent.mkdir(exist_ok=True)
        (folder / "theirs" / name).write_text("years of work")
    (folder / "file.json").write_text('{"name": "package", "wer": 1}')
    (folder / "file.json").chmod(0o640)
    (folder / "folder link").symlink_to("theirs")
    (folder / "file link").symlink_to("file.json")
    os.mkfifo(folder / "pipe")


LINKS = [pytest.param(kind, marks=pytest.mark.endurance) for kind in ("folder link", "file link", "pipe")]


@pytest.mark.parametrize("kind", ["theirs", "file.json", "/dev/null", *LINKS])
@pytest.mark.parametrize(("name", "flag"), FLAGS, ids=lambda part: part.rpartition(".")[2])
def test_foreign_things_are_not_changed(point, tmp_path, name, flag, kind):
    command = name.rpartition(".")[2]
    make_foreign(tmp_path / "their", command, flag)
    before = snapshot(tmp_path / "their")
    is_stream = kind in ("pipe", "/dev/null")
    pipe = os.open(tmp_path / "their" / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        code, lines = point(name, flag, tmp_path / "their" / kind)
    finally:
        os.close(pipe)
    after = snapshot(tmp_path / "their")
    if command == "train" and is_folder_flag(flag) and kind in ("theirs", "folder link"):
        assert code == 0  # a run beside the other files
        after = {name: entry for name, entry in after.items() if name in before}
    elif is_stream and not is_folder_flag(flag) and command not in WITHOUT_INPUTS:
        assert (code, lines) == (0, [])
    else:
        assert code == 2 and len(lines) == 1, lines
        if not is_stream or is_folder_flag(flag):
            assert any(
                str(path) in lines[0] for path in (tmp_path / "their" / kind, (tmp_path / "their" / kind).resolve())
            )
    assert after == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


PLACES = ("/sys/new", "/proc/new")


@pytest.mark.parametrize(("name", "flag"), FLAGS, ids=lambda part: part.rpartition(".")[2])
@pytest.mark.parametrize("place", ["full", *(pytest.param(path, marks=pytest.mark.endurance) for path in PLACES)])
def test_read_only_places_and_full_disks_are_named(point, tmp_path, monkeypatch, name, flag, place):
    if not Path(place).parent.is_dir():
        pytest.skip(f"no {Path(place).parent}")
    path = Path(place)
    if place == "full":
        path = tmp_path / "full" / "out"
        make_folder = os.mkdir

        def mkdir(folder, *arguments, **named):
            if str(folder).startswith(str(tmp_path / "full")):
                raise OSError(errno.ENOSPC, "No space left on device", str(folder))
            make_folder(folder, *arguments, **named)

        monkeypatch.setattr(os, "mkdir", mkdir)
        if name.rpartition(".")[2] in WITHOUT_INPUTS:
            pytest.skip("writes nothing without inputs")
    code, lines = point(name, flag, path)
    assert code == 2 and len(lines) == 1
    if name.rpartition(".")[2] not in WITHOUT_INPUTS:
        assert ("No space left on device" in lines[0]) == (place == "full")
        assert str(path.parent) in lines[0]
