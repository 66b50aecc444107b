"""Faster forward passes of SpeechBrain's modules for training on a CPU in fp32; off with `train.cpu_fast_path`.

Outputs and gradients are the same up to rounding. Only the `forward` of module instances is replaced: classes,
parameters and names stay, so that SpeechBrain loads the run folder. `CachedFeatures` replaces computing the same
features in every epoch.

B utterances, T frames, F frequencies or mel bands, C channels, D width.
"""

import functools
import math
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.transformer.Conformer import ConvolutionModule
from speechbrain.nnet.attention import PositionalwiseFeedForward, RoPEMHA
from speechbrain.nnet.CNN import Conv2d, get_padding_elem

from atc_asr.model.batches import BYTES_PER_SAMPLE, Batch, CachedDataset, ManifestDataset
from atc_asr.model.network import count_steps
from atc_asr.training.params import AugmentParams

ROPE_BASE = 10_000.0  # Su et al. 2021, section 3.2.2
MAX_FRAMES = 1024  # longer utterances use SpeechBrain's attention, which does not hold all (T, T) weights in memory
MIN_OUTPUTS = 64  # with fewer outputs, MKL is faster than oneDNN
BYTES_PER_FLOAT = 4


class OneDnnLinear(torch.autograd.Function):
    """F.linear with oneDNN, forward and backward: x (..., in), weight (out, in), bias (out,) or None -> (..., out).

    F.linear itself uses MKL, which is half as fast on processors of other makers than Intel, where it avoids AVX-512.
    """

    @staticmethod
    def multiply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """The operator that torch.compile uses for a linear layer on a CPU."""
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return OneDnnLinear.multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grads = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_weight = None
        if needs_weight and weight.shape[0] > weight.shape[1]:  # of the two orders, the one with fewer rows copies less
            grad_weight = OneDnnLinear.multiply(rows.t(), grads.t()).t()
        elif needs_weight:
            grad_weight = OneDnnLinear.multiply(grads.t(), rows.t())
        return (
            OneDnnLinear.multiply(grad, weight.t()) if needs_x else None,
            grad_weight,
            grads.sum(0) if needs_bias else None,
        )


def linear(module: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """torch.nn.Linear.forward."""
    if module.out_features < MIN_OUTPUTS:
        return F.linear(x, module.weight, module.bias)
    return OneDnnLinear.apply(x, module.weight, module.bias)


def feed_forward(module: PositionalwiseFeedForward, x: torch.Tensor) -> torch.Tensor:
    """PositionalwiseFeedForward.forward without its transposes, which copy."""
    return module.ffn(x)


@functools.lru_cache(maxsize=64)
def rotations(num_frames: int, head_dim: int, scale: float) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021, equation 34) times `scale`, complex (T, head_dim / 2)."""
    with torch.inference_mode(False):  # so that training can use the cached tensor as well
        rates = ROPE_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
        angles = torch.arange(num_frames, dtype=torch.float64)[:, None] * rates
        return torch.polar(torch.full_like(angles, scale), angles).to(torch.complex64)


def rope_attention(
    module: RoPEMHA,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_padding_mask: torch.Tensor | None = None,
    attn_mask: torch.Tensor | None = None,
    pos_embs: torch.Tensor | None = None,
    return_attn_weights: bool = True,
) -> tuple[torch.Tensor, None] | torch.Tensor:
    """RoPEMHA.forward with two batched matrix products, faster than flash attention for utterances of some seconds."""
    if not (query is key is value) or attn_mask is not None or module.vbias is not None or query.shape[1] > MAX_FRAMES:
        return RoPEMHA.forward(module, query, key, value, key_padding_mask, attn_mask, pos_embs, return_attn_weights)
    size, num_frames, heads, width = query.shape[0], query.shape[1], module.num_heads, module.head_dim
    projected = OneDnnLinear.apply(query, module.in_proj_weight, None).view(size, num_frames, heads, 3, width)
    by_head = projected.permute(3, 0, 2, 1, 4).reshape(3, size * heads, num_frames, width)
    query_key, value = by_head.split((2, 1))
    pairs = torch.view_as_complex(query_key.unflatten(-1, (width // 2, 2)))
    # Query and key are each multiplied by the root of the scale.
    query, key = torch.view_as_real(pairs * rotations(num_frames, width, module.scale**0.5)).flatten(-2).unbind()
    bias = torch.zeros(size, num_frames)
    if key_padding_mask is not None:
        bias.masked_fill_(key_padding_mask, float("-inf"))
    bias = bias[:, None, None].expand(size, heads, 1, num_frames).reshape(size * heads, 1, num_frames)
    weights = torch.baddbmm(bias, query, key.transpose(1, 2)).softmax(-1)
    weights = F.dropout(weights, module.dropout, module.training)
    mixed = torch.bmm(weights, value[0]).view(size, heads, num_frames, width).transpose(1, 2).flatten(2)
    mixed = module.out_proj(mixed)
    return (mixed, None) if return_attn_weights else mixed


def convolution(
    module: ConvolutionModule, x: torch.Tensor, mask: torch.Tensor | None = None, dynchunktrain_config: Any = None
) -> torch.Tensor:
    """`atc_asr.model.convolutions.masked_convolution` with channels last: no transposes, and a matrix product."""
    if dynchunktrain_config is not None or module.causal:
        return ConvolutionModule.forward(module, x, mask, dynchunktrain_config)
    pointwise, conv = module.bottleneck[0], module.conv
    out = F.glu(OneDnnLinear.apply(module.layer_norm(x), pointwise.weight.squeeze(-1), pointwise.bias), dim=-1)
    if mask is not None:
        out = out.masked_fill(mask, 0.0)
    out = F.conv2d(
        out.transpose(1, 2).unsqueeze(2),  # (B, D, 1, T), channels last in memory
        conv.weight.unsqueeze(2),
        conv.bias,
        padding=(0, module.padding),
        dilation=(1, *conv.dilation),
        groups=conv.groups,
    )
    return module.after_conv(out.squeeze(2).transpose(1, 2))


def front_end_convolution(module: Conv2d, x: torch.Tensor) -> torch.Tensor:
    """speechbrain.nnet.CNN.Conv2d.forward without transposes, (B, T, F[, C]) -> (B, T', F', C')."""
    if module.padding != "same" or module.swap or module.skip_transpose or module.max_norm is not None:
        return Conv2d.forward(module, x)
    if module.unsqueeze:
        x = x.unsqueeze(-1)
    padding = []
    for axis in (-2, -1):  # the kernel's axes are (F, T), and F.pad begins with the last axis
        stride, kernel_size, dilation = module.stride[axis], module.kernel_size[axis], module.dilation[axis]
        padding += get_padding_elem(module.in_channels, stride, kernel_size, dilation)
    out = F.conv2d(
        F.pad(x.permute(0, 3, 1, 2), padding, mode=module.padding_mode),
        module.conv.weight.transpose(2, 3).contiguous(memory_format=torch.channels_last),
        module.conv.bias,
        stride=module.stride[::-1],
        dilation=module.dilation[::-1],
        groups=module.conv.groups,
    )
    return out.permute(0, 2, 3, 1)


REPLACEMENTS: dict[Callable, Callable] = {
    torch.nn.Linear.forward: linear,
    PositionalwiseFeedForward.forward: feed_forward,
    RoPEMHA.forward: rope_attention,
    ConvolutionModule.forward: convolution,
    Conv2d.forward: front_end_convolution,
}


def use_fast_path(network: torch.nn.Module) -> None:
    """Replace the forward passes of a network's modules by `REPLACEMENTS`, if PyTorch has oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in network.modules():
        replacement = REPLACEMENTS.get(type(module).forward)
        if replacement is not None:
            module.forward = MethodType(replacement, module)  # type: ignore[method-assign]


def can_cache_features(
    compute_features: torch.nn.Module, dataset: ManifestDataset, augment: AugmentParams, max_bytes: int
) -> bool:
    """Whether the features of a train set are the same in all epochs, and fit into `max_bytes` with its audio."""
    if not isinstance(compute_features, Fbank) or compute_features.deltas or compute_features.context:
        return False
    if augment.speeds != [100] or augment.radio_fraction or not isinstance(dataset, CachedDataset):
        return False
    if any(weight.requires_grad for weight in compute_features.parameters()):
        return False
    num_samples = dataset.audio_bytes() // BYTES_PER_SAMPLE
    num_steps = num_samples / compute_features.compute_STFT.hop_length
    return dataset.audio_bytes() + num_steps * compute_features.compute_fbanks.n_mels * BYTES_PER_FLOAT <= max_bytes


class CachedFeatures:
    """Computes the features of each utterance once, and assembles those of batches.

    Utterances are computed alone, so that the cache does not depend on the batch of the first request. Some silence is
    added to each: the features of its last step, computed from silence alone, are those of a batch's padding.
    """

    def __init__(self, compute_features: Fbank) -> None:
        self._compute = compute_features
        self._hop = compute_features.compute_STFT.hop_length  # samples
        self._silent_steps = math.ceil(compute_features.compute_STFT.n_fft / 2 / self._hop) + 1
        self._cache: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> torch.Tensor:
        """The features (B, steps, F) of a batch, equal to `compute_features(batch.wavs)`."""
        for name, wav, num_samples in zip(batch.ids, batch.wavs, batch.num_samples().tolist(), strict=True):
            if name not in self._cache:
                padded = F.pad(wav[:num_samples], (0, self._silent_steps * self._hop))
                self._cache[name] = self._compute(padded[None])[0]
        parts = [self._cache[name] for name in batch.ids]
        num_steps = count_steps(batch.wavs.shape[1])
        features = parts[0].new_empty(len(parts), num_steps, parts[0].shape[1])
        for row, part in zip(features, parts, strict=True):
            row[: len(part)] = part[:num_steps]
            row[len(part) :] = part[-1]
        return features
