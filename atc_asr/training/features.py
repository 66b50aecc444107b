"""Features of a training set that are computed once and kept in memory from epoch to epoch.

B utterances, T 10 ms steps, F mel bands.
"""

import math

import torch
import torch.nn.functional as F
from speechbrain.lobes.features import Fbank

from atc_asr.model.batches import BYTES_PER_SAMPLE, Batch, CachedDataset, ManifestDataset
from atc_asr.model.padding import count_steps
from atc_asr.training.params import AugmentParams

BYTES = 4  # of a float32


def can_cache(
    compute_features: torch.nn.Module, dataset: ManifestDataset, augment: AugmentParams, max_bytes: int
) -> bool:
    """Whether every epoch's features are the same, and fit beside the audio in `max_bytes`."""
    if not isinstance(compute_features, Fbank) or compute_features.deltas or compute_features.context:
        return False
    if augment.speeds != [100] or augment.radio_fraction or not isinstance(dataset, CachedDataset):
        return False
    if any(weight.requires_grad for weight in compute_features.parameters()):
        return False
    num_samples = dataset.audio_bytes() // BYTES_PER_SAMPLE
    num_steps = num_samples / compute_features.compute_STFT.hop_length
    return dataset.audio_bytes() + num_steps * compute_features.compute_fbanks.n_mels * BYTES <= max_bytes


class CachedFeatures:
    """Features of batches, put together from those of their utterances.

    An utterance is computed alone, so what is kept does not depend on the batch that asked first. It has some silence
    behind it: every step that sees silence alone has the same features, which stand for a batch's padding.
    """

    def __init__(self, compute_features: Fbank) -> None:
        self._compute = compute_features
        self._hop = compute_features.compute_STFT.hop_length  # samples
        self._silent_steps = math.ceil(compute_features.compute_STFT.n_fft / 2 / self._hop) + 1
        self._kept: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> torch.Tensor:
        """Features (B, T, F), as `compute_features(batch.wavs)` gives them."""
        for name, wav, share in zip(batch.ids, batch.wavs, batch.wav_lens.tolist(), strict=True):
            if name not in self._kept:
                num_samples = round(share * len(wav))
                padded = F.pad(wav[:num_samples], (0, self._silent_steps * self._hop))
                self._kept[name] = self._compute(padded[None])[0]
        parts = [self._kept[name] for name in batch.ids]
        num_steps = count_steps(batch.wavs.shape[1])
        features = parts[0].new_empty(len(parts), num_steps, parts[0].shape[1])
        for row, part in zip(features, parts, strict=True):
            row[: len(part)] = part[:num_steps]
            row[len(part) :] = part[-1]
        return features
