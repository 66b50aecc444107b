"""benchmarks/train: the speed of this project's training beside SpeechBrain's LibriSpeech CTC recipe.

    python -m benchmarks.train --train_manifest data/corpus/base/train.csv [--preset presets/atc0.yaml]
        [--train_subset 700] [--blocks 6] [--updates 40] [--variants compile batch4 no_graphs+batch4 ...]

Two processes run alternately, BLOCKS times UPDATES updates each, with the same network, initial weights, batches and
learning rates: `atc_asr.training.training.train`, and a Brain as in recipes/LibriSpeech/ASR/CTC/train.py (SpeechBrain's
fit_batch, a DynamicItemDataset that reads WAVs, PaddedBatch, AdamW as in its YAML; no loader processes, which would
compete for two cores). Neither uses masks, dropout or an intermediate loss, as in that recipe; both normalise features
with the same statistics. In the last block every part is timed. Prints audio seconds (without padding) per second, the
ratio by block, the differences of the losses, the time of each part, and the peak memory of each process. Trains on a
GPU where there is one, in the precision of `train.precision`. With `--variants`, this project's training then runs once
in each of these, alone; names joined by + are used together. On a GPU, shapes are recorded as CUDA graphs at first
sight, which is timed apart: a long training repeats its shapes. What fails says so, and the rest is measured.
"""

import argparse
import contextlib
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.nnet.losses import ctc_loss
from speechbrain.utils.data_pipeline import provides, takes
from torch.utils.data.dataloader import _BaseDataLoaderIter

from atc_asr.commands import preset
from atc_asr.core.config import PARAMS_FILE, load_section
from atc_asr.core.manifest import read_manifests
from atc_asr.model import batches, network
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.training import cuda_graphs, data, initial_weights, training
from atc_asr.training.brain import ConformerCTC
from atc_asr.training.config import TrainingConfig
from atc_asr.training.optimizer import ADAM_BETAS
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams
from atc_asr.training.schedule import make_schedule

PARTS = ("loader", "features", "front-end", "encoder", "head and loss", "backward", "optimizer", "rest of the loop")


VARIANTS = ("plain", "no_graphs", "channels_last", "sdpa", "bf16", "compile", "batch4", "batch16")


class FinishedError(Exception):
    """Ends a training after the last block."""


class Blocks:
    """Runs a training in blocks: reports after each block and waits for the next order."""

    def __init__(self, pipe, updates: int) -> None:
        self._pipe, self._updates = pipe, updates
        self._losses: list[torch.Tensor] = []
        self._seconds: dict[str, float] = {}
        self._recorded = 0.0  # seconds, which are not those of updates

    def after_batch(self, brain: sb.Brain, loss: torch.Tensor) -> None:
        """To be called after each batch. The first one is a warm-up and belongs to no block."""
        self._losses.append(loss.detach())
        if (len(self._losses) - 1) % self._updates:
            return
        now = self._clock()
        elapsed = now - getattr(self, "_started", now)
        recorder = self._recorder(brain)
        recorded = 0.0 if recorder is None else recorder.seconds
        elapsed, self._recorded = elapsed - (recorded - self._recorded), recorded
        recordings = "" if recorder is None else f", {len(recorder)} shapes recorded in {recorded:.1f} s"
        losses = [float(one) for one in self._losses[-self._updates :]]
        self._pipe.send((elapsed, losses, dict(self._seconds), self._peak(), recordings))
        order = self._pipe.recv()
        if order == "stop":
            raise FinishedError
        if order == "measure":
            self._measure(brain)
        self._started = self._clock()

    @staticmethod
    def _recorder(brain: sb.Brain):
        return getattr(brain, "recorder", None)

    @staticmethod
    def _clock() -> float:
        """Seconds, after all work of the device."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    @staticmethod
    def _peak() -> float:
        """Peak memory of the GPU, else of the process, MiB."""
        device = network.cuda_peak(network.pick_device())
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 if device is None else device) / 2**20

    def _measure(self, brain: sb.Brain) -> None:
        encoder = brain.modules.encoder
        passes = (
            (encoder["front_end"], "forward", "front-end"),  # of the recipe
            (network, "front_end", "front-end"),  # of this project
            (encoder["conformer"], "forward", "encoder"),
            (encoder["ctc_head"], "forward", "head and loss"),
            (encoder["log_softmax"], "forward", "head and loss"),
        )
        if self._recorder(brain) is not None:  # replays these as one, and cannot wait for the GPU while it records
            passes = ((cuda_graphs.Recorder, "__call__", "encoder"),)
        for owner, name, part in (
            *passes,
            (brain.hparams, "features_of", "features"),
            (encoder["normalizer"], "forward", "features"),
            (brain, "compute_objectives", "head and loss"),
            (torch.Tensor, "backward", "backward"),
            (brain, "optimizers_step", "optimizer"),
            (_BaseDataLoaderIter, "__next__", "loader"),
        ):
            setattr(owner, name, self._timed(getattr(owner, name), part, self._recorder(brain)))

    def _timed(self, function, part: str, recorder):
        def clock() -> float:
            return self._clock() - (0.0 if recorder is None else recorder.seconds)

        def timed(*args, **kwargs):
            started = clock()
            try:
                return function(*args, **kwargs)
            finally:
                self._seconds[part] = self._seconds.get(part, 0.0) + clock() - started

        return timed


class Recipe(sb.Brain):
    """SpeechBrain's recipe around the same modules."""

    def compute_forward(self, batch, stage):
        """Log-probabilities (B, T, V)."""
        batch = batch.to(self.device)
        wavs, wav_lens = batch.sig
        encoder = self.modules.encoder
        feats = self.hparams.features_of(wavs)
        feats = encoder["normalizer"](feats, wav_lens, epoch=network.STATISTICS_TAKEN)
        enc_out, _ = encoder["conformer"](encoder["front_end"](feats), wav_lens)
        return encoder["log_softmax"](encoder["ctc_head"](enc_out)), wav_lens

    def compute_objectives(self, predictions, batch, stage):
        """CTC loss."""
        p_ctc, wav_lens = predictions
        tokens, tokens_lens = batch.tokens
        return ctc_loss(p_ctc, tokens, wav_lens, tokens_lens, blank_index=0)

    def set_lr(self) -> None:
        """Sets the learning rate of the next update."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.hparams.lr_schedule(self.optimizer_step)

    def on_fit_start(self):
        """Sets the first learning rate."""
        super().on_fit_start()
        self.set_lr()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Sets the next learning rate."""
        if should_step:
            self.set_lr()
        self.hparams.blocks.after_batch(self, loss)


def recipe_dataset(rows, tokens) -> DynamicItemDataset:
    """The recipe's data pipeline over manifest rows."""

    @takes("wav")
    @provides("sig")
    def audio_pipeline(wav):
        return sb.dataio.dataio.read_audio(wav)

    @takes("wrd")
    @provides("tokens")
    def text_pipeline(wrd):
        return torch.LongTensor(tokens.encode(wrd))

    data = {row.id: {"wav": str(row.wav), "wrd": row.transcript, "duration": row.duration} for row in rows}
    dataset = DynamicItemDataset(data, [audio_pipeline, text_pipeline])
    dataset.set_output_keys(["id", "sig", "wrd", "tokens"])
    return dataset


def run_recipe(config: TrainingConfig, blocks: Blocks) -> None:
    """Trains as the recipe."""
    torch.manual_seed(config.train.seed)
    values = network.hparams_values(config.model, config.specaugment, len(config.tokens))
    hparams = network.build(network.fill_placeholders(config.hparams_file, values), str(config.hparams_file))
    rows, sampler = same_batches(config)
    device = network.pick_device()
    precision = training.AUTO_PRECISION[device.type] if config.train.precision == "auto" else config.train.precision
    initial_weights.compute_statistics(hparams.normalizer, data.make_data(config, hparams, device), device)
    brain = Recipe(
        hparams.modules,
        opt_class=lambda weights: torch.optim.AdamW(
            weights, lr=config.train.lr, betas=ADAM_BETAS, weight_decay=config.train.weight_decay
        ),
        hparams={
            "features_of": hparams.compute_features,
            "lr_schedule": make_schedule(config.train, [len(sampler.batches(1))]),
            "blocks": blocks,
        },
        run_opts={
            "device": str(device),
            "precision": precision,
            "eval_precision": precision,
            "max_grad_norm": config.train.max_grad_norm,
            "noprogressbar": True,
        },
    )
    brain.fit(range(1, 2), recipe_dataset(rows, config.tokens), train_loader_kwargs={"batch_sampler": sampler})


def run_ours(config: TrainingConfig, blocks: Blocks) -> None:
    """Trains as stages.train."""
    end = ConformerCTC.on_fit_batch_end

    def on_fit_batch_end(brain, batch, outputs, loss, should_step):
        end(brain, batch, outputs, loss, should_step)
        blocks.after_batch(brain, loss)

    ConformerCTC.on_fit_batch_end = on_fit_batch_end
    with tempfile.TemporaryDirectory() as folder:
        training.train(config, Path(folder))


def same_batches(config: TrainingConfig):
    """Utterances and sampler of a training."""
    rows = data.alignable(config, network.SAMPLE_RATE)
    seconds = data.batch_seconds(rows, config.train.batch_size)
    durations = [row.duration for row in rows]
    return rows, batches.DurationBatches(durations, max_seconds=seconds, seed=config.train.seed)


RUNS = {"recipe": run_recipe, "ours": run_ours}


def variant_config(name: str, config: TrainingConfig) -> TrainingConfig:
    """The training of a variant."""
    names = name.split("+")
    changed = {"batch_size": config.train.batch_size * (4 if "batch4" in names else 16 if "batch16" in names else 1)}
    if "bf16" in names:
        changed["precision"] = "bf16"
    if "sdpa" in names:  # SpeechBrain's RoPEMHA calls scaled_dot_product_attention, RelPosMHAXL cannot
        config = replace(config, model=config.model.model_copy(update={"attention_type": "RoPEMHA"}))
    return replace(config, train=config.train.model_copy(update=changed))


def change_network(name: str) -> None:
    """Lets this process build and use the network of a variant."""
    build, names = network.build, name.split("+")
    cuda_graphs.RECORD_AFTER = 0  # a short training has few batches of the same shape
    if "no_graphs" in names:
        ConformerCTC.make_recorder = lambda brain: None

    def build_variant(*args):
        hparams = build(*args)
        if "channels_last" in names:
            hparams.front_end.to(memory_format=torch.channels_last)
        if "compile" in names:
            for layer in hparams.conformer.transformer.encoder.layers:
                layer.compile(dynamic=True, backend="inductor" if torch.cuda.is_available() else "eager")
        return hparams

    network.build = build_variant


def child(name: str, config: TrainingConfig, pipe, updates: int, variant: str) -> None:
    """Main function of a process."""
    change_network(variant)
    with contextlib.suppress(FinishedError):
        RUNS[name](config, Blocks(pipe, updates))


@dataclass
class Contender:
    """A training process and its measurements."""

    pipe: object
    process: multiprocessing.Process
    seconds: list[float]
    losses: list[float]
    parts: dict[str, float]
    peak: float  # MiB
    recordings: str  # for people

    def wait(self) -> None:
        """Waits for its first update."""
        self.pipe.recv()

    def stop(self) -> None:
        """Ends it."""
        self.pipe.send("stop")
        self.process.join()

    def run_block(self, order: str) -> None:
        """Lets it train for a block."""
        self.pipe.send(order)
        elapsed, losses, self.parts, self.peak, self.recordings = self.pipe.recv()
        self.seconds.append(elapsed)
        self.losses += losses


def start(name: str, config: TrainingConfig, updates: int, variant: str = "plain") -> Contender:
    """Starts a process, which waits after its first update."""
    if torch.cuda.is_available():
        context = multiprocessing.get_context("spawn")  # importing torch._dynamo uses the GPU, then no fork can
    else:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.train", "torch._dynamo"])  # imported once, which takes seconds
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(name, config, theirs, updates, variant))
    process.start()
    theirs.close()  # so that the end of the process ends a wait for it
    return Contender(ours, process, [], [], {}, 0.0, "")


def recipe_padding(rows, max_seconds: float) -> float:
    """Fraction of padding with the recipe's sampler and settings, for batches of the same duration."""
    durations = [row.duration for row in rows]
    dataset = DynamicItemDataset({row.id: {"duration": row.duration} for row in rows}, output_keys=["id", "duration"])
    sampler = DynamicBatchSampler(
        dataset, max_batch_length=max_seconds, num_buckets=200, shuffle=False, batch_ordering="random",
        max_batch_ex=128, length_func=lambda item: item["duration"],
    )  # fmt: skip
    return batches.padding_fraction(durations, list(sampler), padded=float)


def make_config(args: argparse.Namespace, params_file: Path) -> TrainingConfig:
    """The training of both processes."""
    train, model, specaugment, augment, lora = (
        load_section(section, params_file)
        for section in (TrainParams, ModelParams, SpecAugmentParams, AugmentParams, LoraParams)
    )
    rows = read_manifests([args.train_manifest])[: args.train_subset]
    train = train.model_copy(
        update={
            "epochs": 1, "grad_accum": 1, "ema_decay": 0.0, "inter_ctc": 0.0, "num_workers": 0,
            "checkpoint_minutes": 0.0, "init_from": None,
        }
    )  # fmt: skip
    return TrainingConfig(
        train,
        model.model_copy(update={"dropout": 0.0}),
        specaugment.model_copy(update={"freq_masks": 0, "time_masks": 0}),
        augment.model_copy(update={"speeds": [100], "radio_fraction": 0.0}),
        lora,
        char_tokens([row.transcript for row in rows]),
        rows,
        rows[:4],
        network.HPARAMS_FILE,
    )


def times(contender: Contender) -> str:
    """The time of each part in the last block, in seconds and per cent."""
    total, parts = contender.seconds[-1], dict(contender.parts)
    parts["rest of the loop"] = total - sum(parts.values())
    return " | ".join(f"{parts.get(part, 0.0):.3f} s {100 * parts.get(part, 0.0) / total:.1f} %" for part in PARTS)


def start_variants(names: Sequence[str], config: TrainingConfig, blocks: int, updates: int) -> list[tuple]:
    """Starts this project's training in each variant, and waits for the first updates, so that nothing disturbs the
    measurements; the results are for `measure_variants`."""
    started = []
    for name in names:
        changed = variant_config(name, config)
        rows, sampler = same_batches(changed)
        steps = max(1, min(updates, (len(sampler) - 1) // blocks))  # large batches are few
        audio = [sum(rows[index].duration for index in batch) for batch in sampler.batches(1)[1 : blocks * steps + 1]]
        started.append((name, start("ours", changed, steps, name), audio, steps))
    for _, contender, _, _ in started:
        with contextlib.suppress(EOFError):  # found by `measure_variants`
            contender.wait()
    return started


def measure_variants(started: list[tuple], blocks: int) -> bool:
    """Prints the speed and the peak memory of each variant; False if one failed."""
    passed = True
    for name, contender, audio, steps in started:
        try:
            for _ in range(blocks):
                contender.run_block("go")
            contender.stop()
        except (EOFError, BrokenPipeError):
            print(f"{name}: failed", flush=True)
            passed = False
            continue
        # The first block has the compilation.
        speed = sum(audio[steps:]) / sum(contender.seconds[1:])
        step = 1000 * sum(contender.seconds[1:]) / (blocks - 1) / steps
        print(f"{name}: {speed:.1f} audio seconds a second, {step:.1f} ms an update, ", end="")
        print(f"peak {contender.peak:.0f} MiB{contender.recordings}", flush=True)
    return passed


def compare(config: TrainingConfig, blocks: int, updates: int) -> None:
    """Prints the speed, losses and parts of the recipe's training and of this project's."""
    rows, sampler = same_batches(config)
    epoch = sampler.batches(1)
    durations = [row.duration for row in rows]
    audio = [sum(durations[index] for index in batch) for batch in epoch[1:]]
    contenders = {name: start(name, config, updates) for name in RUNS}
    for contender in contenders.values():
        contender.wait()
    for block in range(blocks):
        for contender in contenders.values():
            contender.run_block("measure" if block == blocks - 1 else "go")
    for contender in contenders.values():
        contender.stop()
    recipe, ours = contenders["recipe"], contenders["ours"]
    speeds = {}
    for name, contender in contenders.items():
        seconds = contender.seconds[:-1]
        speeds[name] = sum(audio[: len(seconds) * updates]) / sum(seconds)
        step = 1000 * sum(seconds) / len(seconds) / updates
        print(f"{name}: {speeds[name]:.1f} audio seconds a second, {step:.1f} ms an update, ", end="")
        print(f"peak {contender.peak:.0f} MiB{contender.recordings}")
    ratios = [left / right for left, right in zip(recipe.seconds[:-1], ours.seconds[:-1], strict=True)]
    print(f"ratio {speeds['ours'] / speeds['recipe']:.2f}; by block {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    apart = [abs(left - right) / left for left, right in zip(recipe.losses, ours.losses, strict=True)]
    print(f"mean loss of the last block: recipe {statistics.mean(recipe.losses[-updates:]):.4f}, ", end="")
    print(f"ours {statistics.mean(ours.losses[-updates:]):.4f}; ", end="")
    print(f"difference at most {100 * max(apart):.3f} %, median {100 * statistics.median(apart):.4f} %")
    print(f"parts: {' | '.join(PARTS)}")
    for name, contender in contenders.items():
        print(f"{name}: {times(contender)}")
    seconds = data.batch_seconds(rows, config.train.batch_size)
    print(
        f"batches of {seconds:.1f} s; padding: here {100 * batches.padding_fraction(durations, epoch):.1f} %, ", end=""
    )
    print(f"the recipe's DynamicBatchSampler {100 * recipe_padding(rows, seconds):.1f} %", flush=True)


def main() -> int:
    """Measures and prints; the exit code is 1 if a process failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_manifest", type=Path, required=True)
    parser.add_argument("--preset", type=Path)
    parser.add_argument("--train_subset", type=int, default=700)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--variants", nargs="+", default=[])
    args = parser.parse_args()
    if unknown := sorted({part for name in args.variants for part in name.split("+")} - set(VARIANTS)):
        parser.error(f"--variants: got {unknown[0]}, wanted {', '.join(VARIANTS)}")
    with tempfile.TemporaryDirectory() as folder:
        params_file = Path(folder) / "params.yaml"
        params_file.write_text(PARAMS_FILE.read_text(encoding="utf-8"), encoding="utf-8")
        if args.preset:
            preset.run(args.preset, params_file)
        config = make_config(args, params_file)
    available, wanted = len(same_batches(config)[1].batches(1)), args.blocks * args.updates + 1
    if available < wanted:
        parser.error(f"{available} batches in an epoch, wanted {wanted}: raise --train_subset")
    variants = start_variants(args.variants, config, args.blocks, args.updates)  # at once, importing takes long
    passed = True
    try:
        compare(config, args.blocks, args.updates)
    except EOFError:
        print("beside the recipe: failed", flush=True)
        passed = False
    passed &= measure_variants(variants, args.blocks)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
