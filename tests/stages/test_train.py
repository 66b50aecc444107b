"""The stage train from its command line: files of the specification, CSV, metrics, refusals, kills."""

import csv
import datetime
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from atc_asr.core import cli
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, read_manifest, write_manifest
from atc_asr.model.run_folder import MODEL, load_recognizer
from atc_asr.tracking.sweep_csv import SWEEP_COLUMNS
from atc_asr.training import checkpoints, distributed, staging, training
from benchmarks import kills
from stages import train

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "--front_end_channels 4 4 --n_mels 20 --num_layers 1 --d_model 16 --num_heads 2 --d_ffn 32 --kernel_size 3 "
    "--epochs 1 --batch_size 4 --init_from null --checkpoint_minutes 0"
).split()


# Numbers of a run folder's metrics.json besides the columns of the CSV.
RUN_KEYS = set(
    "adapted averaged_epochs batch_seconds best_epoch flags git_commit nonfinite notes padding_fraction parameters "
    "text_version train_hours train_seconds train_too_dense train_utterances trainable_parameters updates valid_loss "
    "valid_wer versions".split()
)


@pytest.fixture
def manifests(tmp_path):
    """Three manifests of noise with words, as a corpus folder has them."""
    random = np.random.default_rng(0)
    folder = tmp_path / "my corpus"
    folder.mkdir()
    paths = {}
    for split, size in (("train", 8), ("valid", 3), ("test", 2)):
        rows = []
        for number in range(size):
            wav = folder / f"{split}{number}.wav"
            soundfile.write(wav, random.normal(0, 0.1, 16000), 16000, subtype="PCM_16")
            rows.append(Utterance(f"{split}{number}", wav, 1.0, "AIR CLEARED" if number % 2 else "TURN LEFT"))
        paths[split] = folder / f"{split}.csv"
        write_manifest(paths[split], rows)
    return paths


@pytest.fixture
def arguments(manifests, tmp_path):
    found = [part for split, path in manifests.items() for part in (f"--{split}_manifest", str(path))]
    return [*found, "--params", str(ROOT / "params.yaml"), "--output_dir", str(tmp_path / "out"), *TINY]


def run_dirs(tmp_path):
    return sorted((tmp_path / "out").iterdir())


def test_a_run_folder_as_the_specification_lists_it(arguments, tmp_path):
    train.main([*arguments, "--model_name", "sb", "--notes", "first", "--metrics_csv", str(tmp_path / "sweep.csv")])
    (run_dir,) = run_dirs(tmp_path)
    assert run_dir.name.startswith("sb_20")
    for name in ("checkpoints", "train_log.txt", "metrics.json", "model_card.json", "README.md", "curves.csv"):
        assert (run_dir / name).exists(), name
    load_recognizer(run_dir, device="cpu")
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert {"valid_wer", "test_wer", "train_runtime", "peak_memory_mb", "git_commit", "flags"} <= metrics.keys()
    assert metrics["notes"] == "first"
    (epoch,) = csv.DictReader((run_dir / "curves.csv").open())
    assert float(epoch["throughput"]) == pytest.approx(8 / float(epoch["train_seconds"]))  # 8 clips of a second
    assert float(epoch["peak_memory_mb"]) > 100
    (row,) = csv.DictReader((tmp_path / "sweep.csv").open())
    assert tuple(row) == SWEEP_COLUMNS
    assert row["wer"] == str(metrics["valid_wer"])
    assert (row["model"], row["epochs"], row["device"], row["lora_r"]) == ("sb", "1", "cpu", "")
    assert (row["quant_weights_dtype"], row["quant_compute_dtype"]) == ("fp32", "float32")


def test_lora_beam_subset_and_no_test(arguments, tmp_path):
    lora = "--peft lora --lora_r 2 --lora_alpha 4 --lora_dropout 0.05 --beam_size 4 --train_subset 5 --skip_test"
    paths = ["--run_dir", str(tmp_path / "out" / "run"), "--metrics_file", str(tmp_path / "m.json")]
    train.main([*arguments, *lora.split(), *paths])
    assert "test_wer" not in json.loads((tmp_path / "m.json").read_text())
    metrics = json.loads((tmp_path / "out" / "run" / "metrics.json").read_text())
    assert "test_wer" not in metrics
    assert metrics["train_utterances"] == 5
    assert metrics["lora_r"] == 2
    assert metrics["trainable_parameters"] < metrics["parameters"]
    assert len(metrics["adapted"]) == metrics["adapters"]["matrices"] == 9
    card = json.loads((tmp_path / "out" / "run" / "model_card.json").read_text())
    assert card["peft"]["adapted"] == metrics["adapted"]
    assert card["trainable_parameters"] == metrics["trainable_parameters"]


def test_builds_sentencepiece_tokens(arguments, tmp_path):
    train.main([*arguments, "--tokenizer_type", "spm", "--vocab_size", "14", "--frame_ms", "20"])
    assert load_recognizer(run_dirs(tmp_path)[0], device="cpu").tokens.kind == "spm"


def test_the_metrics_for_dvc(arguments, tmp_path):
    metrics_file, run_dir = tmp_path / "m.json", tmp_path / "out" / "run"
    train.main([*arguments, "--metrics_file", str(metrics_file), "--run_dir", str(run_dir)])
    found, run = json.loads(metrics_file.read_text()), json.loads((run_dir / "metrics.json").read_text())
    assert found == {
        "wer": round(run["valid_wer"], 2),
        "test_wer": round(run["test_wer"], 2),
        "loss": round(run["valid_loss"], 3),
        "utterances": 8,
    }
    assert run["best_epoch"] == 1
    assert all(isinstance(value, int | float) for value in found.values())
    assert run.keys() >= RUN_KEYS


@pytest.fixture
def with_guard(arguments, manifests, tmp_path):
    """Arguments of a training in which the last row of valid and of test is of a guard corpus."""
    for path in manifests.values():
        rows = read_manifest(path)
        path.unlink()
        names = ["radio"] * len(rows) if path.stem == "train" else [*["radio"] * (len(rows) - 1), "digits"]
        write_manifest(path, [replace(row, columns={"corpus": name}) for row, name in zip(rows, names, strict=True)])
    corpora = "{radio: {weight: 1.0, role: train, export: {}}, digits: {weight: 0.0, role: guard, export: {}}}"
    text = (ROOT / "params.yaml").read_text().replace("\ncorpora: {}", f"\ncorpora: {corpora}")
    (tmp_path / "params.yaml").write_text(text)
    return [*arguments, "--params", str(tmp_path / "params.yaml")]


def test_the_wer_of_a_guard_corpus_is_recorded(with_guard, tmp_path):
    metrics_file, run_dir = tmp_path / "m.json", tmp_path / "out" / "run"
    train.main([*with_guard, "--metrics_file", str(metrics_file), "--run_dir", str(run_dir), "--max_guard_wer", "1000"])
    found, run = json.loads(metrics_file.read_text()), json.loads((run_dir / "metrics.json").read_text())
    assert found["valid_wer_digits"] == round(run["valid_wer_digits"], 2)
    (row,) = csv.DictReader((run_dir / "curves.csv").open())
    assert float(row["valid_wer_digits"]) == pytest.approx(run["valid_wer_digits"])
    assert float(row["valid_wer"]) == pytest.approx(run["valid_wer"])


def test_a_run_above_the_limit_of_the_guard_is_not_published(with_guard, tmp_path, capsys):
    paths = ["--metrics_file", str(tmp_path / "m.json"), "--metrics_csv", str(tmp_path / "sweep.csv")]
    with pytest.raises(SystemExit) as ended:
        cli.enter(lambda: train.main([*with_guard, *paths, "--max_guard_wer", "0"]))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ended.value.code == 2 and "train.max_guard_wer: the lowest WER on the guard corpora is " in line
    (left,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert str(left) in line and (left / "curves.csv").is_file() and not (left / MODEL).exists()
    assert not (tmp_path / "m.json").exists() and not (tmp_path / "sweep.csv").exists()


def test_other_files_of_an_existing_run_folder_stay(arguments, tmp_path):
    run_dir = tmp_path / "out" / "run"
    run_dir.mkdir(parents=True)
    (run_dir / ".gitignore").write_text("/model.ckpt\n")
    for _ in range(2):
        train.main([*arguments, "--skip_test", "--run_dir", str(run_dir)])
    assert (run_dir / ".gitignore").exists()
    load_recognizer(run_dir, device="cpu")
    assert [item.name for item in run_dir.parent.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--lm_weight", "0.5"], "--lm_weight: training decodes without a language model; wanted stages.decode"),
        (["--tokenizer_type", "spm", "--spm_model", "none.model"], "--spm_model none.model: no such file"),
        (["--batch_size", "0"], "--batch_size: got 0, wanted int >= 1"),
        (["--hparams_file", "none.yaml"], "none.yaml: cannot be read"),
        (["--init_from", "nowhere"], "nowhere"),
        (["--model_name", "../x"], "model_name: got '../x', wanted a name"),
        (["--model_name", "x\ny"], "wanted a name"),
        (["--model_name", "\x1b[31m"], "wanted a name"),
        (["--model_name", ""], "wanted a name"),
        (["--metrics_csv", str(ROOT / "params.yaml" / "sweep.csv")], "params.yaml is a file, wanted a folder"),
        (["--metrics_file", str(ROOT / "params.yaml")], "params.yaml: holds something else"),
        (["--run_dir", str(ROOT)], "holds README.md, but not model_card.json"),
    ],
)
def test_refuses(arguments, tmp_path, extra, message):
    with pytest.raises(InputError, match=message):
        train.main([*arguments, *extra])
    assert not list((tmp_path / "out").glob("*"))


def test_a_full_disk_is_refused_before_the_training(arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(InputError, match=r"out: got 0 MB of free space, wanted \d+ MB for checkpoints"):
        train.main(arguments)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("content", ["{", "[]", '{"train_fraction": "all"}', b"\xff"])
def test_an_unreadable_stats_json_is_refused_before_the_training(arguments, manifests, tmp_path, content):
    path = manifests["train"].parent / "stats.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"stats\.json"):
        train.main(arguments)
    assert not (tmp_path / "out").exists()


def test_a_csv_with_another_header_is_refused_before_the_training(arguments, tmp_path):
    path = tmp_path / "sweep.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"sweep\.csv:1: got the header"):
        train.main([*arguments, "--metrics_csv", str(path)])
    assert not (tmp_path / "out").exists()
    assert path.read_text() == "a,b\n1,2\n"


class Later(datetime.datetime):
    @classmethod
    def now(cls):
        return super().now() + datetime.timedelta(hours=1)


def test_a_run_killed_before_it_is_published_is_one_run(arguments, tmp_path, monkeypatch):
    """Its row is in the CSV already; the next call, at another time, finishes it under its first name."""
    command = [*arguments, "--skip_test", "--metrics_csv", str(tmp_path / "sweep.csv")]
    with monkeypatch.context() as patched:
        patched.setattr(staging, "publish", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            train.main(command)
    (row,) = csv.DictReader((tmp_path / "sweep.csv").open())
    monkeypatch.setattr(train, "datetime", SimpleNamespace(datetime=Later))
    train.main(command)
    assert [item.name for item in run_dirs(tmp_path)] == [Path(row["output_dir"]).name]
    assert list(csv.DictReader((tmp_path / "sweep.csv").open())) == [row]
    train.main(command)
    assert len(run_dirs(tmp_path)) == len(list(csv.DictReader((tmp_path / "sweep.csv").open()))) == 2


def test_the_second_process_of_torchrun_waits_for_the_first_ones_inputs(arguments, monkeypatch):
    for name, value in zip(distributed.ENVIRONMENT, "112", strict=True):
        monkeypatch.setenv(name, value)
    jobs = []
    monkeypatch.setattr(training, "train_process", jobs.append)
    train.main([*arguments, "--train_manifest", "none.csv"])
    assert jobs == [None]


@pytest.mark.endurance
def test_killed_for_real(tmp_path):
    """SIGKILL at random moments after a new checkpoint, three times in one training."""
    kills.write_corpus(tmp_path / "corpus", {"train": 60, "valid": 8})

    def command(folder):
        flags = kills.flags_for(tmp_path / "corpus", tmp_path / folder / "run")
        return [sys.executable, "-m", "stages.train", *flags]

    def checkpoints():
        return set((tmp_path / "killed").glob(".training-*/checkpoints/CKPT+*"))

    subprocess.run(command("whole"), cwd=ROOT, check=True)
    for _ in range(3):
        before = checkpoints()
        process = subprocess.Popen(command("killed"), cwd=ROOT)
        while process.poll() is None and not checkpoints() - before:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command("killed"), cwd=ROOT, check=True)
    assert kills.distance(tmp_path / "killed" / "run", tmp_path / "whole" / "run") <= kills.TOLERANCE
    assert (tmp_path / "killed" / "run" / MODEL).exists()
