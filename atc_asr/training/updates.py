"""Updates of the weights without waiting for the device: SpeechBrain's loop reads the loss after every batch, which
leaves a GPU idle while the next batch is prepared. Here losses stay on the device and are read now and then.
"""

import functools
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks

from atc_asr.core.errors import InputError
from atc_asr.model.padding import SAMPLE_RATE
from atc_asr.training import distributed

READ_EVERY = 50  # batches between two looks at the losses


@functools.partial(register_checkpoint_hooks, save_on_main_only=False)
class Losses:
    """Means of an epoch's finite losses and gradient norms and count of what was not finite, on the device; part of a
    checkpoint, each process's own."""

    def __init__(self, device: torch.device) -> None:
        # losses: sum, number; norms: sum, number; not finite in the whole training
        self._totals = torch.zeros(5, dtype=torch.float64, device=device)

    def _count(self, place: int, value: torch.Tensor) -> None:
        finite = torch.isfinite(value)
        self._totals[place : place + 2] += torch.stack((torch.where(finite, value, 0.0), finite)).double()

    def add(self, loss: torch.Tensor) -> None:
        """Count the loss of a batch."""
        self._count(0, loss)

    def add_norm(self, norm: torch.Tensor) -> None:
        """Count the norm of an update's gradients."""
        self._count(2, norm)

    def count_nonfinite(self, value: torch.Tensor) -> torch.Tensor:
        """1.0 when a loss or a gradient's norm is not finite, else 0.0; counted."""
        nonfinite = (~torch.isfinite(value)).float()
        self._totals[4] += nonfinite
        return nonfinite

    def start_epoch(self) -> None:
        """Forget the means."""
        self._totals[:4] = 0

    def read(self) -> tuple[float, int]:
        """Mean of the epoch over all processes (NaN before its first finite loss) and the number that was not finite,
        of the process with most; waits for the device."""
        totals, numbers, _, _, not_finite = zip(*distributed.gather(self._totals.tolist()), strict=True)
        return sum(totals) / sum(numbers) if any(numbers) else float("nan"), int(max(not_finite))

    def read_norm(self) -> float:
        """Mean of the epoch (NaN before its first finite norm), the same in all processes; waits for the device."""
        total, number = self._totals[2:4].tolist()
        return total / number if number else float("nan")

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write the numbers of every process."""
        every = distributed.gather(self._totals.cpu())
        if distributed.rank() == 0:
            torch.save(every, path)

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Read what `save` wrote."""
        del end_of_epoch
        self._totals.copy_(torch.load(path, map_location="cpu", weights_only=True)[distributed.rank()])


class Updates(sb.Brain):
    """SpeechBrain's Brain with one update that does not wait.

    A gradient that is not finite changes nothing: its update is left out, counted, and over `max_nonfinite` of them the
    training stops. Clipping and leaving out happen inside the fused optimizer. With float16 the loss scaler finds its
    scale by overflowing, so there only losses are counted.
    """

    def count_losses(self, max_nonfinite: int) -> None:
        """To be called before `fit`.

        Args:
            max_nonfinite: losses or gradients that may be other than finite in a training.
        """
        self.losses = Losses(self.device)
        self.max_nonfinite = max_nonfinite
        self.mean_loss = float("nan")
        self.checkpointer.add_recoverable("losses", self.losses)

    def _wrap_distributed(self) -> None:
        """Nothing: DistributedDataParallel averages gradients of what is called through it, and a network whose parts
        are called one by one is not. `optimizers_step` does it."""

    def fit_batch(self, batch) -> torch.Tensor:
        """Forward, backward and, every `grad_accumulation_factor` batches, an update; the loss stays on the device.

        Raises:
            InputError: see `read_losses`; or the batch does not fit in the device's memory.
        """
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        try:
            with self.no_sync(not should_step):
                with self.training_ctx:
                    outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                    loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
                self.scaler.scale(loss / self.grad_accumulation_factor).backward()
        except torch.cuda.OutOfMemoryError as error:
            raise InputError(out_of_memory(batch)) from error
        self.losses.add(loss.detach())
        if self.scaler.is_enabled():
            self.losses.count_nonfinite(loss.detach())
        if should_step:
            self.optimizers_step()
        if self.step == 1 or self.step % READ_EVERY == 0:
            self.read_losses()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach()

    def optimizers_step(self) -> None:
        """Clip by the norm of all gradients and update, in one pass over the weights."""
        gradients = [
            weight.grad
            for group in self.optimizer.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        distributed.average_gradients(gradients)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
            norm = torch.nn.utils.get_total_norm(gradients)
            torch.nn.utils.clip_grads_with_norm_(
                [weight for group in self.optimizer.param_groups for weight in group["params"]],
                self.max_grad_norm,
                norm,
            )
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            norm = torch.nn.utils.get_total_norm(gradients)
            # What a fused optimizer divides gradients by, and whether it leaves the update out: GradScaler's own way.
            self.optimizer.grad_scale = (norm / self.max_grad_norm).clamp(min=1.0)
            self.optimizer.found_inf = self.losses.count_nonfinite(norm)
            self.optimizer.step()
        self.losses.add_norm(norm)
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer_step += 1

    def update_average(self, loss: torch.Tensor, avg_loss: float) -> float:
        """In training the mean as it was last read, for the progress bar; else SpeechBrain's."""
        if torch.is_grad_enabled():
            return self.mean_loss
        return super().update_average(loss, avg_loss)

    def read_losses(self) -> float:
        """Mean loss of the epoch; waits for the device.

        Raises:
            InputError: more losses or gradients than `max_nonfinite` were not finite.
        """
        self.mean_loss, not_finite = self.losses.read()
        if not_finite > self.max_nonfinite:
            raise InputError(
                f"training: {not_finite} losses or gradients are not finite after {self.optimizer_step} updates, "
                f"wanted at most train.max_nonfinite {self.max_nonfinite}; try a lower train.lr or train.precision fp32"
            )
        return self.mean_loss


def out_of_memory(batch) -> str:
    """What to tell who trains with batches that are too large."""
    size, samples = batch.wavs.shape
    return (
        f"CUDA is out of memory in a batch of {size} x {samples / SAMPLE_RATE:.1f} s ({', '.join(batch.ids[:3])} …); "
        "lower train.batch_size and raise train.grad_accum (python -m atc_asr.commands.find_batch finds the largest that fits)"
    )
