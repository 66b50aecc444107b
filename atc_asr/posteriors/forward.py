"""The network over many utterances: audio -> log-probabilities, in batches of similar duration.

B utterances, S samples, T encoder frames, V tokens.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, read_manifests
from atc_asr.model import run_folder
from atc_asr.model.batches import PCM16_SCALE, DurationBatches, pad, read_wav
from atc_asr.model.network import pick_device
from atc_asr.model.padding import pad_waveforms
from atc_asr.posteriors.store import PosteriorsMeta
from atc_asr.tokenizer.tokens import Tokens

LOWEST = -1e4  # a float16 that still adds up over frames, for probabilities that underflow

Rows = Iterator[tuple[int, np.ndarray]]


class Recognizer(Protocol):
    """What this wing needs of a trained network (`atc_asr.model.run_folder`)."""

    tokens: Tokens
    frame_seconds: float
    sample_rate: int

    def log_probs(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, S) samples and relative lengths (B,) -> log-probabilities (B, T, V) and frames (B,)."""


def read_signal(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """Mono float32 samples (S,) of an utterance, read as training reads them.

    Raises:
        InputError: the file cannot be read, is empty, or has another rate or several channels.
    """
    samples = read_wav(utterance, sample_rate)
    if len(samples) == 0:
        raise InputError(f"{utterance.wav} (id {utterance.id}): holds no samples, wanted speech")
    return samples.astype(np.float32) * PCM16_SCALE


@torch.inference_mode()
def batch_log_probs(recognizer: Recognizer, signals: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Float16 log-probabilities (T, V) of each float32 signal (S,), computed as one batch.

    Raises:
        InputError: the network's answer is not finite.
    """
    wavs, wav_lens = pad_waveforms(*pad([torch.from_numpy(signal) for signal in signals]))
    log_probs, num_frames = recognizer.log_probs(wavs, wav_lens)
    results = []
    for name, row, frames in zip(names, log_probs.float().cpu().numpy(), num_frames.tolist(), strict=True):
        if np.isnan(row[:frames]).any():
            raise InputError(f"{name}: the network's log-probabilities hold NaN, wanted a run that has not diverged")
        results.append(np.clip(row[:frames], LOWEST, 0).astype(np.float16))
    return results


def sorted_batches(durations: Sequence[float], batch_seconds: float) -> list[list[int]]:
    """Indices of utterances of similar duration (seconds), longest first."""
    return list(DurationBatches(durations, max_seconds=batch_seconds, seed=None))


def compute_log_probs(recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float) -> Rows:
    """(row, float16 log-probabilities (T, V)) of every utterance, longest first."""
    for batch in sorted_batches([utterance.duration for utterance in utterances], batch_seconds):
        signals = [read_signal(utterances[row], recognizer.sample_rate) for row in batch]
        yield from zip(batch, batch_log_probs(recognizer, signals, [utterances[row].id for row in batch]), strict=True)


def run_network(
    checkpoint_dir: Path, manifest: Sequence[Path], *, hparams_file: Path | None, batch_seconds: float
) -> tuple[PosteriorsMeta, Tokens, Rows]:
    """What manifests hold, a run folder's tokens, and log-probabilities that are computed as they are asked for.

    Raises:
        InputError: the run folder, a manifest or an audio file cannot be used.
    """
    utterances = read_manifests(manifest)
    recognizer = run_folder.load_recognizer(checkpoint_dir, device=pick_device(), hparams_file=hparams_file)
    meta = PosteriorsMeta(
        tuple(utterance.id for utterance in utterances),
        tuple(utterance.duration for utterance in utterances),
        recognizer.tokens.symbols,
        recognizer.frame_seconds,
    )
    return meta, recognizer.tokens, compute_log_probs(recognizer, utterances, batch_seconds)
