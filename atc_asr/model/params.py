"""Parameters of the network."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from atc_asr.core.config import Section, param


class ModelParams(Section):
    """Shape of the network."""

    section: ClassVar[str] = "model"
    frame_ms: Literal[20, 40] = param("encoder frame in ms, 20 or 40; CTC needs tokens + repeated neighbours <= frames")
    n_mels: int = param("mel bands", ge=8)
    n_fft: int = param("FFT size, at least the window's samples", ge=16)
    win_length: int = param("analysis window, ms", ge=1)
    front_end_channels: list[PositiveInt] = param("channels of the convolution blocks, two or more")
    front_end_kernels: list[PositiveInt] = param("kernel size of each convolution block, odd")
    num_layers: int = param("Conformer layers", ge=1)
    d_model: int = param("width of a layer", ge=1)
    num_heads: int = param("attention heads, a divisor of d_model", ge=1)
    d_ffn: int = param("width of the feed-forward modules", ge=1)
    kernel_size: int = param("kernel size of the convolution module, odd", ge=1)
    activation: Literal["swish", "gelu"] = param("activation of the layers: swish or gelu")
    dropout: float = param("dropout probability", ge=0, le=0.99)
    attention_type: Literal["RelPosMHAXL", "RoPEMHA", "regularMHA"] = param("RelPosMHAXL, RoPEMHA, regularMHA")


class SpecAugmentParams(Section):
    """SpecAugment (Park et al. 2019)."""

    section: ClassVar[str] = "specaugment"
    freq_masks: int = param("frequency masks per utterance, 0 = off", ge=0)
    freq_width: int = param("widest frequency mask, mel bands", ge=1)
    time_masks: int = param("time masks per utterance, 0 = off", ge=0)
    time_width: int = param("widest time mask, 10 ms steps", ge=1)
