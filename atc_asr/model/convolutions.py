"""Convolutions whose results do not depend on the padding of a batch.

SpeechBrain's modules let the samples behind an utterance's end change its results: the Conformer's convolution module
masks its output only, and the front-end pads the longest utterance of a batch by reflection and the others with
silence. With the functions of this module, an utterance has the same results in any batch, and these are the results
of SpeechBrain's modules for that utterance alone.

B utterances, F mel bands, T encoder frames, D width. A step is 10 ms of features.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from speechbrain.lobes.models.transformer.Conformer import ConvolutionModule


def reflect_ends(x: torch.Tensor, lengths: torch.Tensor, margin: int) -> torch.Tensor:
    """Reflect each utterance into the first `margin` steps behind its end, as a convolution pads its input.

    Args:
        x: (B, steps, ...) input of a convolution.
        lengths: (B,) steps that are audio. An utterance that fills all steps is left to the convolution's own padding.
        margin: steps that the kernel covers on each side.
    """
    ones = [1] * (x.dim() - 2)
    steps, lengths = torch.arange(x.shape[1], device=x.device).view(1, -1, *ones), lengths.view(-1, 1, *ones)
    for behind in range(margin):
        reflected = x.gather(1, (lengths - 2 - behind).clamp(min=0).expand(-1, -1, *x.shape[2:]))
        x = torch.where(steps == lengths + behind, reflected, x)
    return x


def front_end(module: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply a `speechbrain.lobes.models.convolution.ConvolutionFrontEnd` to features (B, steps, F).

    `lengths` are (B,) steps that are audio. Returns (B, T, F', C), and (B,) frames that are audio.
    """
    block: Any
    for block in module.children():
        window = block.get_filter_properties()
        margin = (window.window_size - 1) // 2 * window.dilation
        num_steps = (x.shape[1] + window.stride - 1) // window.stride
        # With a margin of 1, an utterance that ends before the last step has the one step behind it that is needed.
        if margin > 1:
            x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, margin))
        x = block(reflect_ends(x, lengths, margin))[:, :num_steps]
        lengths = (lengths + window.stride - 1) // window.stride
    return x, lengths


def masked_convolution(
    module: ConvolutionModule, x: torch.Tensor, mask: torch.Tensor | None = None, dynchunktrain_config: Any = None
) -> torch.Tensor:
    """`ConvolutionModule.forward` of (B, T, D) with zeros behind each utterance's end, as there are before its start.

    `mask` (B, T, 1) is true behind an utterance's end. Streaming uses SpeechBrain's own forward.
    """
    if mask is None or dynchunktrain_config is not None or module.causal:
        return ConvolutionModule.forward(module, x, mask, dynchunktrain_config)
    out = module.bottleneck(module.layer_norm(x).transpose(1, 2))
    out = module.conv(out.masked_fill(mask.transpose(1, 2), 0.0))
    return module.after_conv(out.transpose(1, 2))


def mask_convolutions(network: torch.nn.Module) -> None:
    """Make every ConvolutionModule of a network use `masked_convolution`."""
    for module in network.modules():
        if isinstance(module, ConvolutionModule):
            module.forward = MethodType(masked_convolution, module)
