"""The Brain: the hooks of SpeechBrain's training loop for the Conformer.

B utterances, F mel bands, T encoder frames, D width, V tokens. A step is 10 ms of features.
"""

import logging
import math
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import speechbrain as sb
import torch
from speechbrain.decoders import ctc_greedy_decode
from speechbrain.nnet.losses import ctc_loss
from speechbrain.utils.checkpoints import register_checkpoint_hooks
from speechbrain.utils.distributed import ddp_broadcast
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.train_logger import FileTrainLogger

from atc_asr.core import messages
from atc_asr.model import network, run_folder
from atc_asr.model.batches import Batch
from atc_asr.tracking import record
from atc_asr.training import distributed, optimizer
from atc_asr.training.augment import Augment
from atc_asr.training.averaging import Ema
from atc_asr.training.checkpoints import Checkpoints
from atc_asr.training.config import TrainingConfig
from atc_asr.training.cuda_graphs import Recorder
from atc_asr.training.data import TrainingData
from atc_asr.training.guard import WER, make_guard
from atc_asr.training.recoverables import CorpusLosses, Curves, RandomState
from atc_asr.training.schedule import make_schedule
from atc_asr.training.updates import NonblockingBrain
from atc_asr.wer.wer import Counts, count_edits

log = logging.getLogger(__name__)

# SpeechBrain registers only the parent class, so that a resumed training would forget its best epoch.
register_checkpoint_hooks(EpochCounterWithStopper)


@dataclass
class ValidScore:
    """Validation of a corpus: word errors, and sum and number of the utterances' losses."""

    counts: Counts = field(default_factory=Counts)
    loss: float = 0.0
    number: int = 0

    @property
    def mean_loss(self) -> float | None:
        """Loss of an utterance; None without utterances."""
        return self.loss / self.number if self.number else None

    def __add__(self, other: "ValidScore") -> "ValidScore":
        return ValidScore(self.counts + other.counts, self.loss + other.loss, self.number + other.number)


class ConformerCTC(NonblockingBrain):
    """Trains with the CTC loss; after each epoch decodes the validation set greedily and saves a checkpoint.

    `make_brain` describes its hparams.
    """

    recorder: Recorder | None = None

    def make_recorder(self) -> Recorder | None:
        """Recorded passes of training; a CPU has none."""
        return Recorder(self.modules, self.outputs) if torch.device(self.device).type == "cuda" else None

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-probabilities (B, T, V) after all layers and, in training, after half of them."""
        batch = batch.to(self.device)
        encoder = self.modules.encoder
        train = stage == sb.Stage.TRAIN
        features = self.hparams.features_of(batch) if train else encoder["compute_features"](batch.wavs)
        num_steps = network.count_steps(batch.num_samples()).to(self.device, non_blocking=True)
        features = encoder["normalizer"](features, num_steps / features.shape[1], epoch=network.STATISTICS_TAKEN)
        if train:
            features = self.mask(features)
        run = self.recorder if train and self.recorder is not None else self.outputs
        log_probs, *half = run(features, num_steps)
        return log_probs, half[0] if half else None

    def outputs(self, features: torch.Tensor, num_steps: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Log-probabilities (B, T, V) of features (B, steps, F), and after half of the layers, if used."""
        encoder = self.modules.encoder
        hidden, layers, _ = network.encode(encoder, features, num_steps)  # (B, T, D)
        if not self.modules.training or self.hparams.inter_ctc == 0:
            return (self.log_probs(hidden),)
        # layers[0] is the input of the first layer.
        half = self.log_probs(encoder["conformer"].transformer.encoder.norm(layers[len(layers) // 2]))
        return self.log_probs(hidden), half

    def mask(self, features: torch.Tensor) -> torch.Tensor:
        """SpecAugment of features (B, steps, F), with masks from the CPU: SpectrogramDrop would wait for a GPU."""
        size, num_steps, num_bands = features.shape
        bands = self.modules.freq_mask(torch.ones(size, 1, num_bands))
        steps = self.modules.time_mask(torch.ones(size, num_steps, 1))
        return features * (bands * steps).to(features, non_blocking=True)

    def log_probs(self, hidden: torch.Tensor) -> torch.Tensor:
        """CTC head: (B, T, D) -> (B, T, V), in float32 for any precision of the layers."""
        encoder = self.modules.encoder
        return encoder["log_softmax"](encoder["ctc_head"](hidden).float())

    def compute_objectives(
        self, predictions: tuple[torch.Tensor, torch.Tensor | None], batch: Batch, stage: sb.Stage
    ) -> torch.Tensor:
        """CTC loss per label, averaged over the batch; the losses of each corpus are added up.

        In training it includes the intermediate loss (Lee & Watanabe 2021, section 3); in validation the word errors of
        greedy decoding are counted.
        """
        log_probs, half = predictions
        losses = self.ctc(log_probs, batch)
        if half is not None:
            losses = (1 - self.hparams.inter_ctc) * losses + self.hparams.inter_ctc * self.ctc(half, batch)
        if stage == sb.Stage.TRAIN:
            self.corpus_losses.add(losses.detach(), batch.corpora)
        else:
            hypotheses = ctc_greedy_decode(log_probs, batch.wav_lens.to(self.device), blank_id=0)
            rows = zip(batch.corpora, losses.tolist(), batch.transcripts, hypotheses, strict=True)
            for corpus, loss, transcript, numbers in rows:
                score = ValidScore(loss=loss, number=1)
                if transcript:  # an empty reference has no error rate
                    score.counts = count_edits(transcript.split(), self.hparams.tokens.decode(numbers).split())
                self.scores[corpus] += score
        return losses.mean()

    def ctc(self, log_probs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(B,) CTC loss of each utterance over its number of labels (Graves et al. 2006)."""
        tokens = batch.tokens.to(self.device, non_blocking=True)
        losses = ctc_loss(log_probs, tokens, batch.wav_lens, batch.token_lens, blank_index=0, reduction="none")
        num_tokens = (batch.token_lens * tokens.shape[1]).round()
        return losses / num_tokens.to(self.device, non_blocking=True)  # SpeechBrain's "batch" wants lengths on the GPU

    def on_fit_start(self) -> None:
        """Loads the last checkpoint and rewrites the log and the curves up to it."""
        self.curves = Curves(self.hparams.curves_file)
        self.corpus_losses = CorpusLosses(list(self.hparams.corpora), self.device)
        self.clock_update = 0  # number of the update after which the first process reads its clock again
        self.checkpointer.add_recoverables(
            {"curves": self.curves, "random_state": RandomState(), "epochs": self.hparams.epoch_counter}
        )
        self.checkpointer.add_recoverable("corpus_losses", self.corpus_losses)
        if self.hparams.ema is not None:
            self.checkpointer.add_recoverable("ema", self.hparams.ema)
        super().on_fit_start()
        self.recorder = self.make_recorder()
        if distributed.rank() == 0:
            Path(self.hparams.train_log).unlink(missing_ok=True)
        self.train_logger = FileTrainLogger(str(self.hparams.train_log))
        self.curves.write()
        for row in self.curves.rows:
            self.log_epoch(row)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Makes the batches of the epoch, or starts counting errors."""
        self.stage_started = time.monotonic()
        if stage == sb.Stage.TRAIN:
            self.audio_seconds = 0.0
            self.hparams.batches.set_epoch(epoch)
            if self.step == 0:  # the epoch was not resumed in its middle
                self.losses.start_epoch()
                self.corpus_losses.start_epoch()
        else:
            self.scores: defaultdict[str, ValidScore] = defaultdict(ValidScore)  # by corpus
            if self.hparams.ema is not None:
                self.hparams.ema.swap()  # validates with the moving averages

    def fit_batch(self, batch: Batch) -> torch.Tensor:
        """Augments a batch and trains with it; returns the loss."""
        return super().fit_batch(self.hparams.augment(batch.to(self.device)))

    def on_fit_batch_start(self, batch: Batch, should_step: bool) -> None:
        """Sets the learning rate of the update."""
        self.audio_seconds += batch.seconds
        optimizer.set_lr(self.optimizer, self.hparams.lr_schedule(self.optimizer_step))

    def optimizers_step(self) -> None:
        """Updates the weights and their moving average."""
        super().optimizers_step()
        if self.hparams.ema is not None:
            self.hparams.ema.update()

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """After validation: logs the epoch and saves a checkpoint."""
        seconds = time.monotonic() - self.stage_started
        if stage == sb.Stage.TRAIN:
            peak = record.peak_memory_mb(network.cuda_peak(torch.device(self.device)))
            audio, peaks = zip(*distributed.gather((self.audio_seconds, peak)), strict=True)
            self.train_stats = {
                "train_loss": self.read_losses(),
                "grad_norm": self.losses.read_norm(),  # mean over the updates, before clipping
                "train_seconds": seconds,
                "throughput": sum(audio) / seconds,  # after a restart within the epoch: since then
                "peak_memory_mb": max(peaks),
            }
            self.corpus_stats = self.corpus_losses.read()
            return
        if self.hparams.ema is not None:
            self.hparams.ema.swap()
        valid = self.gather_validation()
        row = {
            "epoch": epoch,
            "lr": self.hparams.lr_schedule(max(0, self.optimizer_step - 1)),
            **self.train_stats,
            "valid_loss": valid.pop("valid_loss"),
            WER: valid.pop(WER),
            "valid_seconds": seconds,
            **self.corpus_stats,
            **valid,
        }
        self.curves.rows.append(row)
        self.curves.write()
        self.log_epoch(row)
        self.print_epoch(row)
        self.hparams.epoch_counter.update_metric(row[WER] if self.hparams.guard.holds(row) else math.inf)
        self.checkpointer.save_checkpoint(meta=row)
        self.checkpointer.keep(*self.hparams.selection)

    def gather_validation(self) -> dict[str, float | None]:
        """Columns of the curves: mean loss of the utterances and WER in per cent, over all processes.

        Those without the name of a corpus are of all utterances but the guards'.
        """
        scores: defaultdict[str, ValidScore] = defaultdict(ValidScore)
        for part in distributed.gather(dict(self.scores)):
            for corpus, score in part.items():
                scores[corpus] += score
        corpora = self.hparams.corpora
        chosen = [score for name, score in scores.items() if name not in corpora or corpora[name].role != "guard"]
        columns = {"": sum(chosen, ValidScore()), **{f"_{name}": scores[name] for name in corpora}}
        losses = {f"valid_loss{name}": score.mean_loss for name, score in columns.items()}
        return losses | {f"{WER}{name}": score.counts.rate for name, score in columns.items()}

    def log_epoch(self, row: dict[str, float]) -> None:
        """Writes a line to the log."""
        self.train_logger.log_stats(
            stats_meta={"epoch": row["epoch"], "lr": row["lr"]},
            train_stats={"loss": row["train_loss"], "seconds": row["train_seconds"]},
            valid_stats={"loss": row["valid_loss"], "WER": row[WER]},
        )

    def print_epoch(self, row: dict[str, float]) -> None:
        """Logs a line for people: the last epoch, and the time of those to come at the mean speed so far."""
        rows, epochs = self.curves.rows, self.hparams.epoch_counter.limit
        seconds = sum(done["train_seconds"] + done["valid_seconds"] for done in rows) / len(rows)
        wer = ("unknown" if row[WER] is None else f"{row[WER]:.1f} %") + self.hparams.guard.describe(row)
        left = (epochs - row["epoch"]) * seconds / 60
        losses = (row["train_loss"], row["valid_loss"])
        log.info(messages.EPOCH_DONE, row["epoch"], epochs, *losses, wer, row["throughput"], left)

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time: float, steps_since_ckpt: int) -> bool:
        """Whether a checkpoint within the epoch is due: only after whole updates, so that it needs no gradients.

        Of several processes, the first one decides by its clock. SpeechBrain would broadcast its decision after every
        batch, which makes all processes wait; here the next broadcast follows after half of the remaining time, at the
        present speed.
        """
        if self.step % self.grad_accumulation_factor or self.ckpt_interval_minutes <= 0:
            return False
        if distributed.world_size() == 1:
            return super()._should_save_intra_epoch_ckpt(last_ckpt_time, steps_since_ckpt)
        if self.optimizer_step < self.clock_update:
            return False
        passed = max(time.time() - last_ckpt_time, 1e-3)
        left = self.ckpt_interval_minutes * 60 - passed
        updates = int(left / 2 / passed * steps_since_ckpt / self.grad_accumulation_factor)
        due, updates = ddp_broadcast((left <= 0, max(1, updates)))
        self.clock_update = self.optimizer_step + updates
        return due


def make_brain(
    config: TrainingConfig,
    hparams: SimpleNamespace,
    data: TrainingData,
    folder: Path,
    checkpointer: Checkpoints,
    *,
    device: torch.device,
    precision: str,
) -> ConformerCTC:
    """The Brain of a training, which writes its log and curves into `folder`.

    Raises:
        InputError: an epoch has fewer batches than an update needs.
    """
    params = config.train
    groups = optimizer.parameter_groups(hparams.model, hparams.ctc_head, params.encoder_lr)
    num_batches = [len(data.batches.batches(epoch)) for epoch in range(1, params.epochs + 1)]
    guard = make_guard(config)
    kept_by = WER if params.average_select == "best" else None  # lowest of this column; None = the newest
    return ConformerCTC(
        modules=hparams.modules,
        opt_class=lambda _: optimizer.make_adamw(groups, lr=params.lr, weight_decay=params.weight_decay),
        hparams={
            "tokens": config.tokens,
            "corpora": config.corpora,  # name -> weight and role; {} = one without a name
            "batches": data.batches,  # sampler of the train loader
            "features_of": data.features_of,
            "lr_schedule": make_schedule(params, num_batches),
            "augment": Augment(config.augment, hparams.sample_rate, device),
            "ema": Ema(hparams.model, params.ema_decay) if params.ema_decay else None,
            "inter_ctc": params.inter_ctc,  # weight of the intermediate CTC loss at half of the layers, in [0, 1)
            # A patience of all epochs never stops the training.
            "epoch_counter": EpochCounterWithStopper(params.epochs, params.patience or params.epochs, 0, "min"),
            "guard": guard,
            "selection": (params.average_checkpoints, kept_by, guard.holds),  # of the epochs that are kept
            "train_log": folder / run_folder.TRAIN_LOG,
            "curves_file": folder / run_folder.CURVES,
        },
        run_opts={
            "device": str(device),
            "precision": precision,
            "eval_precision": precision,
            "max_grad_norm": params.max_grad_norm,
            "grad_accumulation_factor": params.grad_accum,
            "ckpt_interval_minutes": params.checkpoint_minutes,
            "noprogressbar": not sys.stderr.isatty(),
        },
        checkpointer=checkpointer,
    )
