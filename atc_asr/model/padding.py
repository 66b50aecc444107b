"""Utterances of a batch do not hear each other, nor the padding: each has the log-probabilities that it has alone.

SpeechBrain's modules let what stands behind an utterance's end leak into it: the convolution module masks its output
only, the front-end continues the longest utterance by reflection and the others by silence, and lengths are shares of
the padded length, rounded. Alone, an utterance has the same results here as in SpeechBrain.

B utterances, S samples, F mel bands, T encoder frames, D width, V tokens.
"""

from collections.abc import Mapping
from types import MethodType

import torch
import torch.nn.functional as F
from speechbrain.lobes.models.transformer.Conformer import ConvolutionModule

SAMPLE_RATE = 16_000  # Hz
HOP = SAMPLE_RATE // 100  # samples between two steps of 10 ms
STEPS_ROUNDED = 16  # steps of a batch are a multiple of it: every shape costs oneDNN the compiling of its kernels
STATISTICS_TAKEN = 1_000_000  # an epoch number past InputNormalization.update_until_epoch: use, do not update


def count_steps(num_samples: int | torch.Tensor) -> int | torch.Tensor:
    """10 ms steps of a waveform of 16 kHz: hops with centred windows."""
    return num_samples // HOP + 1


def padded_samples(num_samples: int) -> int:
    """Samples of a batch whose longest utterance has `num_samples`."""
    rounded = -(-count_steps(num_samples) // STEPS_ROUNDED) * STEPS_ROUNDED
    return rounded * HOP - 1


def padded_seconds(longest: float) -> float:
    """Seconds of each row of a batch by those of its longest utterance."""
    return padded_samples(round(longest * SAMPLE_RATE)) / SAMPLE_RATE


def pad_waveforms(wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Waveforms (B, S) and the shares of S that are audio (B,), with as many zeros as `padded_samples` wants."""
    num_samples = wavs.shape[1]
    padded = padded_samples(round(wav_lens.max().item() * num_samples))
    return F.pad(wavs, (0, padded - num_samples)), wav_lens * num_samples / padded


def continue_ends(x: torch.Tensor, lengths: torch.Tensor, reach: int) -> torch.Tensor:
    """(B, steps, ...) with the first `reach` steps behind each utterance's end reflected, as a convolution pads it.

    Args:
        x: what the convolution is given; an utterance that fills it is the convolution's to continue.
        lengths: (B,) steps that are audio.
        reach: steps the convolution sees to each side.
    """
    ones = [1] * (x.dim() - 2)
    steps, lengths = torch.arange(x.shape[1], device=x.device).view(1, -1, *ones), lengths.view(-1, 1, *ones)
    for behind in range(reach):
        reflected = x.gather(1, (lengths - 2 - behind).clamp(min=0).expand(-1, -1, *x.shape[2:]))
        x = torch.where(steps == lengths + behind, reflected, x)
    return x


def front_end(module: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, steps, F) -> (B, T, F', C) and frames that are audio (B,).

    Args:
        module: speechbrain.lobes.models.convolution.ConvolutionFrontEnd.
        x: features.
        lengths: (B,) steps that are audio.
    """
    for block in module.values():
        window = block.get_filter_properties()
        reach = (window.window_size - 1) // 2 * window.dilation
        num_steps = (x.shape[1] + window.stride - 1) // window.stride
        if reach > 1:  # else the convolution itself continues who ends at the last step, and nobody ends just before
            x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, reach))
        x = block(continue_ends(x, lengths, reach))[:, :num_steps]
        lengths = (lengths + window.stride - 1) // window.stride
    return x, lengths


def encode(
    modules: Mapping[str, torch.nn.Module], features: torch.Tensor, num_steps: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """Normalised features -> last hidden states (B, T, D), those of all layers, and frames that are audio (B,).

    Args:
        modules: the network's parts by name.
        features: (B, steps, F).
        num_steps: (B,) steps that are audio.
    """
    x, num_frames = front_end(modules["front_end"], features, num_steps)
    hidden, layers = modules["conformer"](x, num_frames / x.shape[1])
    return hidden, layers, num_frames


def recognize(
    modules: Mapping[str, torch.nn.Module], wavs: torch.Tensor, num_samples: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Waveforms (B, S) of which (B,) samples are audio -> natural log-probabilities (B, T, V) and frames (B,)."""
    features = modules["compute_features"](wavs)
    features = modules["normalizer"](features, num_samples / wavs.shape[1], epoch=STATISTICS_TAKEN)
    hidden, _, num_frames = encode(modules, features, count_steps(num_samples))
    return modules["log_softmax"](modules["ctc_head"](hidden)), num_frames


def masked_convolution(
    module: ConvolutionModule, x: torch.Tensor, mask: torch.Tensor | None = None, dynchunktrain_config=None
) -> torch.Tensor:
    """ConvolutionModule.forward with zeros behind an utterance's end, as before its start.

    Args:
        module: the convolution module.
        x: (B, T, D).
        mask: (B, T, 1) true behind an utterance's end, where the result is of no use.
        dynchunktrain_config: of streaming, SpeechBrain's own affair.
    """
    if mask is None or dynchunktrain_config is not None or module.causal:
        return ConvolutionModule.forward(module, x, mask, dynchunktrain_config)
    out = module.bottleneck(module.layer_norm(x).transpose(1, 2))
    out = module.conv(out.masked_fill(mask.transpose(1, 2), 0.0))
    return module.after_conv(out.transpose(1, 2))


def mask_convolutions(network: torch.nn.Module) -> None:
    """Let every convolution module of a network be evaluated so."""
    for module in network.modules():
        if isinstance(module, ConvolutionModule):
            module.forward = MethodType(masked_convolution, module)
