"""Updates of the weights that do not wait for the device.

SpeechBrain's Brain reads the loss after every batch, which leaves a GPU idle while the next batch is prepared. Here
losses stay on the device and are read every `READ_EVERY` batches.
"""

import speechbrain as sb
import torch

from atc_asr.core.errors import InputError
from atc_asr.model.network import SAMPLE_RATE
from atc_asr.training import distributed
from atc_asr.training.recoverables import Losses

READ_EVERY = 50  # batches
MAX_NONFINITE = 10  # losses or gradients of a training that may be NaN or infinite


class NonblockingBrain(sb.Brain):
    """SpeechBrain's Brain with an update that does not wait for the device.

    An update whose gradients are not finite is skipped and counted; more than `MAX_NONFINITE` end the training.
    The fused optimiser itself clips and skips. With float16 only losses are counted, because the loss scaler finds its
    scale by overflows of the gradients.
    """

    def on_fit_start(self) -> None:
        """Adds the losses to the checkpoints before the last one is loaded."""
        self.losses = Losses(self.device)
        self.mean_loss = float("nan")
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("losses", self.losses)
        super().on_fit_start()

    def _wrap_distributed(self) -> None:
        """Does nothing: `optimizers_step` averages the gradients. DistributedDataParallel would need the network to be
        called as a whole, but its parts are called one by one."""

    def fit_batch(self, batch) -> torch.Tensor:
        """Forward and backward pass and, every `grad_accumulation_factor` batches, an update; returns the loss.

        Raises:
            InputError: the batch does not fit in the device's memory, or see `read_losses`.
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
            size, samples = batch.wavs.shape
            raise InputError(
                f"CUDA is out of memory in a batch of {size} x {samples / SAMPLE_RATE:.1f} s "
                f"({', '.join(batch.ids[:3])}, ...); lower train.batch_size and raise train.grad_accum "
                "(python -m atc_asr.commands.find_batch finds the largest batch that fits)"
            ) from error
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
        """Clips by the norm of all gradients and updates the weights."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        distributed.average_gradients(gradients)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
            norm = torch.nn.utils.get_total_norm(gradients)
            torch.nn.utils.clip_grads_with_norm_(weights, self.max_grad_norm, norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            norm = torch.nn.utils.get_total_norm(gradients)
            # A fused optimiser divides the gradients by grad_scale and skips the update if found_inf is 1.
            self.optimizer.grad_scale = (norm / self.max_grad_norm).clamp(min=1.0)
            self.optimizer.found_inf = self.losses.count_nonfinite(norm)
            self.optimizer.step()
        self.losses.add_norm(norm)
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer_step += 1

    def update_average(self, loss: torch.Tensor, avg_loss: float) -> float:
        """Mean loss for the progress bar; in training the one that was read last."""
        if torch.is_grad_enabled():
            return self.mean_loss
        return super().update_average(loss, avg_loss)

    def read_losses(self) -> float:
        """Waits for the device and reads the mean loss of the epoch.

        Raises:
            InputError: more than `MAX_NONFINITE` losses or gradients were not finite.
        """
        self.mean_loss, nonfinite = self.losses.read()
        if nonfinite > MAX_NONFINITE:
            raise InputError(
                f"training: {nonfinite} losses or gradients are not finite after {self.optimizer_step} updates, "
                f"wanted at most {MAX_NONFINITE}; try a lower train.lr or train.precision fp32"
            )
        return self.mean_loss
