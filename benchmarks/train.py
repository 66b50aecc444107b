"""benchmarks/train: this project's training beside SpeechBrain's LibriSpeech CTC recipe, on the same network and data.

    python -m benchmarks.train --train_manifest data/corpus/base/train.csv [--preset presets/atc0.yaml]
        [--train_subset 700] [--blocks 6] [--updates 40]

Two processes take turns, BLOCKS times UPDATES updates each, from the same weights, over the same batches, with the same
learning rates: `atc_asr.training.training.train` as it is, and a Brain as recipes/LibriSpeech/ASR/CTC/train.py writes it
(SpeechBrain's fit_batch, DynamicItemDataset that reads WAVs, PaddedBatch, AdamW as its YAML makes it, no loader
processes: on two cores they only take them away). No masks, no dropout, one CTC loss, as that recipe has; both read
features normalised by the same statistics. The last block is measured part by part. Prints audio seconds (without
padding) per second, the ratio block by block, how far the losses are apart, and the share of time of each part.
"""

import argparse
import contextlib
import multiprocessing
import statistics
import tempfile
import time
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
from atc_asr.model import batches, network, padding
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.training import training
from atc_asr.training.brain import ConformerCTC
from atc_asr.training.optimizer import ADAM_BETAS
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams
from atc_asr.training.training import TrainingConfig

PARTS = ("loader", "features", "front-end", "encoder", "head and loss", "backward", "optimizer", "rest of the loop")


class EnoughError(Exception):
    """Enough updates."""


class Turns:
    """A process's side of taking turns: after every block of updates it reports and waits."""

    def __init__(self, pipe, updates: int) -> None:
        self._pipe, self._updates = pipe, updates
        self._losses: list[torch.Tensor] = []
        self._seconds: dict[str, float] = {}

    def after_batch(self, brain: sb.Brain, loss: torch.Tensor) -> None:
        """One update is done; the first one is not counted, it warms up."""
        self._losses.append(loss.detach())
        if len(self._losses) % self._updates != 1:
            return
        elapsed = time.perf_counter() - getattr(self, "_started", time.perf_counter())
        self._pipe.send((elapsed, [float(one) for one in self._losses[-self._updates :]], dict(self._seconds)))
        order = self._pipe.recv()
        if order == "stop":
            raise EnoughError
        if order == "measure":
            self._measure(brain)
        self._started = time.perf_counter()

    def _measure(self, brain: sb.Brain) -> None:
        encoder = brain.modules.encoder
        for owner, name, part in (
            (brain, "features_of", "features"),
            (encoder["normalizer"], "forward", "features"),
            (encoder["front_end"], "forward", "front-end"),  # the recipe's
            (padding, "front_end", "front-end"),  # here
            (encoder["conformer"], "forward", "encoder"),
            (encoder["ctc_head"], "forward", "head and loss"),
            (encoder["log_softmax"], "forward", "head and loss"),
            (brain, "compute_objectives", "head and loss"),
            (torch.Tensor, "backward", "backward"),
            (brain, "optimizers_step", "optimizer"),
            (_BaseDataLoaderIter, "__next__", "loader"),
        ):
            setattr(owner, name, self._timed(getattr(owner, name), part))

    def _timed(self, function, part: str):
        def timed(*args, **kwargs):
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._seconds[part] = self._seconds.get(part, 0.0) + time.perf_counter() - started

        return timed


class Recipe(sb.Brain):
    """The hooks of SpeechBrain's recipe around the same modules."""

    def compute_forward(self, batch, stage):
        """Log-probabilities (B, T, V)."""
        batch = batch.to(self.device)
        wavs, wav_lens = batch.sig
        encoder = self.modules.encoder
        feats = self.features_of(wavs)
        feats = encoder["normalizer"](feats, wav_lens, epoch=padding.STATISTICS_TAKEN)
        enc_out, _ = encoder["conformer"](encoder["front_end"](feats), wav_lens)
        return encoder["log_softmax"](encoder["ctc_head"](enc_out)), wav_lens

    def compute_objectives(self, predictions, batch, stage):
        """CTC loss."""
        p_ctc, wav_lens = predictions
        tokens, tokens_lens = batch.tokens
        return ctc_loss(p_ctc, tokens, wav_lens, tokens_lens, blank_index=0)

    def set_lr(self) -> None:
        """Learning rate of the coming update."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_of_step(self.optimizer_step)

    def on_fit_start(self):
        """The first learning rate."""
        super().on_fit_start()
        self.set_lr()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """The next learning rate."""
        if should_step:
            self.set_lr()
        self.turns.after_batch(self, loss)


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


def run_recipe(setup: TrainingConfig, turns: Turns) -> None:
    """The recipe's training."""
    torch.manual_seed(setup.train.seed)
    values = network.hparams_values(setup.model, setup.specaugment, len(setup.tokens))
    hparams = network.build(network.fill_placeholders(setup.hparams_file, values), str(setup.hparams_file))
    rows, sampler = same_batches(setup)
    device = torch.device("cpu")
    dataset = training.make_dataset(rows, setup, 16000, setup.tokens.encode, device)
    training.take_statistics(
        hparams.normalizer,
        lambda batch: hparams.compute_features(batch.wavs),
        training.make_loader(dataset, sampler, 0),
        device,
    )
    brain = Recipe(
        hparams.modules,
        opt_class=lambda weights: torch.optim.AdamW(
            weights, lr=setup.train.lr, betas=ADAM_BETAS, weight_decay=setup.train.weight_decay
        ),
        run_opts={"device": "cpu", "max_grad_norm": setup.train.max_grad_norm, "noprogressbar": True},
    )
    brain.features_of = hparams.compute_features
    brain.turns, brain.lr_of_step = turns, training.lr_schedule(setup.train, sampler)
    brain.fit(range(1, 2), recipe_dataset(rows, setup.tokens), train_loader_kwargs={"batch_sampler": sampler})


def run_ours(setup: TrainingConfig, turns: Turns) -> None:
    """This project's training, as stages.train calls it."""
    end = ConformerCTC.on_fit_batch_end

    def on_fit_batch_end(brain, batch, outputs, loss, should_step):
        end(brain, batch, outputs, loss, should_step)
        turns.after_batch(brain, loss)

    ConformerCTC.on_fit_batch_end = on_fit_batch_end
    with tempfile.TemporaryDirectory() as folder:
        training.train(setup, Path(folder))


def same_batches(setup: TrainingConfig):
    """Rows and sampler of a training."""
    rows = training.alignable_set(setup, 16000)
    seconds = training.batch_seconds(rows, setup.train.batch_size)
    durations = [row.duration for row in rows]
    return rows, batches.DurationBatches(durations, max_seconds=seconds, seed=setup.train.seed)


RUNS = {"recipe": run_recipe, "ours": run_ours}


def child(name: str, setup: TrainingConfig, pipe, updates: int) -> None:
    """A process that trains in turns."""
    with contextlib.suppress(EnoughError):
        RUNS[name](setup, Turns(pipe, updates))


@dataclass
class Contender:
    """A process, and what it reported."""

    pipe: object
    process: multiprocessing.Process
    seconds: list[float]
    losses: list[float]
    parts: dict[str, float]

    def turn(self, order: str) -> None:
        """Let it run a block."""
        self.pipe.send(order)
        elapsed, losses, self.parts = self.pipe.recv()
        self.seconds.append(elapsed)
        self.losses += losses


def start(name: str, setup: TrainingConfig, updates: int) -> Contender:
    """Start a process and wait until its first update is done."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(name, setup, theirs, updates))
    process.start()
    ours.recv()
    return Contender(ours, process, [], [], {})


def recipe_padding(rows, max_seconds: float) -> float:
    """Padding share of the recipe's own sampler, with its settings, at the same audio a batch."""
    durations = [row.duration for row in rows]
    data = DynamicItemDataset({row.id: {"duration": row.duration} for row in rows}, output_keys=["id", "duration"])
    sampler = DynamicBatchSampler(
        data, max_batch_length=max_seconds, num_buckets=200, shuffle=False, batch_ordering="random", max_batch_ex=128,
        length_func=lambda item: item["duration"],
    )  # fmt: skip
    return batches.padding_fraction(durations, list(sampler), padded=float)


def make_setup(args: argparse.Namespace, params_file: Path) -> TrainingConfig:
    """What both train."""
    train, model, specaugment, augment, lora = (
        load_section(section, params_file)
        for section in (TrainParams, ModelParams, SpecAugmentParams, AugmentParams, LoraParams)
    )
    rows = read_manifests([args.train_manifest])[: args.train_subset]
    train = replace(
        train,
        epochs=1,
        grad_accum=1,
        ema_decay=0.0,
        inter_ctc=0.0,
        num_workers=0,
        checkpoint_minutes=0.0,
        init_from=None,
    )
    return TrainingConfig(
        train,
        replace(model, dropout=0.0),
        replace(specaugment, freq_masks=0, time_masks=0),
        replace(augment, speeds=[100], radio_fraction=0.0),
        lora,
        char_tokens([row.transcript for row in rows]),
        rows,
        rows[:4],
        network.HPARAMS_FILE,
    )


def shares(contender: Contender) -> str:
    """The last block's time by part, milliseconds an update and per cent."""
    total, parts = contender.seconds[-1], dict(contender.parts)
    parts["rest of the loop"] = total - sum(parts.values())
    return " | ".join(f"{parts[part]:.3f} s {100 * parts[part] / total:.1f} %" for part in PARTS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_manifest", type=Path, required=True)
    parser.add_argument("--preset", type=Path)
    parser.add_argument("--train_subset", type=int, default=700)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--updates", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        params_file = Path(folder) / "params.yaml"
        params_file.write_text(PARAMS_FILE.read_text(encoding="utf-8"), encoding="utf-8")
        if args.preset:
            preset.run(args.preset, params_file)
        setup = make_setup(args, params_file)
    rows, sampler = same_batches(setup)
    made = sampler.batches(1)
    durations = [row.duration for row in rows]
    wanted = args.blocks * args.updates + 1
    if len(made) < wanted:
        parser.error(f"{len(made)} batches in an epoch, wanted {wanted}: raise --train_subset")
    audio = [sum(durations[index] for index in batch) for batch in made[1:]]
    contenders = {name: start(name, setup, args.updates) for name in RUNS}
    for block in range(args.blocks):
        for contender in contenders.values():
            contender.turn("measure" if block == args.blocks - 1 else "go")
    for contender in contenders.values():
        contender.pipe.send("stop")
        contender.process.join()
    recipe, ours = contenders["recipe"], contenders["ours"]
    speeds = {}
    for name, contender in contenders.items():
        seconds = contender.seconds[:-1]
        speeds[name] = sum(audio[: len(seconds) * args.updates]) / sum(seconds)
        step = 1000 * sum(seconds) / len(seconds) / args.updates
        print(f"{name}: {speeds[name]:.1f} audio seconds a second, {step:.1f} ms an update")
    ratios = [left / right for left, right in zip(recipe.seconds[:-1], ours.seconds[:-1], strict=True)]
    print(f"ratio {speeds['ours'] / speeds['recipe']:.2f}; by block {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    apart = [abs(left - right) / left for left, right in zip(recipe.losses, ours.losses, strict=True)]
    print(f"loss of the last block: recipe {statistics.mean(recipe.losses[-args.updates :]):.4f}, ", end="")
    print(f"ours {statistics.mean(ours.losses[-args.updates :]):.4f}; ", end="")
    print(f"apart at most {100 * max(apart):.3f} %, in the median {100 * statistics.median(apart):.4f} %")
    print(f"parts: {' | '.join(PARTS)}")
    for name, contender in contenders.items():
        print(f"{name}: {shares(contender)}")
    seconds = training.batch_seconds(rows, setup.train.batch_size)
    print(
        f"batches of {seconds:.1f} s; padding: here {100 * batches.padding_fraction(durations, made):.1f} %, ", end=""
    )
    print(f"the recipe's DynamicBatchSampler {100 * recipe_padding(rows, seconds):.1f} %")


if __name__ == "__main__":
    main()
