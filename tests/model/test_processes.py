"""Several processes: the batches split among them, the same weights as one process, no end without its reason."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import InputError
from asr.model import processes
from asr.model.batches import DurationBatches, Share
from benchmarks import kills

ROOT = Path(__file__).resolve().parents[2]
DETERMINED = "--dropout 0 --freq_masks 0 --time_masks 0 --grad_accum"  # nothing is drawn but weights and batches


@given(st.integers(0, 40), st.integers(1, 5))
def test_every_batch_is_one_processs_and_training_has_as_many_for_each(size, count):
    parts = [processes.share(range(size), rank, count, equal=True) for rank in range(count)]
    assert sorted(batch for part in parts for batch in part) == list(range(size - size % count))
    assert {len(part) for part in parts} == {size // count}
    parts = [processes.share(range(size), rank, count, equal=False) for rank in range(count)]
    assert sorted(batch for part in parts for batch in part) == list(range(size))


def test_an_update_of_two_processes_has_the_batches_of_two_accumulated_ones():
    sampler = DurationBatches([1.0, 2.0, 3.0, 2.5, 1.5], max_seconds=3, seed=1)
    shares = [Share(sampler, rank, 2, equal=True) for rank in (0, 1)]
    for epoch in (1, 2):
        for part in shares:
            part.set_epoch(epoch)
        together = [batch for pair in zip(*shares, strict=True) for batch in pair]
        assert together == sampler.batches(epoch)[: 2 * len(shares[0])]
        assert together


def test_one_process_alone_exchanges_nothing():
    gradient = torch.ones(2)
    processes.average_gradients([gradient])
    assert gradient.tolist() == [1, 1]
    assert processes.gather("x") == ["x"]
    assert (processes.rank(), processes.count(), processes.launched_rank()) == (0, 1, 0)


def test_torchruns_number_of_processes_counts(monkeypatch):
    assert processes.number_of(3) == 3
    for name, value in zip(processes.ENVIRONMENT, ("1", "1", "2"), strict=True):
        monkeypatch.setenv(name, value)
    assert processes.number_of(1) == processes.number_of(2) == 2
    assert processes.launched_rank() == 1
    with pytest.raises(InputError, match="num_processes: got 3 under torchrun with 2, wanted 1 or 2"):
        processes.number_of(3)


def test_of_several_failures_the_one_that_says_why_is_told():
    bad = InputError("lower train.batch_size")
    assert processes.first_cause([None, RuntimeError("connection closed by peer"), bad]) is bad
    assert processes.first_cause([None, 3]) is None


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    kills.write_corpus(folder, {"train": 60, "valid": 8})
    return folder


def command(corpus, run_dir, extra, launcher=()):
    flags = kills.flags_for(corpus, run_dir, extra.split())
    return [sys.executable, *launcher, "-m", "stages.train", *flags]


def run(corpus, run_dir, extra, launcher=()):
    subprocess.run(command(corpus, run_dir, extra, launcher), cwd=ROOT, check=True, timeout=300)
    return json.loads((run_dir / "metrics.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", "--ema_decay 0.9 --peft lora --lora_dropout 0"])
def test_two_processes_learn_as_one_that_accumulates(corpus, tmp_path, extra):
    one = run(corpus, tmp_path / "one", f"{DETERMINED} 4 {extra}")
    two = run(corpus, tmp_path / "two", f"{DETERMINED} 2 --num_processes 2 {extra}")
    assert kills.distance(tmp_path / "one", tmp_path / "two") <= kills.TOLERANCE
    for key in ("effective_batch_size", "updates", "nonfinite", "valid_wer", "best_epoch"):
        assert one[key] == two[key]
    for key in ("train_loss", "valid_loss"):
        assert one[key] == pytest.approx(two[key], rel=1e-6)


@pytest.mark.slow
def test_torchrun_does_the_same(corpus, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    run(corpus, tmp_path / "door" / "run", "--num_processes 2")
    metrics = run(corpus, tmp_path / "torchrun" / "run", "", launcher)
    assert metrics["effective_batch_size"] == 6 * 2 * 2
    assert kills.distance(tmp_path / "door" / "run", tmp_path / "torchrun" / "run") == 0
    assert [item.name for item in (tmp_path / "torchrun").iterdir()] == ["run"]


@pytest.mark.slow
def test_killed_with_all_its_processes_and_resumed(corpus, tmp_path):
    """SIGKILL of the process that was started alone, in the middle of an epoch; dropout and masks are on."""
    run(corpus, tmp_path / "whole" / "run", "--num_processes 2")
    torn = tmp_path / "torn"
    process = subprocess.Popen(command(corpus, torn / "run", "--num_processes 2"), cwd=ROOT)
    seen = set()
    while process.poll() is None and len(seen) < 4:
        seen |= set(torn.glob(".training-*/checkpoints/CKPT+*/files.json"))
        time.sleep(0.005)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(workers) >= 2
    assert not psutil.wait_procs(workers, timeout=30)[1]
    run(corpus, torn / "run", "--num_processes 2")
    assert kills.distance(torn / "run", tmp_path / "whole" / "run") <= kills.TOLERANCE


@pytest.mark.slow
def test_a_process_that_fails_ends_all_with_one_line(corpus, tmp_path):
    failing = command(corpus, tmp_path / "run", "--num_processes 2 --lr 1e30 --max_nonfinite 0 --max_grad_norm 1e30")
    found = subprocess.run(failing, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 2, found.stderr
    assert found.stderr.count("error: training: ") == 1
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_a_killed_process_ends_all_with_one_line(corpus, tmp_path):
    killed = subprocess.Popen(
        command(corpus, tmp_path / "run", "--num_processes 2 --epochs 500"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while killed.poll() is None and not list(tmp_path.glob(".training-*/checkpoints/CKPT+*")):
        time.sleep(0.01)
    workers = [child for child in psutil.Process(killed.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    os.kill(workers[-1].pid, signal.SIGKILL)
    stderr = killed.communicate(timeout=60)[1]
    assert killed.returncode == 2, stderr
    assert stderr.count("error: training: one of its processes ended with exit code -9") == 1
    assert "Traceback" not in stderr
    assert not psutil.wait_procs(workers, timeout=30)[1]
