"""Manifest rows -> batches of similar duration.

B utterances, S samples of the longest one, U labels of the longest transcript.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import soundfile
import torch
from torch.utils.data import Dataset

from asr.corpus.manifest import Utterance
from asr.errors import InputError
from asr.model.tokens import Tokens

PCM16_SCALE = 1 / 2**15
SPREAD = 0.03  # batches change from epoch to epoch because durations are sorted with this relative error


def pack(durations: Sequence[float], max_seconds: float) -> list[list[int]]:
    """Indices in their given order, cut where number x longest would exceed `max_seconds`."""
    batches: list[list[int]] = []
    longest = 0.0
    for index, duration in enumerate(durations):
        longest = max(longest, duration)
        if not batches or (len(batches[-1]) + 1) * longest > max_seconds:
            batches.append([])
            longest = duration
        batches[-1].append(index)
    return batches


class DurationBatches:
    """A batch sampler: utterances of similar duration together, at most `max_seconds` with their padding.

    The batches of an epoch follow from the seed and the epoch's number alone.
    """

    def __init__(self, durations: Sequence[float], *, max_seconds: float, seed: int | None) -> None:
        """
        Args:
            durations: seconds an utterance.
            max_seconds: number of utterances x longest duration of a batch; at least the longest duration.
            seed: of the shuffling; None keeps the batches sorted from long to short.
        """
        self._durations = np.asarray(durations)
        self._max_seconds = max_seconds
        self._seed = seed
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Make the batches of an epoch."""
        self._batches = self.batches(epoch)

    def batches(self, epoch: int) -> list[list[int]]:
        """Lists of indices into `durations`."""
        keys = self._durations
        if self._seed is not None:
            random = np.random.default_rng((self._seed, epoch))
            keys = keys * random.uniform(1 - SPREAD, 1 + SPREAD, size=len(keys))
        order = np.argsort(-keys, kind="stable")
        batches = [order[batch].tolist() for batch in pack(self._durations[order], self._max_seconds)]
        if self._seed is not None:
            random.shuffle(batches)
        return batches

    def __iter__(self):
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def padding_share(durations: Sequence[float], batches: Sequence[Sequence[int]]) -> float:
    """Share of the padded batches that is padding, in [0, 1)."""
    padded = sum(len(batch) * max(durations[index] for index in batch) for batch in batches)
    return 1 - sum(durations[index] for batch in batches for index in batch) / padded


@dataclass(frozen=True)
class Batch:
    """What the network is given.

    Attributes:
        ids: B identifiers.
        wavs: (B, S) float32 in [-1, 1), zeros behind an utterance's end.
        wav_lens: (B,) share of S that is audio.
        transcripts: B normalised texts.
        tokens: (B, U) token numbers, 0 behind a text's end.
        token_lens: (B,) share of U that is text.
    """

    ids: list[str]
    wavs: torch.Tensor
    wav_lens: torch.Tensor
    transcripts: list[str]
    tokens: torch.Tensor
    token_lens: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The batch with its tensors on a device."""
        tensors = ("wavs", "wav_lens", "tokens", "token_lens")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in tensors})


def read_wav(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """Samples of a manifest's WAV, int16 (S,).

    Raises:
        InputError: the file cannot be read or is not mono at `sample_rate`.
    """
    try:
        samples, rate = soundfile.read(utterance.wav, dtype="int16")
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{utterance.wav} (id {utterance.id}): cannot be read as audio: {error}") from error
    if rate != sample_rate or samples.ndim != 1:
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        wanted = f"wanted mono at {sample_rate} Hz"
        raise InputError(f"{utterance.wav} (id {utterance.id}): got {channels} channels at {rate} Hz, {wanted}")
    return samples


def pad(sequences: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of different sizes as one tensor, zeros behind each, and their relative lengths (B,)."""
    padded = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    sizes = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.float32)
    return padded, sizes / max(1, padded.shape[1])


def collate(items: Sequence[tuple[Utterance, np.ndarray, list[int]]]) -> Batch:
    """Utterances with their int16 samples and token numbers, as a batch."""
    wavs, wav_lens = pad([torch.from_numpy(samples) for _, samples, _ in items])
    tokens, token_lens = pad([torch.tensor(numbers, dtype=torch.long) for _, _, numbers in items])
    return Batch(
        ids=[utterance.id for utterance, _, _ in items],
        wavs=wavs.float() * PCM16_SCALE,
        wav_lens=wav_lens,
        transcripts=[utterance.transcript for utterance, _, _ in items],
        tokens=tokens,
        token_lens=token_lens,
    )


class ManifestDataset(Dataset):
    """The utterances of manifests, audio read when asked for."""

    def __init__(
        self, utterances: Sequence[Utterance], *, sample_rate: int, encode: Callable[[str], list[int]]
    ) -> None:
        self.utterances = list(utterances)
        self._sample_rate = sample_rate
        self._encode = encode

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> tuple[Utterance, np.ndarray, list[int]]:
        utterance = self.utterances[index]
        return utterance, read_wav(utterance, self._sample_rate), self._encode(utterance.transcript)


def needed_frames(numbers: Sequence[int]) -> int:
    """Fewest frames a CTC path through these tokens has: one each, and a blank between equal neighbours
    (Graves et al. 2006, section 3)."""
    return len(numbers) + sum(left == right for left, right in itertools.pairwise(numbers))


def known_tokens(tokens: Tokens, text: str) -> list[int]:
    """Token numbers of a held-out text without the characters that training never saw."""
    unknown = tokens.unknown(text)
    if unknown and tokens.kind == "char":
        text = "".join(character for character in text if character not in unknown)
    elif unknown:
        return []
    return tokens.encode(text)
