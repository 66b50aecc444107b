"""The training loop's five hooks on SpeechBrain's Brain.

B utterances, S samples, F mel bands, T encoder frames, V tokens, U labels.
"""

import csv
import functools
import itertools
import json
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import speechbrain as sb
import torch
from speechbrain.decoders import ctc_greedy_decode
from speechbrain.nnet.losses import ctc_loss
from speechbrain.utils.checkpoints import Checkpoint, mark_as_loader, mark_as_saver, register_checkpoint_hooks
from speechbrain.utils.distributed import ddp_broadcast
from speechbrain.utils.metric_stats import ErrorRateStats
from speechbrain.utils.train_logger import FileTrainLogger

from atc_asr.core import files
from atc_asr.model import network, padding
from atc_asr.model.batches import Batch, DistributedBatches, DurationBatches
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.tracking import record
from atc_asr.training import distributed
from atc_asr.training.augment import Augment
from atc_asr.training.averaging import Ema
from atc_asr.training.optimizer import set_lr
from atc_asr.training.updates import Updates

log = logging.getLogger(__name__)

BEST = "valid_wer"  # by it epochs are kept


@functools.partial(register_checkpoint_hooks, save_on_main_only=False)
class RandomState:
    """Random generators of every process as part of a checkpoint, so that a resumed training draws what it would have
    drawn."""

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write the states of torch (the process's CUDA device too), numpy and Python."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        numpy_state = np.random.get_state()
        state = {
            "torch": torch.get_rng_state(),
            "cuda": cuda,
            "numpy": (numpy_state[0], torch.from_numpy(numpy_state[1].astype(np.int64)), *numpy_state[2:]),
            "python": random.getstate(),
        }
        every = distributed.gather(state)
        if distributed.rank() == 0:
            torch.save(every, path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Restore what `save` wrote."""
        del end_of_epoch
        state = torch.load(path, map_location="cpu", weights_only=True)[distributed.rank()]
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])
        kind, keys, *rest = state["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))


@register_checkpoint_hooks
class Curves:
    """One row of numbers an epoch, as part of a checkpoint and as a CSV that grows while the training runs."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self._path = path

    def add(self, row: dict[str, float]) -> None:
        """Append an epoch."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Write the CSV anew, as far as the epochs go; the first process does."""
        if not self.rows or distributed.rank():
            return
        with files.new_file(self._path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write the rows as JSON."""
        Path(path).write_text(json.dumps(self.rows), encoding="utf-8")

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Read what `save` wrote."""
        del end_of_epoch
        self.rows = json.loads(Path(path).read_text(encoding="utf-8"))


class ConformerCTC(Updates):
    """Trains an encoder (its `encoder` module maps waveforms to log-probabilities) with the CTC loss.

    After each epoch it decodes the validation set greedily, writes a line of curves and a checkpoint, and keeps the
    last one and those that the run folder's weights will be made from.
    """

    def prepare(
        self,
        *,
        tokens: Tokens,
        batches: DurationBatches | DistributedBatches,
        features_of: Callable[[Batch], torch.Tensor],
        lr_of_step: Callable[[int], float],
        log_file: Path,
        curves_file: Path,
        inter_ctc: float,
        max_nonfinite: int,
        augment: Augment,
        ema: Ema | None,
        num_kept: int,
        kept_by: str | None,
    ) -> None:
        """Hand over what the hooks need.

        Args:
            tokens: the output units.
            batches: the train loader's sampler.
            features_of: features (B, 10 ms steps, F) of a train batch.
            lr_of_step: learning rate of an update, from 0.
            log_file: where each epoch's numbers are written for people.
            curves_file: where they are written as CSV.
            inter_ctc: weight of the CTC loss after half of the layers, in [0, 1).
            max_nonfinite: losses or gradients that may be other than finite.
            augment: changes the waveforms of training batches.
            ema: moving average of the weights, which validation then uses; None: the weights themselves.
            num_kept: epochs whose checkpoints are kept.
            kept_by: number of the curves by which the lowest are kept; None: the last.
        """
        self.count_losses(max_nonfinite)
        self.tokens = tokens
        self.batches = batches
        self.features_of = features_of
        self.lr_of_step = lr_of_step
        self.log_file = log_file
        self.inter_ctc = inter_ctc
        self.augment = augment
        self.ema = ema
        self.num_kept, self.kept_by = num_kept, kept_by
        self.ask_clock_at = 0  # update
        self.curves = Curves(curves_file)
        self.checkpointer.add_recoverables({"curves": self.curves, "random_state": RandomState()})
        if ema is not None:
            self.checkpointer.add_recoverable("ema", ema)

    def on_fit_start(self) -> None:
        """Take up the last checkpoint; files that grow by epochs end where it ends."""
        super().on_fit_start()
        if distributed.rank() == 0:
            self.log_file.unlink(missing_ok=True)
        self.train_logger = FileTrainLogger(str(self.log_file))
        self.curves.write()
        for row in self.curves.rows:
            self.log_epoch(row)

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time: float, steps_since_ckpt: int) -> bool:
        """After whole updates only: no checkpoint holds gradients that wait for the rest of their update.

        Of several processes the first one's clock decides. It is asked again when by its pace half of the time that is
        left has passed, not as SpeechBrain does after every batch, each of which would wait for all processes.
        """
        if self.step % self.grad_accumulation_factor or self.ckpt_interval_minutes <= 0:
            return False
        if distributed.count() == 1:
            return super()._should_save_intra_epoch_ckpt(last_ckpt_time, steps_since_ckpt)
        if self.optimizer_step < self.ask_clock_at:
            return False
        passed = max(time.time() - last_ckpt_time, 1e-3)
        left = self.ckpt_interval_minutes * 60 - passed
        updates = int(left / 2 / passed * steps_since_ckpt / self.grad_accumulation_factor)
        due, updates = ddp_broadcast((left <= 0, max(1, updates)))
        self.ask_clock_at = self.optimizer_step + updates
        return due

    def fit_batch(self, batch: Batch) -> torch.Tensor:
        """An augmented batch's share of an update; returns its loss."""
        return super().fit_batch(self.augment(batch.to(self.device)))

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-probabilities (B, T, V) of a batch after all layers and, in training, after half of them.

        Features are masked in training.
        """
        batch = batch.to(self.device)
        encoder = self.modules.encoder
        train = stage == sb.Stage.TRAIN
        features = self.features_of(batch) if train else encoder["compute_features"](batch.wavs)  # (B, 10 ms steps, F)
        num_steps = padding.count_steps(batch.num_samples()).to(self.device, non_blocking=True)
        features = encoder["normalizer"](features, num_steps / features.shape[1], epoch=padding.STATISTICS_TAKEN)
        if stage == sb.Stage.TRAIN:
            features = self.mask(features)
        hidden, layers, _ = padding.encode(encoder, features, num_steps)  # (B, T, D)
        half = None
        if stage == sb.Stage.TRAIN and self.inter_ctc > 0:
            # layers[0] is the input of the first layer
            half = self.log_probs(encoder["conformer"].transformer.encoder.norm(layers[len(layers) // 2]))
        return self.log_probs(hidden), half

    def mask(self, features: torch.Tensor) -> torch.Tensor:
        """Features (B, steps, F) with masks over frequency and time, drawn on the host: SpectrogramDrop would ask the
        device for its numbers and wait."""
        size, num_steps, num_bands = features.shape
        bands = self.modules.freq_mask(torch.ones(size, 1, num_bands))
        steps = self.modules.time_mask(torch.ones(size, num_steps, 1))
        return features * (bands * steps).to(features, non_blocking=True)

    def log_probs(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, V) in float32, whatever the precision of the layers."""
        encoder = self.modules.encoder
        return encoder["log_softmax"](encoder["ctc_head"](hidden).float())

    def compute_objectives(
        self, predictions: tuple[torch.Tensor, torch.Tensor | None], batch: Batch, stage: sb.Stage
    ) -> torch.Tensor:
        """CTC loss a label, averaged over the batch; collects the errors of greedy decoding outside of training.

        In training the layers' middle has a part in it, through the same head (Lee & Watanabe 2021, section 3).
        """
        log_probs, half = predictions
        loss = self.ctc(log_probs, batch)
        if half is not None:
            return (1 - self.inter_ctc) * loss + self.inter_ctc * self.ctc(half, batch)
        if stage != sb.Stage.TRAIN:
            hypotheses = ctc_greedy_decode(log_probs, batch.wav_lens.to(self.device), blank_id=0)
            self.errors.append(
                batch.ids,
                [self.tokens.decode(numbers).split() for numbers in hypotheses],
                [text.split() for text in batch.transcripts],
            )
            self.num_evaluated += 1
        return loss

    def ctc(self, log_probs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean over the batch of an utterance's CTC loss over its number of labels (Graves et al. 2006).

        The lengths stay on the host, where the loss wants them.
        """
        tokens = batch.tokens.to(self.device, non_blocking=True)
        return ctc_loss(log_probs, tokens, batch.wav_lens, batch.token_lens, blank_index=0)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Batches of the epoch; a fresh count of errors."""
        self.stage_started = time.monotonic()
        if stage == sb.Stage.TRAIN:
            self.audio_seconds = 0.0
            self.batches.set_epoch(epoch)
            if self.step == 0:  # else the epoch is taken up in its middle
                self.losses.start_epoch()
        else:
            self.errors, self.num_evaluated = ErrorRateStats(), 0
            self.swap_ema()

    def on_fit_batch_start(self, batch: Batch, should_step: bool) -> None:
        """Learning rate of the coming update."""
        self.audio_seconds += batch.seconds
        set_lr(self.optimizer, self.lr_of_step(self.optimizer_step))

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """After validation: log the epoch and save a checkpoint."""
        seconds = time.monotonic() - self.stage_started
        if stage == sb.Stage.TRAIN:
            peak = record.peak_memory_mb(network.cuda_peak(torch.device(self.device)))
            audio, peaks = zip(*distributed.gather((self.audio_seconds, peak)), strict=True)
            self.train_stats = {
                "train_loss": self.read_losses(),
                "grad_norm": self.losses.read_norm(),  # of a mean update, before clipping
                "train_seconds": seconds,
                "throughput": sum(audio) / seconds,  # of what was trained since the start: a resumed epoch's rest
                "peak_memory_mb": max(peaks),
            }
            return
        self.swap_ema()
        stage_loss = self.join_validation(stage_loss)
        wer = self.errors.summarize("error_rate")
        row = {
            "epoch": epoch,
            "lr": self.lr_of_step(max(0, self.optimizer_step - 1)),
            **self.train_stats,
            "valid_loss": float(stage_loss),
            "valid_wer": wer,
            "valid_seconds": seconds,
        }
        self.curves.add(row)
        self.log_epoch(row)
        self.checkpointer.save_checkpoint(meta=row)
        self.checkpointer.keep(self.num_kept, self.kept_by)

    def join_validation(self, stage_loss: float) -> float:
        """Bring the errors of all processes together; returns the mean loss of all batches."""
        scores, losses, numbers = zip(
            *distributed.gather((self.errors.scores, float(stage_loss), self.num_evaluated)), strict=True
        )
        self.errors.scores = list(itertools.chain.from_iterable(scores))
        return sum(loss * (number / sum(numbers)) for loss, number in zip(losses, numbers, strict=True))

    def kept_epochs(self) -> list[Checkpoint]:
        """Checkpoints of the epochs that were kept, the first one first."""
        return self.checkpointer.epochs(self.num_kept, self.kept_by)

    def optimizers_step(self) -> None:
        """An update of the weights and of their moving average."""
        super().optimizers_step()
        if self.ema is not None:
            self.ema.update()

    def swap_ema(self) -> None:
        """Exchange the weights and their moving averages, where there are any."""
        if self.ema is not None:
            self.ema.swap()

    def log_epoch(self, row: dict[str, float]) -> None:
        """A line for people."""
        self.train_logger.log_stats(
            stats_meta={"epoch": row["epoch"], "lr": row["lr"]},
            train_stats={"loss": row["train_loss"], "seconds": row["train_seconds"]},
            valid_stats={"loss": row["valid_loss"], "WER": row["valid_wer"]},
        )
