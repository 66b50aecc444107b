"""What differs on a CUDA device.

Every test also runs on the CPU with tiny sizes; `pytest -m gpu` runs those of the GPU alone.
"""

import contextlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from speechbrain.utils.autocast import TorchAutocast

from atc_asr.commands import export_onnx, find_batch
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import write_manifest
from atc_asr.model import batches, network, run_folder
from atc_asr.model.batches import CachedDataset
from atc_asr.posteriors.forward import device_batch
from atc_asr.training import cuda_graphs, distributed, training
from atc_asr.training.augment import Augment
from atc_asr.training.brain import ConformerCTC
from atc_asr.training.cuda_graphs import Recorder, Recording
from atc_asr.training.params import AugmentParams
from atc_asr.training.updates import NonblockingBrain
from benchmarks import kills
from stages import train as train_stage
from tests import tiny_network

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


class Killed(BaseException):
    """In place of a signal that no handler gets."""


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def device(request, monkeypatch):
    """The device that trains; the CPU with float16 and loss scaling, which SpeechBrain allows on CUDA only."""
    if request.param == "cpu":
        monkeypatch.setattr(network, "pick_device", lambda: torch.device("cpu"))
        make = training.make_brain

        def make_brain(*args, precision, **keywords):
            brain = make(*args, precision="bf16" if precision == "fp16" else precision, **keywords)
            if precision == "fp16":
                brain.scaler = torch.amp.GradScaler("cpu")
                brain.training_ctx = TorchAutocast(device_type="cpu", dtype=torch.float16)
                brain.checkpointer.add_recoverable("scaler", brain.scaler, optional_load=True)
            return brain

        monkeypatch.setattr(training, "make_brain", make_brain)
    return torch.device(request.param)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_learns_in_every_precision(device, config, changed, tmp_path, precision):
    result = training.train(changed(config, train={"precision": precision}), tmp_path)
    assert (result.device.type, result.precision, result.stats["nonfinite"]) == (device.type, precision, 0)
    first, last = result.curves[0], result.curves[-1]
    assert last["train_loss"] < 0.9 * first["train_loss"] and np.isfinite(last["grad_norm"])
    scalers = list((tmp_path / run_folder.CHECKPOINTS).glob("CKPT+*/scaler.ckpt"))
    assert bool(scalers) == (precision == "fp16")
    weights = torch.load(tmp_path / run_folder.MODEL, weights_only=True)
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in weights.values() if weight.ndim)


def test_auto_is_fp16_on_cuda(device):
    assert training.AUTO_PRECISION[device.type] == {"cuda": "fp16", "cpu": "fp32"}[device.type]


def test_an_overflow_of_the_loss_scale_skips_the_update(device):
    """The scaler finds its scale by overflows: the update is skipped, the scale halved, and nothing counted."""
    modules = {"linear": torch.nn.Linear(3, 1)}
    options = {"device": str(device), "precision": "fp16" if device.type == "cuda" else "fp32"}
    brain = NonblockingBrain(modules, lambda weights: torch.optim.AdamW(weights, fused=True), run_opts=options)
    brain.scaler = torch.amp.GradScaler(device.type, init_scale=2.0**10)
    brain.on_fit_start()
    weight = brain.modules.linear.weight
    before = weight.detach().clone()
    for factor, is_skipped in ((float("inf"), True), (1.0, False)):
        loss = brain.modules.linear(torch.ones(2, 3, device=device)).sum()
        brain.scaler.scale(loss).backward()
        weight.grad *= factor
        brain.optimizers_step()
        assert torch.equal(weight, before) == is_skipped
    assert brain.scaler.get_scale() == 2.0**9


def test_the_corpus_is_kept_on_the_device(device, config, changed, tmp_path, monkeypatch):
    kept = []
    init = CachedDataset.__init__

    def record(dataset, *arguments):
        init(dataset, *arguments)
        kept.append(dataset._samples.device.type)

    monkeypatch.setattr(CachedDataset, "__init__", record)
    training.train(changed(config, train={"audio_cache_mb": 100, "epochs": 1}), tmp_path)
    assert set(kept) == {device.type}


def test_the_corpus_is_kept_on_the_cpu_if_the_gpu_is_nearly_full(config, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 80_000_000_000))
    data = batches.ManifestDataset(config.train_set, sample_rate=network.SAMPLE_RATE, encode=config.tokens.encode)
    cached = batches.cache_audio(data, max_bytes=10**9, device=torch.device("cuda"))
    assert cached._samples.device.type == "cpu"


def test_augmentation_happens_on_the_device(device, config):
    data = batches.ManifestDataset(config.train_set[:4], sample_rate=network.SAMPLE_RATE, encode=config.tokens.encode)
    batch = batches.collate([data[number] for number in range(4)]).to(device)
    augment = Augment(AugmentParams(speeds=[90, 110], radio_fraction=1.0, snr_low=8, snr_high=30), 16000, device)
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(augment(batch).wavs)
    assert made[0].device.type == device.type and made[0].isfinite().all()
    assert not torch.equal(made[0], batch.wavs)
    torch.testing.assert_close(made[0], made[1])


def test_trains_with_masks_augmentation_adapters_and_moving_averages(device, config, changed, tmp_path):
    config = changed(
        config,
        train={"precision": "fp16", "ema_decay": 0.9, "audio_cache_mb": 100, "grad_accum": 2},
        augment={"speeds": [90, 100, 110], "radio_fraction": 0.5},
        lora={"peft": "lora", "lora_dropout": 0.0},
    )
    result = training.train(config, tmp_path)
    assert result.adapted and np.isfinite(result.best["valid_loss"])
    assert any((tmp_path / run_folder.CHECKPOINTS).glob("CKPT+*/ema.ckpt"))


def test_out_of_memory_is_one_line(device, config, changed, tmp_path, monkeypatch):
    def fill_memory(*_):
        if device.type == "cpu":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1048576.00 GiB")
        torch.empty(1 << 50, dtype=torch.uint8, device=device)

    monkeypatch.setattr(ConformerCTC, "compute_forward", fill_memory)
    with pytest.raises(InputError, match=r"out of memory in a batch of \d+ x \d\.\d s \(u\d+.*lower train\.batch_size"):
        training.train(changed(config, train={"epochs": 1}), tmp_path)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_resumes_from_a_checkpoint(device, config, changed, tmp_path, monkeypatch, precision):
    """With the states of the random generators and of the loss scaler; CUDA's CTC loss adds in any order."""
    rows = config.train_set[:12]
    config = changed(
        replace(config, train_set=rows, valid_set=rows[:2]),
        train={"precision": precision, "checkpoint_minutes": 1e-9},
        augment={"speeds": [90, 100, 110], "radio_fraction": 0.5},
    )
    training.train(config, tmp_path / "whole")
    fit_batch, seen = ConformerCTC.fit_batch, []

    def killed(brain, batch):
        seen.append(batch)
        if len(seen) == 3:
            raise Killed
        return fit_batch(brain, batch)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(ConformerCTC, "fit_batch", killed)
        training.train(config, tmp_path / "killed")
    training.train(config, tmp_path / "killed")
    states = [torch.load(tmp_path / name / run_folder.MODEL, weights_only=True) for name in ("whole", "killed")]
    for name, weight in states[0].items():
        torch.testing.assert_close(weight, states[1][name], atol=1e-6 if device.type == "cpu" else 1e-2, rtol=0)


def test_the_log_probabilities_are_those_of_the_cpu(device, config, tmp_path):
    on_cpu = tiny_network.save_run(tmp_path, config.tokens)
    on_device = run_folder.load_recognizer(tmp_path, device=device)
    wavs, lengths = 0.1 * torch.randn(3, 32000), torch.tensor([1.0, 0.7, 0.3])
    wanted, num_frames = on_cpu.log_probs(wavs, lengths)
    found, found_frames = on_device.log_probs(wavs, lengths)
    assert found.device.type == device.type and found_frames.tolist() == num_frames.tolist()
    for row, frames in enumerate(num_frames.tolist()):
        torch.testing.assert_close(found[row, :frames].cpu(), wanted[row, :frames], atol=1e-3, rtol=0)


def test_the_stage_records_the_device_and_its_run_is_exported(device, tmp_path):
    kills.write_corpus(tmp_path, {"train": 24, "valid": 4})
    train_stage.main(kills.flags_for(tmp_path, tmp_path / "run", ["--epochs", "1", "--precision", "auto"]))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["device"] == device.type and bool(metrics["gpu"]) == (device.type == "cuda")
    assert metrics["peak_memory_mb"] > 0
    out_file = tmp_path / "model.onnx"
    export_onnx.main(["--checkpoint_dir", str(tmp_path / "run"), "--out_file", str(out_file)])
    session = onnxruntime.InferenceSession(out_file)
    wavs = 0.1 * torch.randn(1, 16000)
    wanted = run_folder.load_recognizer(tmp_path / "run", device="cpu").log_probs(wavs, torch.ones(1))[0]
    got, _ = session.run(None, {"wavs": wavs.numpy(), "num_samples": np.array([16000])})
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-3)


def test_find_batch(device, config, tmp_path, capsys, monkeypatch):
    """On a GPU with its free memory and a process for each trial, else in this process with fake figures."""
    write_manifest(tmp_path / "train.csv", config.train_set[:6])
    if device.type == "cpu":
        monkeypatch.setattr(find_batch, "free_memory", lambda: 10**12)
        monkeypatch.setattr(find_batch, "peak_memory", find_batch.two_updates)
    tiny = kills.FLAGS[: kills.FLAGS.index("--dropout")]
    find_batch.main(["--train_manifest", str(tmp_path / "train.csv"), *tiny, "--beam_size", "1"])
    assert capsys.readouterr().out.startswith("batch_size 6: the longest batch takes ")


@pytest.mark.parametrize(("device", "seconds"), [("cpu", 60.0), ("cuda:1", 240.0)])
def test_the_forward_pass_has_larger_batches_on_a_gpu(device, seconds):
    assert device_batch(60.0, torch.device(device)) == seconds


def test_the_free_memory_is_that_of_the_gpu(monkeypatch):
    monkeypatch.setattr(network, "pick_device", lambda: torch.device("cuda:0"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (123, 456))
    assert find_batch.free_memory() == 123


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="no CUDA device for process 2, wanted at most 1"), distributed.group():
        pass


@pytest.mark.endurance
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_two_processes_train_over_nccl_or_are_refused(config, changed, tmp_path):
    two = changed(config, train={"num_processes": 2, "epochs": 1})
    if torch.cuda.device_count() == 1:
        with pytest.raises(InputError, match="no CUDA device for process 2, wanted at most 1"):
            training.train(two, tmp_path)
    else:
        assert training.train(two, tmp_path).device.type == "cuda"


class CallAgain:
    """In place of a recording on a CPU, which has no CUDA graphs: calls the function in every replay."""

    def __init__(self, passes, inputs, sums, pool):
        self.inputs = [tensor.clone() for tensor in inputs]
        self.passes, self.sums = passes, sums
        self.forward, self.backward = SimpleNamespace(replay=self.call), SimpleNamespace(replay=self.add)
        self.call()
        self.gradients = [torch.zeros_like(output) for output in self.outputs]

    def call(self):
        with torch.enable_grad():
            self.outputs, self.weights = self.passes.with_aliases(self.inputs)

    def add(self):
        found = torch.autograd.grad(self.outputs, self.weights, self.gradients, allow_unused=True)
        for total, gradient in zip(self.sums, found, strict=True):
            if gradient is not None:
                total += gradient


@pytest.mark.parametrize("record_after", [0, 1])
def test_recorded_passes_have_the_outputs_and_gradients_of_the_network(device, config, monkeypatch, record_after):
    """Also when only some batches of an update are recorded, and after an update of the weights."""
    modules = tiny_network.build(len(config.tokens), dropout=0.0).encoder.to(device).train()
    modules["conformer"].unused = torch.nn.Parameter(torch.ones(2, device=device))
    weights = list(modules.parameters())

    def outputs(features, num_steps):
        hidden, layers, _ = network.encode(modules, features, num_steps)
        return hidden.float(), layers[1].float()

    monkeypatch.setattr(cuda_graphs, "RECORD_AFTER", record_after)
    recorder = Recorder(modules, outputs, make=Recording if device.type == "cuda" else CallAgain)
    shapes = [(2, 48), (3, 32), (2, 48)]  # utterances, steps
    for update in range(2):
        features = [torch.randn(size, steps, 20, device=device) for size, steps in shapes]
        lengths = [torch.tensor([steps, steps // 2, 1][:size], device=device) for size, steps in shapes]
        found = []
        for run in (outputs, recorder):
            values = []
            for inputs in zip(features, lengths, strict=True):
                hidden, half = run(*inputs)
                values += [hidden.detach().clone(), half.detach().clone()]
                (hidden.square().sum() + half.sum()).backward()
            found.append(
                [*values, *(torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in weights)]
            )
            for weight in weights:
                weight.grad = None
        assert sum(value.any().item() for value in found[0]) > 20
        for wanted, got in zip(*found, strict=True):
            torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)
        assert len(recorder) == (1 if (update, record_after) == (0, 1) else 2)
        with torch.no_grad():
            torch._foreach_mul_(weights, 0.9)


@pytest.mark.parametrize("fault", ["outputs", "gradients"])
def test_a_recording_with_other_results_is_not_used(device, monkeypatch, caplog, fault):
    class Faulty(Recording if device.type == "cuda" else CallAgain):
        def __init__(self, passes, inputs, sums, pool):
            super().__init__(passes, [1.1 * tensor for tensor in inputs] if fault == "outputs" else inputs, sums, pool)
            if fault == "gradients":
                add = self.backward.replay
                self.backward = SimpleNamespace(replay=lambda: [add(), sums[0].mul_(1.1)])

    monkeypatch.setattr(cuda_graphs, "RECORD_AFTER", 0)
    linear = torch.nn.Linear(2, 1, device=device)
    recorder = Recorder(linear, lambda values: (linear(values),), make=Faulty)
    values = torch.tensor([[1.0, 3.0]], device=device)
    for _ in range(2):
        torch.testing.assert_close(recorder(values)[0], linear(values))
    assert len(recorder) == 0 and caplog.text.count(f"{fault} of a replay differ") == 1


@pytest.mark.parametrize(("free", "fits"), [(1200, True), (1199, False)])
def test_a_recording_leaves_room_for_another_pass(monkeypatch, free, fits):
    figures = {"mem_get_info": (free * 10**6, 0), "max_memory_allocated": 700 * 10**6, "memory_allocated": 100 * 10**6}
    for name, value in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    with (
        contextlib.nullcontext() if fits else pytest.raises(RuntimeError, match="1199 MB are free, wanted 1200 for two")
    ):
        cuda_graphs.check_room(torch.device("cuda"))


def test_a_network_that_cannot_be_recorded_is_called(device, monkeypatch, caplog):
    linear = torch.nn.Linear(2, 1, bias=False, device=device)
    torch.nn.init.ones_(linear.weight)

    def outputs(values):
        return (linear(values) * values.max().item(),)  # .item() waits for the device

    def refuse(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graphs, "RECORD_AFTER", 0)
    recorder = Recorder(linear, outputs, make=Recording if device.type == "cuda" else refuse)
    for _ in range(3):
        torch.nn.functional.dropout(torch.ones(3, device=device))  # random numbers are drawn as before
        assert recorder(torch.tensor([1.0, 3.0], device=device))[0].item() == 12.0
    assert len(recorder) == 0 and caplog.text.count("without CUDA graphs") == 1


def test_trains_with_recorded_passes(device, config, changed, tmp_path, monkeypatch, caplog):
    """Losses of an epoch are those without recordings: no dropout, and weights that hardly change."""
    config = changed(
        config,
        train={"grad_accum": 2, "epochs": 1, "lr": 1e-5, "precision": "fp16"},
        model={"dropout": 0.0},
        specaugment={"freq_masks": 0, "time_masks": 0},
    )
    recorders = []

    def make_recorder(brain):
        recorders.append(Recorder(brain.modules, brain.outputs, make=Recording if device.type == "cuda" else CallAgain))
        return recorders[-1]

    monkeypatch.setattr(cuda_graphs, "RECORD_AFTER", 0)
    losses = []
    for make in (lambda brain: None, make_recorder):
        monkeypatch.setattr(ConformerCTC, "make_recorder", make)
        result = training.train(config, tmp_path / make.__name__)
        losses.append([result.curves[0]["train_loss"], result.curves[0]["valid_loss"]])
    assert len(recorders[0]) > 0
    assert "without CUDA graphs" not in caplog.text
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
