"""Forward and backward passes that are recorded once for each shape of batch, as CUDA graphs.

A GPU computes most kernels of a Conformer in less time than Python takes to launch them. A CUDA graph launches all
kernels of a pass at once. It is bound to the shape of its inputs, so a pass is recorded when its shape appears again;
shapes are few (`network.STEP_MULTIPLE`). Dropout draws new numbers in every replay.

Source: https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from atc_asr.core import messages

RECORD_AFTER = 1  # a shape is recorded when it appears after so many batches of that shape
MAX_RECORDINGS = 400  # shapes; further ones are not recorded
Pass = Callable[..., tuple[torch.Tensor, ...]]

log = logging.getLogger(__name__)


class Passes(torch.nn.Module):
    """A function of modules as a module, so that the passes can use aliases of the weights.

    Autograd binds a weight to the stream that uses it first. An alias that a recording makes is bound to that
    recording's stream; the weight itself may be bound to the default stream, which no recording can use.
    """

    def __init__(self, modules: torch.nn.Module, function: Pass) -> None:
        super().__init__()
        self.inner, self._function = modules, function
        self.trained = {name: weight for name, weight in self.named_parameters() if weight.requires_grad}

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs of the function."""
        return self._function(*inputs)

    def with_aliases(self, inputs: list[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], list[torch.Tensor]]:
        """Outputs of the function, and aliases of the trained weights that they depend on."""
        aliases = {name: weight.detach().requires_grad_() for name, weight in self.trained.items()}
        return torch.func.functional_call(self, aliases, tuple(inputs)), list(aliases.values())


class Recording:
    """A forward and a backward pass for inputs of one shape; the latter adds the weights' gradients to `sums`."""

    def __init__(self, passes: Passes, inputs: tuple[torch.Tensor, ...], sums: list[torch.Tensor], pool: Any) -> None:
        self.inputs = [tensor.detach().clone() for tensor in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            outputs, weights = passes.with_aliases(self.inputs)  # libraries choose their algorithms
            torch.autograd.grad([output.sum() for output in outputs], weights, allow_unused=True)
        torch.cuda.current_stream().wait_stream(side)
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.forward, pool=pool, capture_error_mode="thread_local"):
            outputs, weights = passes.with_aliases(self.inputs)
        self.gradients = [torch.zeros_like(output) for output in outputs]
        with torch.cuda.graph(self.backward, pool=pool, capture_error_mode="thread_local"):
            found = torch.autograd.grad(outputs, weights, self.gradients, allow_unused=True)
            pairs = [(total, one) for total, one in zip(sums, found, strict=True) if one is not None]
            torch._foreach_add_([total for total, _ in pairs], [one for _, one in pairs])
        self.outputs = [output.detach() for output in outputs]


class Replay(torch.autograd.Function):
    """The passes of a recording, for autograd."""

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, recorder: "Recorder", recording: Any, *inputs: torch.Tensor) -> Any:
        """Outputs (views of the recording's own, until its next replay); `anchor` is any weight that is trained."""
        ctx.recorder, ctx.recording = recorder, recording
        for kept, given in zip(recording.inputs, inputs, strict=True):
            kept.copy_(given)
        recording.forward.replay()
        return tuple(output.detach() for output in recording.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Adds to the gradients of all weights."""
        for kept, given in zip(ctx.recording.gradients, gradients, strict=True):
            kept.copy_(given)
        ctx.recorder.attach_sums()
        ctx.recording.backward.replay()
        return (None,) * (3 + len(ctx.recording.inputs))


class Recorder:
    """Calls a function by replaying a recording, from the second time on that its inputs have the same shapes.

    Args:
        modules: whose weights are trained.
        function: from tensors without gradients to outputs, by `modules`; it never waits for the GPU.
        make: makes a recording.
    """

    def __init__(
        self,
        modules: torch.nn.Module,
        function: Pass,
        *,
        make: Callable[..., Any] = Recording,
    ) -> None:
        self._passes, self._make = Passes(modules, function), make
        self._weights = list(self._passes.trained.values())
        self._sums: list[torch.Tensor] = []
        self._seen: Counter[tuple] = Counter()
        self._recordings: dict[tuple, Any] = {}
        self._can_record = True
        self._pool: Any = None
        self.seconds = 0.0  # spent on recordings

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs of the function."""
        key = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        recording = self._recordings.get(key)
        if recording is None and self._can_record and len(self._recordings) < MAX_RECORDINGS:
            if self._seen[key] >= RECORD_AFTER:
                recording = self._record(key, inputs)
            self._seen[key] += 1
        if recording is None:
            return self._passes(*inputs)
        return Replay.apply(self._weights[0], self, recording, *inputs)

    def __len__(self) -> int:
        return len(self._recordings)

    def _record(self, key: tuple, inputs: tuple[torch.Tensor, ...]) -> Any:
        started = time.monotonic()
        device = self._weights[0].device
        devices = [device] if device.type == "cuda" else []
        if not self._sums:
            self._sums = [torch.zeros_like(weight) for weight in self._weights]
            self._pool = torch.cuda.graph_pool_handle() if devices else None
        autocast = torch.autocast(  # as around this call, but a recording cannot use weights that were converted before
            device.type,
            dtype=torch.get_autocast_dtype(device.type),
            enabled=torch.is_autocast_enabled(device.type),
            cache_enabled=False,
        )
        try:
            with torch.random.fork_rng(devices=devices), autocast:
                recording = self._make(self._passes, inputs, self._sums, self._pool)
        except RuntimeError as error:  # of a network that waits for the GPU, or without memory for two copies
            cause: BaseException = error
            while cause.__context__ is not None:  # the first error; the end of its recording raises another one
                cause = cause.__context__
            log.warning(messages.NOT_RECORDED, " ".join(str(cause).split())[:200])
            self._can_record = False
            if devices:  # a recording that ends well resets the random generator
                with torch.cuda.graph(torch.cuda.CUDAGraph()):
                    torch.zeros(1, device=device)
            return None
        self._recordings[key] = recording
        self.seconds += time.monotonic() - started
        return recording

    def attach_sums(self) -> None:
        """Lets the weights' gradients be the tensors to which the recordings add, with what they hold so far."""
        if any(weight.grad is not total for weight, total in zip(self._weights, self._sums, strict=True)):
            for weight, total in zip(self._weights, self._sums, strict=True):
                if weight.grad is None:
                    total.zero_()
                elif weight.grad is not total:
                    total.copy_(weight.grad)
                weight.grad = total
