"""Forward pass over many utterances: audio -> log-probabilities, in batches of similar duration.

S samples, T encoder frames, V tokens.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from atc_asr.core.manifest import Utterance, read_manifests
from atc_asr.model import run_folder
from atc_asr.model.batches import PCM16_SCALE, make_batches, pad, read_wav
from atc_asr.model.network import pad_waveforms, pick_device
from atc_asr.model.run_folder import Recognizer
from atc_asr.posteriors.store import PosteriorsMeta, as_stored
from atc_asr.tokenizer.tokens import Tokens

Rows = Iterator[tuple[int, np.ndarray]]
GPU_BATCHES = 4  # a GPU's batch is so many times as long as a CPU's; an H200 takes 78 ms for 240 s, 57 ms for 60 s


def read_signal(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """Mono float32 samples (S,) of an utterance, scaled as in training.

    Raises:
        InputError: the file cannot be read, is empty, or has another sample rate or several channels.
    """
    return read_wav(utterance, sample_rate).astype(np.float32) * PCM16_SCALE


@torch.inference_mode()
def batch_log_probs(recognizer: Recognizer, signals: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Compute the float16 log-probabilities (T, V) of float32 mono signals (S,) as one batch; `names` are for messages.

    Raises:
        InputError: the log-probabilities contain NaN.
    """
    wavs, wav_lens = pad_waveforms(*pad([torch.from_numpy(signal) for signal in signals]))
    log_probs, num_frames = recognizer.log_probs(wavs, wav_lens)
    rows = zip(names, log_probs.float().cpu().numpy(), num_frames.tolist(), strict=True)
    return [as_stored(row[:frames], name) for name, row, frames in rows]


def device_batch(batch_seconds: float, device: torch.device) -> float:
    """Audio of a batch on a device, in seconds, for `posteriors.batch_seconds`."""
    return batch_seconds * (GPU_BATCHES if device.type == "cuda" else 1)


def compute_log_probs(recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float) -> Rows:
    """(index, float16 log-probabilities (T, V)) of every utterance, longest first."""
    for batch in make_batches([utterance.duration for utterance in utterances], batch_seconds):
        signals = [read_signal(utterances[index], recognizer.sample_rate) for index in batch]
        names = [utterances[index].id for index in batch]
        yield from zip(batch, batch_log_probs(recognizer, signals, names), strict=True)


def run_network(
    checkpoint_dir: Path,
    manifest: Sequence[Path],
    *,
    batch_seconds: float,
    hparams_file: Path | None = None,
    trust: bool = False,
) -> tuple[PosteriorsMeta, Tokens, Rows]:
    """Load a run folder's network and run it over manifests, in batches of `device_batch` including padding.

    `hparams_file` and `trust` are those of `load_recognizer`.

    Returns:
        Description of the utterances, tokens of the network, and an iterator that computes the log-probabilities.

    Raises:
        InputError: the run folder, a manifest or an audio file cannot be used.
    """
    utterances = read_manifests(manifest)
    device = pick_device()
    recognizer = run_folder.load_recognizer(checkpoint_dir, device=device, hparams_file=hparams_file, trust=trust)
    meta = PosteriorsMeta(
        ids=tuple(utterance.id for utterance in utterances),
        durations=tuple(utterance.duration for utterance in utterances),
        symbols=recognizer.tokens.symbols,
        frame_seconds=recognizer.frame_seconds,
    )
    return meta, recognizer.tokens, compute_log_probs(recognizer, utterances, device_batch(batch_seconds, device))
