"""The same network with cheaper arithmetic on a CPU: same weights, same outputs and gradients up to rounding.

SpeechBrain's modules keep their classes, their parameters and their names; only the `forward` of an instance is
replaced, so that a run folder opens in SpeechBrain unchanged.

B utterances, T frames, F frequencies, C channels, D width, H heads.
"""

import functools
from types import MethodType

import torch
import torch.nn.functional as F
from speechbrain.lobes.models.transformer.Conformer import ConvolutionModule
from speechbrain.nnet.attention import PositionalwiseFeedForward, RoPEMHA
from speechbrain.nnet.CNN import Conv2d, get_padding_elem

ROPE_BASE = 10_000.0  # Su et al. 2021, section 3.2.2
LONGEST = 1024  # frames up to which attention's (T, T) weights are kept whole
NARROWEST = 64  # outputs under which oneDNN is the slower one


class OneDnnLinear(torch.autograd.Function):
    """x (..., in), weight (out, in), bias (out,) or None -> (..., out) through oneDNN, forward and backward.

    F.linear goes through MKL, which on processors that are not Intel's leaves AVX-512 alone: half the speed here.
    """

    @staticmethod
    def multiply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """The operator that torch.compile emits for a linear layer on a CPU."""
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return OneDnnLinear.multiply(x, weight, bias)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        rows, grads = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_weight = None
        if needs_weight and weight.shape[0] > weight.shape[1]:  # the product with fewer rows copies less
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
    if module.out_features < NARROWEST:
        return F.linear(x, module.weight, module.bias)
    return OneDnnLinear.apply(x, module.weight, module.bias)


def feed_forward(module: PositionalwiseFeedForward, x: torch.Tensor) -> torch.Tensor:
    """PositionalwiseFeedForward.forward without its change to time-first and back, which copies."""
    return module.ffn(x)


@functools.lru_cache(maxsize=64)
def rotations(num_frames: int, head_dim: int, scale: float) -> torch.Tensor:
    """Rotary position embedding as complex numbers (T, head_dim / 2) (Su et al. 2021, equation 34), times `scale`."""
    with torch.inference_mode(False):  # a cached tensor serves training too
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
    """RoPEMHA.forward as two batched matrix products: the flash kernel's tiles do not pay for utterances of seconds."""
    if not (query is key is value) or attn_mask is not None or module.vbias is not None or query.shape[1] > LONGEST:
        return RoPEMHA.forward(
            module, query, key, value, key_padding_mask, attn_mask, pos_embs, return_attn_weights
        )  # fmt: skip
    size, num_frames, heads, width = query.shape[0], query.shape[1], module.num_heads, module.head_dim
    projected = OneDnnLinear.apply(query, module.in_proj_weight, None).view(size, num_frames, heads, 3, width)
    by_head = projected.permute(3, 0, 2, 1, 4).reshape(3, size * heads, num_frames, width)
    query_key, value = by_head.split((2, 1))
    pairs = torch.view_as_complex(query_key.unflatten(-1, (width // 2, 2)))
    # both have the root of the scale of their products
    query, key = torch.view_as_real(pairs * rotations(num_frames, width, module.scale**0.5)).flatten(-2).unbind()
    hidden = torch.zeros(size, num_frames)
    if key_padding_mask is not None:
        hidden.masked_fill_(key_padding_mask, float("-inf"))
    hidden = hidden[:, None, None].expand(size, heads, 1, num_frames).reshape(size * heads, 1, num_frames)
    weights = torch.baddbmm(hidden, query, key.transpose(1, 2)).softmax(-1)
    weights = F.dropout(weights, module.dropout, module.training)
    mixed = torch.bmm(weights, value[0]).view(size, heads, num_frames, width).transpose(1, 2).flatten(2)
    mixed = module.out_proj(mixed)
    return (mixed, None) if return_attn_weights else mixed


def convolution(
    module: ConvolutionModule, x: torch.Tensor, mask: torch.Tensor | None = None, dynchunktrain_config=None
) -> torch.Tensor:
    """atc_asr.model.padding.masked_convolution with channels last: no transposes, and a matrix product."""
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
    """speechbrain.nnet.CNN.Conv2d.forward, (B, T, F[, C]) -> (B, T', F', C'), in the layout that it arrives in."""
    if module.padding != "same" or module.swap or module.skip_transpose or module.max_norm is not None:
        return Conv2d.forward(module, x)
    if module.unsqueeze:
        x = x.unsqueeze(-1)
    padding = [
        side
        for axis in (-2, -1)  # frequency, then time: the kernel's axes are (F, T)
        for side in get_padding_elem(
            module.in_channels, module.stride[axis], module.kernel_size[axis], module.dilation[axis]
        )
    ]
    out = F.conv2d(
        F.pad(x.permute(0, 3, 1, 2), padding, mode=module.padding_mode),
        module.conv.weight.transpose(2, 3).contiguous(memory_format=torch.channels_last),
        module.conv.bias,
        stride=module.stride[::-1],
        dilation=module.dilation[::-1],
        groups=module.conv.groups,
    )
    return out.permute(0, 2, 3, 1)


CHEAPER = {
    torch.nn.Linear.forward: linear,
    PositionalwiseFeedForward.forward: feed_forward,
    RoPEMHA.forward: rope_attention,
    ConvolutionModule.forward: convolution,
    Conv2d.forward: front_end_convolution,
}


def use_fast_path(network: torch.nn.Module) -> None:
    """Let a network on a CPU, in float32, be evaluated by this module where it knows how."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in network.modules():
        cheaper = CHEAPER.get(type(module).forward)
        if cheaper is not None:
            module.forward = MethodType(cheaper, module)
