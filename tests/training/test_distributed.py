"""Several processes: the batches split among them, the same weights as one process, no end without its reason."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.model.batches import DistributedBatches, DurationBatches
from atc_asr.training import brain, distributed
from benchmarks import kills

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = "--epochs 8"  # not over before it is killed
DETERMINED = "--dropout 0 --freq_masks 0 --time_masks 0 --grad_accum"  # nothing is drawn but weights and batches


@given(st.integers(0, 40), st.integers(1, 5))
def test_every_batch_is_one_processs_and_training_has_as_many_for_each(size, count):
    parts = [distributed.share(range(size), rank, count, equal=True) for rank in range(count)]
    assert sorted(batch for part in parts for batch in part) == list(range(size - size % count))
    assert {len(part) for part in parts} == {size // count}
    parts = [distributed.share(range(size), rank, count, equal=False) for rank in range(count)]
    assert sorted(batch for part in parts for batch in part) == list(range(size))


def test_an_update_of_two_processes_has_the_batches_of_two_accumulated_ones():
    sampler = DurationBatches([1.0, 2.0, 3.0, 2.5, 1.5], max_seconds=3, seed=1)
    shares = [DistributedBatches(sampler, rank, 2, equal=True) for rank in (0, 1)]
    for epoch in (1, 2):
        for part in shares:
            part.set_epoch(epoch)
        together = [batch for pair in zip(*shares, strict=True) for batch in pair]
        assert together == sampler.batches(epoch)[: 2 * len(shares[0])]
        assert together


def test_one_process_alone_exchanges_nothing():
    gradient = torch.ones(2)
    distributed.average_gradients([gradient])
    assert gradient.tolist() == [1, 1]
    assert distributed.gather("x") == ["x"]
    assert (distributed.rank(), distributed.count(), distributed.launched_rank()) == (0, 1, 0)


def test_the_first_processs_clock_decides_and_is_seldom_asked(monkeypatch):
    """A checkpoint every 5 minutes, batches of a second that get slower, updates of two."""
    now, asked, saved = 0.0, [], []
    monkeypatch.setattr(distributed, "count", lambda: 2)
    monkeypatch.setattr(brain, "ddp_broadcast", lambda answer: asked.append(now) or answer)
    monkeypatch.setattr(brain.time, "time", lambda: now)
    state = SimpleNamespace(
        step=0, optimizer_step=0, grad_accumulation_factor=2, ckpt_interval_minutes=5, ask_clock_at=0
    )
    for state.step in range(1, 1001):
        now += 1.0 if state.step < 500 else 2.0
        state.optimizer_step = state.step // 2
        last, steps = saved[-1] if saved else (0.0, 0)
        if brain.ConformerCTC._should_save_intra_epoch_ckpt(state, last, state.step - steps):
            saved.append((now, state.step))
    assert [moment for moment, _ in saved] == pytest.approx([300, 600, 900, 1200, 1500], abs=5)
    assert all(step % 2 == 0 for _, step in saved)
    assert len(asked) < 50  # in 500 updates


def test_torchruns_number_of_processes_counts(monkeypatch):
    assert distributed.number_of(3) == 3
    for name, value in zip(distributed.ENVIRONMENT, ("1", "1", "2"), strict=True):
        monkeypatch.setenv(name, value)
    assert distributed.number_of(1) == distributed.number_of(2) == 2
    assert distributed.launched_rank() == 1
    with pytest.raises(InputError, match="num_processes: got 3 under torchrun with 2, wanted 1 or 2"):
        distributed.number_of(3)


def test_of_several_failures_the_one_that_says_why_is_told():
    bad = InputError("lower train.batch_size")
    assert distributed.first_cause([None, RuntimeError("connection closed by peer"), bad]) is bad
    assert distributed.first_cause([None, 3]) is None


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


@pytest.fixture(scope="module")
def two(corpus, tmp_path_factory):
    """Run folder of two processes that nothing disturbed; dropout and masks are on."""
    run_dir = tmp_path_factory.mktemp("two") / "run"
    run(corpus, run_dir, f"--num_processes 2 {EPOCHS}")
    return run_dir


@pytest.mark.slow
def test_torchrun_does_the_same(corpus, two, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    metrics = run(corpus, tmp_path / "run", EPOCHS, launcher)
    assert metrics["effective_batch_size"] == 6 * 2 * 2
    assert kills.distance(two, tmp_path / "run") == 0
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def machines(corpus, run_dir, extra=""):
    """The same command under two torchruns of one process each, as on two machines."""
    with socket.socket() as free:
        free.bind((distributed.LOCALHOST, 0))
        port = free.getsockname()[1]
    place = ("--nnodes=2", f"--master_addr={distributed.LOCALHOST}", f"--master_port={port}")
    both = [
        subprocess.Popen(
            command(corpus, run_dir, extra, ("-m", "torch.distributed.run", *place, f"--node_rank={rank}")),
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in both]
    return [process.returncode for process in both], said


@pytest.mark.slow
def test_two_machines_do_the_same(corpus, two, tmp_path):
    codes, said = machines(corpus, tmp_path / "run", EPOCHS)
    assert codes == [0, 0], said
    assert kills.distance(two, tmp_path / "run") == 0
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_a_failure_on_one_machine_is_told_on_the_other(corpus, tmp_path):
    """Only the first process reads the manifests; the other one waits for it."""
    codes, said = machines(corpus, tmp_path / "run", "--train_manifest none.csv")
    assert 0 not in codes
    for text in said:
        assert text.count("error: none.csv: no such manifest") == 1, text


@pytest.mark.slow
def test_no_process_outlives_torchrun(corpus, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    torchrun = subprocess.Popen(command(corpus, tmp_path / "run", "--epochs 500", launcher), cwd=ROOT)
    while torchrun.poll() is None and not list(tmp_path.glob(".training-*/checkpoints/CKPT+*")):
        time.sleep(0.01)
    workers = psutil.Process(torchrun.pid).children(recursive=True)
    assert len(workers) >= 2
    torchrun.kill()
    torchrun.wait()
    assert not psutil.wait_procs(workers, timeout=30)[1]


@pytest.mark.slow
def test_killed_with_all_its_processes_and_resumed(corpus, two, tmp_path):
    """SIGKILL of the process that was started alone, in the middle of an epoch."""
    flags = f"--num_processes 2 {EPOCHS}"
    process = subprocess.Popen(command(corpus, tmp_path / "run", flags), cwd=ROOT)
    seen = set()
    while process.poll() is None and len(seen) < 4:
        seen |= set(tmp_path.glob(".training-*/checkpoints/CKPT+*/files.json"))
        time.sleep(0.005)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(workers) >= 2
    assert not psutil.wait_procs(workers, timeout=30)[1]
    run(corpus, tmp_path / "run", flags)
    assert kills.distance(two, tmp_path / "run") <= kills.TOLERANCE


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
