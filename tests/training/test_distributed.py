"""Several processes: the batches are split among them, and the weights are the same as with one process."""

import json
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
from atc_asr.model.batches import DurationBatches
from atc_asr.training import brain, distributed, launcher, training, updates
from atc_asr.training.distributed import DistributedBatches
from benchmarks import kills

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = "--epochs 8"  # long enough to be killed before the end
DETERMINED = "--dropout 0 --freq_masks 0 --time_masks 0 --grad_accum"  # nothing is drawn but weights and batches


@given(st.integers(0, 40), st.integers(1, 5))
def test_every_batch_belongs_to_one_process(size, count):
    def parts(equal):
        """The batches of all processes, an utterance each."""
        settings = {"max_seconds": 1, "seed": None, "world_size": count, "equal": equal}
        return [DistributedBatches([1.0] * size, rank=rank, **settings).batches(1) for rank in range(count)]

    assert sorted(batch for part in parts(True) for batch in part) == [
        [number] for number in range(size - size % count)
    ]
    assert {len(part) for part in parts(True)} == {size // count}
    assert sorted(batch for part in parts(False) for batch in part) == [[number] for number in range(size)]


def test_an_update_of_two_processes_has_the_batches_of_two_accumulated_ones():
    durations, settings = [1.0, 2.0, 3.0, 2.5, 1.5], {"max_seconds": 3, "seed": 1}
    sampler = DurationBatches(durations, **settings)
    parts = [DistributedBatches(durations, **settings, rank=rank, world_size=2, equal=True) for rank in (0, 1)]
    for epoch in (1, 2):
        for part in parts:
            part.set_epoch(epoch)
        together = [batch for pair in zip(*parts, strict=True) for batch in pair]
        assert together == sampler.batches(epoch)[: 2 * len(parts[0])]
        assert together


def test_a_single_process_exchanges_nothing():
    gradient = torch.ones(2)
    distributed.average_gradients([gradient])
    assert gradient.tolist() == [1, 1]
    assert distributed.gather("x") == ["x"]
    assert (distributed.rank(), distributed.world_size(), distributed.launched_rank()) == (0, 1, 0)


def test_gradients_are_averaged_in_one_exchange(monkeypatch):
    """The other process has gradients of -1 and, for one weight, NaN."""
    exchanged = []

    def all_reduce(flat):
        exchanged.append(flat.tolist())
        flat += torch.tensor([-1.0, -1.0, float("nan")])

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.distributed, "all_reduce", all_reduce)
    gradients = [torch.tensor([[1.0, 3.0]]), torch.tensor([5.0])]
    distributed.average_gradients(gradients)
    assert exchanged == [[1.0, 3.0, 5.0]]
    assert gradients[0].tolist() == [[0.0, 1.0]]
    assert torch.isnan(gradients[1]).all()


@pytest.fixture
def first_of_two(monkeypatch):
    """A process group of two in which the other process trains with the same batches: its gradients are equal."""
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.distributed, "all_reduce", lambda flat: flat.mul_(2))
    monkeypatch.setattr(distributed, "gather", lambda value: [value, value])


def test_a_process_trains_with_its_half_of_the_batches(config, changed, tmp_path, first_of_two, monkeypatch):
    """The second process is simulated; losses and scores of both are joined."""
    monkeypatch.setattr("atc_asr.training.initial_weights.broadcast_weights", lambda *_: None)
    seen = []
    fit_batch = updates.NonblockingBrain.fit_batch
    monkeypatch.setattr(
        updates.NonblockingBrain, "fit_batch", lambda self, batch: seen.append(batch.ids) or fit_batch(self, batch)
    )
    result = training.fit(changed(config, train={"epochs": 1}), tmp_path)
    sampler = DurationBatches(
        [row.duration for row in config.train_set], max_seconds=result.stats["batch_seconds"], seed=config.train.seed
    )
    own = sampler.batches(1)[0 : 2 * (len(sampler.batches(1)) // 2) : 2]
    assert seen == [[config.train_set[index].id for index in batch] for batch in own]


def test_the_clock_of_the_first_process_decides_and_is_asked_seldom(monkeypatch):
    """A checkpoint every 5 minutes, batches of a second that become slower, updates of two batches."""
    now, asked, saved = 0.0, [], []
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(brain, "ddp_broadcast", lambda answer: asked.append(now) or answer)
    monkeypatch.setattr(brain.time, "time", lambda: now)
    state = SimpleNamespace(
        step=0, optimizer_step=0, grad_accumulation_factor=2, ckpt_interval_minutes=5, clock_update=0
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


def set_torchrun(monkeypatch, rank, world_size):
    for name, value in zip(distributed.ENVIRONMENT, (rank, rank, world_size), strict=True):
        monkeypatch.setenv(name, str(value))


def test_torchrun_gives_the_number_of_processes(monkeypatch):
    assert distributed.check_num_processes(3) == 3
    set_torchrun(monkeypatch, 1, 2)
    assert distributed.check_num_processes(1) == distributed.check_num_processes(2) == 2
    assert distributed.launched_rank() == 1
    with pytest.raises(InputError, match="num_processes: got 3 under torchrun with 2, wanted 1 or 2"):
        distributed.check_num_processes(3)


@pytest.fixture
def fake_group(monkeypatch):
    """torchrun's environment of the first of two processes, without a connection; returns what happens."""
    happened = []
    set_torchrun(monkeypatch, 0, 2)
    monkeypatch.setattr(distributed, "_prctl_pr_set_pdeathsig", lambda signal: None)
    monkeypatch.setattr(distributed, "ddp_init_group", happened.append)
    monkeypatch.setattr(distributed.distributed, "destroy_process_group", lambda: happened.append("left"))
    monkeypatch.setattr(distributed, "ddp_broadcast", lambda value: happened.append(value) or value)
    monkeypatch.setattr(training, "ddp_broadcast", lambda value: happened.append(value) or value)
    monkeypatch.setattr(distributed, "PEER_SECONDS", 0)
    return happened


def test_an_error_of_the_first_process_is_sent_to_the_others(fake_group):
    error = InputError("none.csv: no such manifest")
    with pytest.raises(InputError, match=r"none\.csv"), distributed.broadcast_errors():
        raise error
    assert fake_group[1:] == [error, "left"]


def test_the_others_raise_an_error_that_they_are_sent(fake_group):
    with pytest.raises(InputError, match=r"none\.csv"):
        training.train_process(InputError("none.csv: no such manifest"))
    assert "left" not in fake_group  # NCCL would wait


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.distributed.DistNetworkError("recvValue failed\nstack"), (InputError, "ended: recvValue failed$")),
        (RuntimeError("[gloo/pair.cc:534] Connection closed by peer"), (InputError, "another of its processes ended")),
        (RuntimeError("shapes do not match"), (RuntimeError, "shapes")),
    ],
)
def test_the_end_of_another_process_is_one_line(fake_group, error, wanted):
    with pytest.raises(wanted[0], match=wanted[1]), distributed.group():
        raise error


def test_the_launcher_is_used_unless_torchrun_is(config, changed, tmp_path, fake_group, monkeypatch):
    calls = []
    monkeypatch.setattr(launcher, "launch", lambda *job: calls.append(job) or "result")
    monkeypatch.setattr(training, "fit", lambda *job: calls.append(job) or "result")
    two = changed(config, train={"num_processes": 2})
    assert training.train(two, tmp_path) == "result"
    monkeypatch.delenv("RANK")
    assert training.train(two, tmp_path) == "result"
    assert training.train(config, tmp_path) == "result"
    assert calls == [(two, tmp_path), (training.train_process, ((two, tmp_path),), 2), (config, tmp_path)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    kills.write_corpus(folder, {"train": 60, "valid": 8})
    return folder


def command(corpus, run_dir, extra, torchrun=()):
    flags = kills.flags_for(corpus, run_dir, extra.split())
    return [sys.executable, *torchrun, "-m", "stages.train", *flags]


def run(corpus, run_dir, extra, torchrun=()):
    subprocess.run(command(corpus, run_dir, extra, torchrun), cwd=ROOT, check=True, timeout=300)
    return json.loads((run_dir / "metrics.json").read_text())


@pytest.mark.endurance
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
    """Run folder of an undisturbed training of two processes, with dropout and masks."""
    run_dir = tmp_path_factory.mktemp("two") / "run"
    run(corpus, run_dir, f"--num_processes 2 {EPOCHS}")
    return run_dir


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


@pytest.mark.endurance
def test_torchrun_trains_the_same_weights(corpus, two, tmp_path):
    metrics = run(corpus, tmp_path / "run", EPOCHS, TORCHRUN)
    assert metrics["effective_batch_size"] == 6 * 2 * 2
    assert kills.distance(two, tmp_path / "run") == 0
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def train_on_two_machines(corpus, run_dir, extra):
    """The same command under two torchruns of one process each; returns their exit codes and standard errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ("--nnodes=2", "--master_addr=127.0.0.1", f"--master_port={port}")
    both = [
        subprocess.Popen(
            command(corpus, run_dir, extra, ("-m", "torch.distributed.run", *address, f"--node_rank={rank}")),
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    errors = [process.communicate(timeout=300)[1] for process in both]
    return [process.returncode for process in both], errors


@pytest.mark.endurance
def test_two_machines_train_the_same_weights(corpus, two, tmp_path):
    codes, errors = train_on_two_machines(corpus, tmp_path / "run", EPOCHS)
    assert codes == [0, 0], errors
    # Matrix products with another number of threads round otherwise; on a busy machine there are fewer.
    assert kills.distance(two, tmp_path / "run") <= kills.TOLERANCE
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


@pytest.mark.endurance
def test_an_input_error_is_reported_on_every_machine(corpus, tmp_path):
    """Only the first process reads the manifests; the other one waits for it."""
    codes, errors = train_on_two_machines(corpus, tmp_path / "run", "--train_manifest none.csv")
    assert 0 not in codes
    for text in errors:
        assert text.count("error: none.csv: no such manifest") == 1, text


@pytest.mark.endurance
@pytest.mark.parametrize("torchrun", [(), TORCHRUN])
def test_no_process_outlives_the_launcher(corpus, two, tmp_path, torchrun):
    """SIGKILL of the launcher in the middle of an epoch; the training resumes."""
    flags = EPOCHS if torchrun else f"--num_processes 2 {EPOCHS}"
    process = subprocess.Popen(command(corpus, tmp_path / "run", flags, torchrun), cwd=ROOT)
    seen = set()
    while process.poll() is None and len(seen) < 4:
        seen |= set(tmp_path.glob(".training-*/checkpoints/CKPT+*/files.json"))
        time.sleep(0.005)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.wait()
    assert not psutil.wait_procs(workers, timeout=30)[1]
    run(corpus, tmp_path / "run", flags, torchrun)
    assert kills.distance(two, tmp_path / "run") <= kills.TOLERANCE


@pytest.mark.endurance
def test_a_process_that_fails_ends_all_with_one_line(corpus, tmp_path):
    failing = command(corpus, tmp_path / "run", "--num_processes 2 --epochs 30 --lr 1e30 --max_grad_norm 1e30")
    found = subprocess.run(failing, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 2, found.stderr
    assert found.stderr.splitlines()[-1].startswith("error: training: 11 losses or gradients are not finite")
    assert found.stderr.count("error: training: ") == 1
    assert "Traceback" not in found.stderr


@pytest.mark.endurance
def test_a_killed_process_ends_all_with_one_line(corpus, tmp_path):
    training = subprocess.Popen(
        command(corpus, tmp_path / "run", "--num_processes 2 --epochs 500"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while training.poll() is None and not list(tmp_path.glob(".training-*/checkpoints/CKPT+*")):
        time.sleep(0.01)
    workers = [child for child in psutil.Process(training.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    workers[-1].kill()
    stderr = training.communicate(timeout=60)[1]
    assert training.returncode == 2, stderr
    assert stderr.splitlines()[-1].startswith("error: training: a process ended with exit code -9"), stderr
    assert "Traceback" not in stderr
    assert not psutil.wait_procs(workers, timeout=30)[1]
