"""Forward and backward passes that are recorded once for each shape of batch, as CUDA graphs.

A GPU computes most kernels of a Conformer in less time than Python takes to launch them. A CUDA graph launches all
kernels of a pass at once. It is bound to the shape of its inputs, so a pass is recorded when its shape appears again;
shapes are few (`network.STEP_MULTIPLE`). Dropout draws new numbers in every replay. A recording is used only if its
first replay has the outputs and gradients of the passes that it replaces. Recordings keep the memory of a pass, so they
are made only where there is room for another pass beside it.

Source: https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from atc_asr.core import messages

RECORD_AFTER = 1  # a shape is recorded when it appears after so many batches of that shape
OUTPUT_GRADIENT = 0.01  # of the check; its gradients are finite in float16
MAX_DIFFERENCE = 0.02  # of a replay from the passes that it replaces, relative
MAX_RECORDINGS = 400  # shapes; further ones are not recorded
Pass = Callable[..., tuple[torch.Tensor, ...]]
Results = tuple[list[torch.Tensor], list[torch.Tensor]]  # outputs, and gradients of the trained weights

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

    def with_aliases(self, inputs: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], list[torch.Tensor]]:
        """Outputs of the function, and aliases of the trained weights that they depend on."""
        aliases = {name: weight.detach().requires_grad_() for name, weight in self.trained.items()}
        return torch.func.functional_call(self, aliases, tuple(inputs)), list(aliases.values())

    def results(self, inputs: Sequence[torch.Tensor]) -> Results:
        """Outputs, and gradients of the trained weights for gradients `OUTPUT_GRADIENT` of the outputs."""
        outputs, weights = self.with_aliases(inputs)
        given = [torch.full_like(output, OUTPUT_GRADIENT) for output in outputs]
        found = torch.autograd.grad(outputs, weights, given, allow_unused=True)
        zeros = (torch.zeros_like(weight) for weight in weights)
        gradients = [zero if one is None else one for zero, one in zip(zeros, found, strict=True)]
        return [output.detach() for output in outputs], gradients


class Recording:
    """A forward and a backward pass for inputs of one shape; the latter adds the weights' gradients to `sums`."""

    def __init__(self, passes: Passes, inputs: tuple[torch.Tensor, ...], sums: list[torch.Tensor], pool: Any) -> None:
        self.inputs = [tensor.detach().clone() for tensor in inputs]
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


def check_room(device: torch.device) -> None:
    """Checks that the memory of the GPU holds a recording, and a pass that is not recorded beside it.

    Raises:
        RuntimeError: it does not.
    """
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0]
    one_pass = torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
    if free < 2 * one_pass:
        raise RuntimeError(f"{free / 1e6:.0f} MB are free, wanted {2 * one_pass / 1e6:.0f} for two passes")


def check(kind: str, wanted: list[torch.Tensor], found: list[torch.Tensor]) -> None:
    """Compares tensors of a kind, each as a vector.

    Raises:
        RuntimeError: one differs by more than `MAX_DIFFERENCE` of itself and a tenth of that of all together.
    """
    distances = torch.stack([(left - right).float().norm() for left, right in zip(wanted, found, strict=True)])
    sizes = torch.stack([tensor.float().norm() for tensor in wanted])
    if not (distances <= MAX_DIFFERENCE * (sizes + 0.1 * sizes.norm())).all():
        raise RuntimeError(f"{kind} of a replay differ from those of the passes by {(distances / sizes).max():.1e}")


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
        self._sums = [torch.zeros_like(weight) for weight in self._weights]
        self._device = self._weights[0].device
        self._pool = torch.cuda.graph_pool_handle() if self._device.type == "cuda" else None
        self._seen: Counter[tuple] = Counter()
        self._recordings: dict[tuple, Any] = {}
        self._can_record = True
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
        device, is_cuda = self._device, self._device.type == "cuda"
        fork_rng = partial(torch.random.fork_rng, devices=[device] if is_cuda else [])
        autocast = torch.autocast(  # as around this call, but a recording cannot use weights that were converted before
            device.type,
            dtype=torch.get_autocast_dtype(device.type),
            enabled=torch.is_autocast_enabled(device.type),
            cache_enabled=False,
        )
        try:
            with autocast:
                with fork_rng():
                    wanted = self._wanted(inputs)
                if is_cuda:
                    check_room(device)
                with fork_rng():
                    recording = self._make(self._passes, inputs, self._sums, self._pool)
                with fork_rng():
                    found = self._replayed(recording)
                for kind, one, other in zip(("outputs", "gradients"), wanted, found, strict=True):
                    check(kind, one, other)
        except RuntimeError as error:  # of a network that waits for the GPU, or without memory for two copies
            cause: BaseException = error
            while cause.__context__ is not None:  # the first error; the end of its recording raises another one
                cause = cause.__context__
            log.warning(messages.NOT_RECORDED, " ".join(str(cause).split())[:200])
            self._can_record = False
            if is_cuda:  # a recording that ends well resets the random generator
                with torch.cuda.graph(torch.cuda.CUDAGraph()):
                    torch.zeros(1, device=device)
            return None
        self._recordings[key] = recording
        self.seconds += time.monotonic() - started
        return recording

    def _wanted(self, inputs: tuple[torch.Tensor, ...]) -> Results:
        """What `_replayed` has to return. On another stream, as libraries prepare themselves for recordings here."""
        if self._device.type != "cuda":
            return self._passes.results(inputs)
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            wanted = self._passes.results(inputs)
        current.wait_stream(side)
        return wanted

    def _replayed(self, recording: Any) -> Results:
        """Outputs of a recording, and what it adds to the sums."""
        kept = [total.clone() for total in self._sums]
        torch._foreach_zero_(self._sums)
        for gradient in recording.gradients:
            gradient.fill_(OUTPUT_GRADIENT)
        recording.forward.replay()
        recording.backward.replay()
        added = [total.clone() for total in self._sums]
        torch._foreach_copy_(self._sums, kept)
        return [output.detach() for output in recording.outputs], added

    def attach_sums(self) -> None:
        """Lets the weights' gradients be the tensors to which the recordings add, with what they hold so far."""
        if any(weight.grad is not total for weight, total in zip(self._weights, self._sums, strict=True)):
            for weight, total in zip(self._weights, self._sums, strict=True):
                if weight.grad is None:
                    total.zero_()
                elif weight.grad is not total:
                    total.copy_(weight.grad)
                weight.grad = total
