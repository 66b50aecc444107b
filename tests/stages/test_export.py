import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from atc_asr.core import manifest
from atc_asr.core.config import load_section, make_section, read_yaml
from atc_asr.core.errors import InputError
from stages import export

ROOT = Path(__file__).resolve().parents[2]
REAL_SPEECH = ROOT / ".." / "shared" / "real_speech"
TOKEN = "hf_" + "s3cr3t" * 5
needs_real_speech = pytest.mark.skipif(not REAL_SPEECH.is_dir(), reason="the real recordings are not on this machine")


def wav(seed, rate=8000):
    from io import BytesIO

    file = BytesIO()
    samples = np.random.default_rng(seed).standard_normal(2 * rate) * 0.1
    sf.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two configurations in the Hub's schema, 600 clips."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = ["---", "configs:"]
    for number, (config, sizes) in enumerate({"base": {"train": 560, "test": 20}, "part2": {"train": 20}}.items()):
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


def test_the_specification_s_flags(corpus, tmp_path):
    call(corpus, tmp_path / "atc0", "--config", "base", "--train_fraction", "0.1", "--validation_samples", "0")
    rows = manifest.read_manifest(tmp_path / "atc0/base/train.csv")
    assert len(rows) == 56
    assert rows[0].transcript == "NOVEMBER 0 WERE NUMBER TWO"
    assert (tmp_path / "atc0/base/train.csv").read_text().startswith("id,wav,duration,transcript\n")
    info = sf.info(rows[0].wav)
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 32000)


def test_several_configurations_at_once_are_what_each_is_alone(corpus, tmp_path):
    call(corpus, tmp_path / "both", "--configs", "base", "part2", processes=2)
    call(corpus, tmp_path / "each", "--config", "base")
    call(corpus, tmp_path / "each", "--config", "part2")
    assert contents(tmp_path / "both") == contents(tmp_path / "each")
    paths = [tmp_path / "both" / config / "train.csv" for config in ("base", "part2")]
    assert len(manifest.read_manifests(paths)) == 580


def test_a_subset_keeps_its_ids(corpus, tmp_path):
    call(corpus, tmp_path / "all", "--config", "base")
    call(corpus, tmp_path / "some", "--config", "base", "--train_fraction", "0.5")
    ids = column(tmp_path / "all/base/train.csv", "id")
    assert column(tmp_path / "some/base/train.csv", "id") == ids[:280]


def test_what_was_exported_can_be_exported_again(corpus, tmp_path):
    call(corpus, tmp_path / "one", "--config", "part2")
    call(tmp_path / "one", tmp_path / "two", "--config", "part2", "--layout", "manifests")
    once, again = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert once["part2/train.csv"] == again["part2/train.csv"]
    assert [once[name] for name in once if name.endswith(".wav")] == [again[n] for n in again if n.endswith(".wav")]


def test_the_built_in_corpus_needs_nothing(tmp_path):
    params = read_yaml(ROOT / "params.yaml")
    params["synthetic"] |= {"num_train": 6, "num_valid": 2, "num_test": 2, "shard_size": 2}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    for name, processes in (("one", 1), ("two", 2)):
        flags = ["--params", str(tmp_path / "params.yaml"), "--out_dir", str(tmp_path / name)]
        export.main([*flags, "--processes", str(processes)])
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    counts = [len(manifest.read_manifest(tmp_path / f"one/base/{split}.csv")) for split in ("train", "valid", "test")]
    assert counts == [6, 2, 2]
    assert set(manifest.read_manifest(tmp_path / "one/base/test.csv")[0].columns) == {"callsign", "role", "speaker"}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--train_fraction", "0"], r"--train_fraction: got 0.0, wanted float > 0 <= 1"),
        (["--train_fraction", "1.5"], r"--train_fraction"),
        (["--validation_samples", "-1"], r"--validation_samples"),
        (["--config", "part9"], r"part9"),
        (["--config", "../x"], r"export\.configs|cannot be loaded"),
        (["--configs", "base", "base"], r"export\.configs: .*different names"),
        (["--processes", "0"], r"--processes: got 0"),
        (["--corpus", "nowhere/at/all"], r"nowhere/at/all is no folder here"),
        (["--layout", "ldc"], r"has no transcripts"),
        (["--layout", "manifests"], r"has no manifest"),
    ],
)
def test_bad_flags_are_one_line_and_leave_nothing(corpus, tmp_path, flags, wanted):
    with pytest.raises(InputError, match=wanted) as error:
        call(corpus, tmp_path / "out", *flags)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_built_in_corpus_has_one_configuration(tmp_path):
    with pytest.raises(InputError, match="one name for the synthetic corpus"):
        call("synthetic", tmp_path / "out", "--configs", "base", "part2")


@pytest.mark.parametrize("name", ["atcosim", "uwb_atcc", "atco2_1h", "ldc94s14a"])
def test_presets_hold_keys_of_the_section(name):
    preset = read_yaml(ROOT / "presets" / f"{name}.yaml")
    values = read_yaml(ROOT / "params.yaml")
    for section in preset:
        (known,) = (each for each in export.SECTIONS if each.section == section)
        made = make_section(known, values[section] | preset[section], name)
        assert made != load_section(known, ROOT / "params.yaml")


@pytest.mark.parametrize("preset", [None, *sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))])
def test_the_gate_refuses_no_transcript_that_the_model_s_frames_can_spell(preset):
    changes = read_yaml(ROOT / "presets" / f"{preset}.yaml") if preset else {}
    values = read_yaml(ROOT / "params.yaml")
    frames = [(values[section] | changes.get(section, {}))["frame_ms"] for section in ("checks", "model")]
    assert frames[0] == frames[1]


def test_the_command_s_exit_codes_and_one_line(tmp_path):
    words = [sys.executable, "-m", "stages.export", "--corpus", "nowhere/at/all", "--out_dir", str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: export.corpus: nowhere/at/all")
    assert len(done.stderr.splitlines()) == 1


def test_torch_stays_out_of_the_export():
    code = "import sys, stages.export, atc_asr.corpus.hub, atc_asr.corpus.ldc, atc_asr.corpus.manifest_source; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def start(corpus, out_dir, **environment):
    words = ["-m", "stages.export", "--corpus", str(corpus), "--configs", "base", "part2", "--processes", "2"]
    return subprocess.Popen(
        [sys.executable, *words, "--out_dir", str(out_dir)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_that_looks_whole(corpus, tmp_path):
    for attempt in range(5):  # on a busy machine an export may be over before the signal comes
        out = tmp_path / f"out{attempt}"
        process = start(corpus, out)
        while not list(tmp_path.glob(f".out{attempt}.partial/*/train-*")) and process.poll() is None:
            time.sleep(0.001)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
        if process.returncode:
            break
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not out.exists()


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again(corpus, tmp_path):
    began = time.monotonic()
    start(corpus, tmp_path / "whole").communicate()
    whole = time.monotonic() - began
    wanted = contents(tmp_path / "whole")
    for number, share in enumerate((0.5, 0.8, 0.9, 0.95)):
        out_dir = tmp_path / f"out{number}"
        process = start(corpus, out_dir)
        time.sleep(share * whole)
        process.kill()
        process.communicate()
        start(corpus, out_dir).communicate()
        assert contents(out_dir) == wanted
        assert not (tmp_path / f".out{number}.partial").exists()


@pytest.mark.slow
def test_a_token_reaches_neither_output_nor_files(corpus, tmp_path):
    _, errors = (process := start(corpus, tmp_path / "out", HF_TOKEN=TOKEN)).communicate()
    assert process.returncode == 0
    assert TOKEN not in errors
    assert not [name for name, data in contents(tmp_path).items() if TOKEN.encode() in data]


@needs_real_speech
@pytest.mark.slow
def test_real_speech_of_three_configurations_as_its_readme_says(tmp_path):
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
