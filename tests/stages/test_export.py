"""The stage export: flags, every kind of corpus, interruption, kills and resuming."""

import csv
import json
import os
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from atc_asr.core import manifest
from atc_asr.core.config import read_yaml
from atc_asr.core.errors import InputError
from atc_asr.corpus import shards
from stages import export

ROOT = Path(__file__).resolve().parents[2]
REAL_SPEECH = ROOT / ".." / "shared" / "real_speech"
TOKEN = "hf_" + "s3cr3t" * 5
needs_real_speech = pytest.mark.skipif(not REAL_SPEECH.is_dir(), reason="the real recordings are not on this machine")


def wav(seed, rate=8000):
    file = BytesIO()
    samples = np.random.default_rng(seed).standard_normal(2 * rate) * 0.1
    sf.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two configurations in the Hub's schema, 340 clips."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = ["---", "configs:"]
    for number, (config, sizes) in enumerate({"base": {"train": 300, "test": 20}, "part2": {"train": 20}}.items()):
        lines += [f"- config_name: {config}", "  data_files:"]
        (folder / config).mkdir()
        for split, size in sizes.items():
            seeds = [10_000 * number + 1_000 * (split == "test") + row for row in range(size)]
            table = {
                "audio": [{"bytes": wav(seed), "path": f"{split}_{row:04d}.wav"} for row, seed in enumerate(seeds)],
                "text": [f"november {seed} we're number-two\n" for seed in seeds],
            }
            pq.write_table(pa.table(table), folder / config / f"{split}-0.parquet", row_group_size=64)
            lines.append(f"  - {{split: {split}, path: {config}/{split}-*.parquet}}")
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder


def call(corpus, out_dir, *flags, processes=1):
    export.main(["--corpus", str(corpus), "--out_dir", str(out_dir), "--processes", str(processes), *flags])


def column(path, name):
    with open(path, newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """The folder of an undisturbed export of both configurations with two processes."""
    folder = tmp_path_factory.mktemp("whole")
    call(corpus, folder, "--configs", "base", "part2", processes=2)
    return folder


def test_the_flags_of_the_specification(corpus, tmp_path):
    call(corpus, tmp_path / "atc0", "--config", "base", "--train_fraction", "0.1", "--validation_samples", "0")
    rows = manifest.read_manifest(tmp_path / "atc0/base/train.csv")
    assert len(rows) == 30
    assert rows[0].transcript == "NOVEMBER 0 WERE NUMBER TWO"
    assert (tmp_path / "atc0/base/train.csv").read_text().startswith("id,wav,duration,transcript\n")
    info = sf.info(rows[0].wav)
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 32000)


def test_several_configurations_are_exported_as_one_by_one(corpus, tmp_path, whole):
    call(corpus, tmp_path, "--config", "base")
    call(corpus, tmp_path, "--config", "part2")
    assert contents(tmp_path) == contents(whole)
    paths = [whole / config / "train.csv" for config in ("base", "part2")]
    assert len(manifest.read_manifests(paths)) == 320


def test_a_subset_keeps_its_ids(corpus, tmp_path, whole):
    call(corpus, tmp_path, "--config", "base", "--train_fraction", "0.5")
    assert column(tmp_path / "base/train.csv", "id") == column(whole / "base/train.csv", "id")[:150]


def test_an_export_can_be_exported_again(corpus, tmp_path):
    call(corpus, tmp_path / "one", "--config", "part2")
    call(tmp_path / "one", tmp_path / "two", "--config", "part2", "--layout", "manifests")
    once, again = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert once["part2/train.csv"] == again["part2/train.csv"]
    assert [once[name] for name in once if name.endswith(".wav")] == [again[n] for n in again if n.endswith(".wav")]


def test_the_built_in_corpus(tmp_path):
    params = read_yaml(ROOT / "params.yaml")
    params["synthetic"] |= {"num_train": 6, "num_valid": 2, "num_test": 2}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    flags = ["--params", str(tmp_path / "params.yaml"), "--out_dir", str(tmp_path / "out")]
    export.main([*flags, "--processes", "1"])
    counts = [len(manifest.read_manifest(tmp_path / f"out/base/{split}.csv")) for split in ("train", "valid", "test")]
    assert counts == [6, 2, 2]
    assert set(manifest.read_manifest(tmp_path / "out/base/test.csv")[0].columns) == {"callsign", "role", "speaker"}


def test_the_parts_of_an_export_are_joined(corpus, tmp_path, whole, caplog):
    configs = ("--configs", "base", "part2")
    for shard in ("2/3", "1/3"):
        call(corpus, tmp_path / "out", *configs, "--shard", shard)
    names = {".out.1-of-3.partial", ".out.2-of-3.partial"}
    assert {path.name for path in tmp_path.iterdir()} == names
    finished = {path.parent.name for name in names for path in (tmp_path / name).glob("*/*/rows.jsonl")}
    assert len(finished) == 2
    with pytest.raises(InputError, match=r"1-of-3\.partial: --shard 1/3 had other data or settings, wanted the same"):
        call(corpus, tmp_path / "out", "--config", "base")
    assert {path.parent.name for name in names for path in (tmp_path / name).glob("*/*/rows.jsonl")} == finished
    with shards.locked(tmp_path / ".out.2-of-3.partial"), pytest.raises(InputError, match="another export is running"):
        call(corpus, tmp_path / "out", *configs)
    caplog.set_level("INFO")
    call(corpus, tmp_path / "out", *configs)
    assert contents(tmp_path / "out") == contents(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "--shard 3/3: not found, exported here" in caplog.text


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--shard", "4/3"], r"--shard: got '4/3', wanted I/N with I from 1 to N"),
        (["--shard", "0/3"], r"--shard: got '0/3', wanted I/N"),
        (["--shard", "1"], r"--shard: got '1', wanted I/N"),
        (["--shard", "1/2", "--corpus", "null"], r"--shard: got 1/2 for the join of all corpora, wanted one of them"),
        (["--train_fraction", "0"], r"--train_fraction: got 0.0, wanted float > 0 <= 1"),
        (["--train_fraction", "1.5"], r"--train_fraction"),
        (["--validation_samples", "-1"], r"--validation_samples"),
        (["--config", "part9"], r"part9"),
        (["--config", "../x"], r"export\.configs|cannot be loaded"),
        (["--configs", "base", "base"], r"export\.configs: .*different names"),
        (["--processes", "0"], r"--processes: got '0', wanted int > 0"),
        (["--corpus", "nowhere/at/all"], r"nowhere/at/all is neither a local folder"),
        (["--layout", "ldc"], r"has no transcripts"),
        (["--layout", "manifests"], r"has no manifest"),
    ],
)
def test_invalid_flags_are_one_line_errors_and_write_nothing(corpus, tmp_path, flags, wanted):
    with pytest.raises(InputError, match=wanted) as error:
        call(corpus, tmp_path / "out", *flags)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_built_in_corpus_has_one_configuration(tmp_path):
    with pytest.raises(InputError, match="one name for the synthetic corpus"):
        call("synthetic", tmp_path / "out", "--configs", "base", "part2")


@pytest.mark.parametrize("preset", [None, *sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))])
def test_validation_uses_the_frame_of_the_model(preset):
    changes = read_yaml(ROOT / "presets" / f"{preset}.yaml") if preset else {}
    values = read_yaml(ROOT / "params.yaml")
    checks, model, tokenizer = (values[name] | changes.get(name, {}) for name in ("checks", "model", "tokenizer"))
    if tokenizer["tokenizer_type"] == "char":
        assert checks["frame_ms"] == model["frame_ms"]
    else:  # the check counts characters, and pieces need less than half of their frames
        assert checks["frame_ms"] == model["frame_ms"] / 2


def test_the_exit_code_of_an_input_error(tmp_path):
    words = [sys.executable, "-m", "stages.export", "--corpus", "nowhere/at/all", "--out_dir", str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: export.corpus: nowhere/at/all")
    assert len(done.stderr.splitlines()) == 1


def test_the_export_does_not_import_torch():
    code = "import sys, stages.export, atc_asr.corpus.hub; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# The stage, which prints a line and waits for a byte in the FIFO at the n-th call of a function in each process.
HELD_STAGE = """
import importlib, os, signal, sys
from atc_asr.core import cli
from stages import export

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs with Ctrl-C ignored
fifo, module, name, number, *flags = sys.argv[1:]
module = importlib.import_module(module)
function, calls = getattr(module, name), []

def hold(*args):
    calls.append(args)
    if len(calls) == int(number):
        os.write(1, b"held\\n")  # in one write: with PYTHONUNBUFFERED, print writes text and line end apart
        open(fifo, "rb", buffering=0).read(1)
    return function(*args)

setattr(module, name, hold)
if __name__ == "__main__":
    cli.enter(lambda: export.main(flags))
"""
# Twice within a shard, with all shards finished, and with all of the new folder but stats.json written.
HELD_CALLS = [
    ("atc_asr.corpus.audio", "write_wav", 5),
    ("atc_asr.corpus.audio", "write_wav", 280),
    ("atc_asr.core.manifest", "write_manifest", 1),
    ("atc_asr.corpus.stats", "to_json", 2),
]


def start_held(tmp_path, corpus, module, name, number, processes=1):
    """Start an export and wait until all its processes are held; returns the process and the open FIFO."""
    script, fifo = tmp_path / "held_stage.py", tmp_path / "fifo"
    script.write_text(HELD_STAGE)
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)  # open on this side too: a byte written before a process reads is kept
    words = [sys.executable, script, fifo, module, name, str(number), "--corpus", corpus, "--configs", "base", "part2"]
    process = subprocess.Popen(
        [*words, "--processes", str(processes), "--out_dir", tmp_path / "out"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(processes):
        if (line := process.stdout.readline()) != "held\n":
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"printed {line!r}, then {process.communicate()}")
    return process, held


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.endurance)])
def test_ctrl_c_leaves_no_output(corpus, tmp_path, processes):
    process, held = start_held(tmp_path, corpus, *HELD_CALLS[0], processes)
    os.killpg(process.pid, signal.SIGINT)
    if processes > 1:
        os.write(held, bytes(processes))  # the workers finish their shard
    _, errors = process.communicate()
    os.close(held)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


def kill_and_resume(corpus, tmp_path, held_call, processes):
    process, held = start_held(tmp_path, corpus, *held_call, processes)
    process.kill()
    process.communicate()
    os.close(held)
    call(corpus, tmp_path / "out", "--configs", "base", "part2")
    assert not (tmp_path / ".out.partial").exists()
    return contents(tmp_path / "out")


def test_a_killed_export_resumes(corpus, tmp_path, whole):
    assert kill_and_resume(corpus, tmp_path, HELD_CALLS[1], 1) == contents(whole)


@pytest.mark.endurance
@pytest.mark.parametrize("held_call", HELD_CALLS, ids=lambda held: f"{held[1]}-{held[2]}")
def test_an_export_killed_at_any_step_resumes(corpus, tmp_path, whole, held_call):
    processes = 2 if held_call == HELD_CALLS[0] else 1
    assert kill_and_resume(corpus, tmp_path, held_call, processes) == contents(whole)


def test_the_token_is_neither_printed_nor_written(corpus, tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    call(corpus, tmp_path / "out", "--config", "part2")
    printed = capfd.readouterr()
    assert TOKEN not in caplog.text + printed.out + printed.err
    assert not [name for name, data in contents(tmp_path).items() if TOKEN.encode() in data]


@needs_real_speech
@pytest.mark.slow
def test_real_speech_of_three_configurations(tmp_path):
    call(REAL_SPEECH, tmp_path / "out", "--configs", "base", "part2", "part3")
    counts = {
        path.parent.name + "/" + path.stem: len(manifest.read_manifest(path))
        for path in sorted((tmp_path / "out").glob("*/t*.csv")) + sorted((tmp_path / "out").glob("*/valid.csv"))
    }
    assert counts == {"base/test": 120, "base/train": 720, "base/valid": 80, "part2/train": 60, "part3/train": 32}
    assert column(tmp_path / "out/part2/rejected.csv", "reason") == ["empty_text"] * 2
    stats = json.loads((tmp_path / "out/base/stats.json").read_text())
    assert stats["splits"]["train"]["native_sample_rates"] == {"8000": 720}
    assert sum(stats["leakage"]["identical_audio"].values()) == 0
