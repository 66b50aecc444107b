"""A corpus of tones that a tiny network learns in seconds, and a tiny network."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from atc_asr.core.manifest import Utterance
from atc_asr.model.network import HPARAMS_FILE
from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.training.config import TrainingConfig
from atc_asr.training.lora import TARGETS
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams
from tests import tiny_network

PITCH = {"A": 300.0, "B": 700.0, "C": 1500.0, "D": 2800.0}  # Hz
LETTER_SAMPLES = 2400


def write_tones(path, text, seed):
    """A WAV in which each letter is a tone of 150 ms and a space is silence."""
    time = np.arange(LETTER_SAMPLES) / 16000
    parts = [0.3 * np.sin(2 * np.pi * PITCH.get(letter, 0.0) * time) for letter in f" {text} "]
    noise = np.random.default_rng(seed).normal(0, 0.003, LETTER_SAMPLES * len(parts))
    soundfile.write(path, np.concatenate(parts) + noise, 16000, subtype="PCM_16")


@pytest.fixture
def make_utterances(tmp_path):
    def make(texts, name="u"):
        rows = []
        for number, text in enumerate(texts):
            path = tmp_path / f"{name}{number}.wav"
            write_tones(path, text, number)
            rows.append(Utterance(f"{name}{number}", path, LETTER_SAMPLES * (len(text) + 2) / 16000, text))
        return rows

    return make


@pytest.fixture
def texts():
    random = np.random.default_rng(7)
    return ["".join(random.choice(list("ABCD"), size=random.integers(2, 6))) for _ in range(24)]


@pytest.fixture
def config(texts, make_utterances):
    """A training of two epochs with 24 utterances."""
    train = TrainParams(
        epochs=2, lr=5e-3, batch_size=6, grad_accum=1, num_processes=1, seed=1, train_subset=0, schedule="linear",
        warmup_epochs=0.5, patience=0, ema_decay=0.0, average_checkpoints=1, average_select="best",
        max_guard_wer=None,
        weight_decay=0.01, inter_ctc=0.3, max_grad_norm=5.0, precision="fp32", audio_cache_mb=0, cpu_fast_path=True,
        num_workers=0, checkpoint_minutes=0.0, eval_beam_size=1, init_from=None, min_loaded_fraction=0.5,
        freeze_layers=0, encoder_lr=1.0,
    )  # fmt: skip
    augment = AugmentParams(speeds=[100], radio_fraction=0.0, snr_low=8.0, snr_high=30.0)
    lora = LoraParams(peft="none", lora_r=2, lora_alpha=4.0, lora_dropout=0.1, lora_targets=list(TARGETS))
    rows = make_utterances(texts)
    return TrainingConfig(
        train, tiny_network.MODEL, tiny_network.SPECAUGMENT, augment, lora, char_tokens(texts), rows, rows[:4],
        HPARAMS_FILE,
    )  # fmt: skip


@pytest.fixture
def changed():
    """Changes keys of a configuration: `changed(config, train={"epochs": 1}, model={"dropout": 0.0})`."""

    def change(config, **sections):
        return replace(
            config, **{name: getattr(config, name).model_copy(update=keys) for name, keys in sections.items()}
        )

    return change
