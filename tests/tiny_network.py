"""A network small enough for tests, with random weights."""

from pathlib import Path
from types import SimpleNamespace

import torch

from atc_asr.model import network, run_folder
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.tokens import Tokens

MODEL = ModelParams(
    frame_ms=40, n_mels=20, n_fft=400, win_length=25, front_end_channels=[4, 4], front_end_kernels=[3, 3],
    num_layers=1, d_model=16, num_heads=2, d_ffn=32, kernel_size=3, activation="swish", dropout=0.1,
    attention_type="RelPosMHAXL",
)  # fmt: skip
SPECAUGMENT = SpecAugmentParams(freq_masks=1, freq_width=2, time_masks=1, time_width=3)


def hparams_text(num_tokens: int = 5, **model) -> str:
    """The filled HyperPyYAML of the tiny network, with some keys of the section `model` changed."""
    values = network.hparams_values(MODEL.model_copy(update=model), SPECAUGMENT, num_tokens)
    return network.fill_placeholders(network.HPARAMS_FILE, values)


def build(num_tokens: int = 5, *, seed: int = 0, **model) -> SimpleNamespace:
    """The objects of the tiny network, with the normaliser's statistics of noise."""
    torch.manual_seed(seed)
    hparams = network.build(hparams_text(num_tokens, **model), "test")
    hparams.normalizer(hparams.compute_features(torch.randn(1, 16000)), torch.ones(1), epoch=0)
    return hparams


def save_run(folder: Path, tokens: Tokens, **model) -> run_folder.Recognizer:
    """Write a run folder with the tiny network, whose outputs are not only blanks."""
    hparams = build(len(tokens), seed=5, **model)
    torch.nn.init.normal_(hparams.ctc_head.w.weight, std=3.0)
    folder.mkdir(parents=True, exist_ok=True)
    text = hparams_text(len(tokens), **model)
    run_folder.save_weights(folder, hparams_text=text, hparams=hparams, tokens=tokens)
    return run_folder.load_recognizer(folder, device="cpu")
