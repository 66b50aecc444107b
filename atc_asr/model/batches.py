"""Manifest rows -> batches of similar duration.

B utterances, S samples of the longest one, U labels of the longest transcript.
"""

import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import soundfile
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.model.padding import pad_waveforms, padded_seconds
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.training import distributed

PCM16_SCALE = 1 / 2**15
BYTES_PER_SAMPLE = 2
RESIDENT_SHARE = 0.25  # of a GPU's free memory, most that audio may take: the rest is the training's
SPREAD = 0.02  # batches change from epoch to epoch because durations are sorted with this relative error


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
    """A batch sampler: utterances of similar duration together, at most `max_seconds` when padded to the longest.

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


class DistributedBatches:
    """A batch sampler: one process's part of another's batches, see `atc_asr.training.distributed.share`."""

    def __init__(self, sampler: DurationBatches, rank: int, count: int, *, equal: bool) -> None:
        """
        Args:
            sampler: of the batches of all processes.
            rank: the process, from 0.
            count: number of processes.
            equal: as many for each process, at most `count` - 1 batches an epoch left out.
        """
        self._sampler = sampler
        self._part = functools.partial(distributed.share, rank=rank, count=count, equal=equal)
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Make the batches of an epoch."""
        self._batches = self.batches(epoch)

    def batches(self, epoch: int) -> list[list[int]]:
        """Lists of indices of utterances."""
        return self._part(self._sampler.batches(epoch))

    def __iter__(self):
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def padding_fraction(
    durations: Sequence[float],
    batches: Sequence[Sequence[int]],
    padded: Callable[[float], float] = padded_seconds,
) -> float:
    """Share of the padded batches that is padding, in [0, 1).

    Args:
        durations: seconds an utterance.
        batches: indices of utterances.
        padded: seconds of a row by those of the longest utterance.
    """
    total = sum(len(batch) * padded(max(durations[index] for index in batch)) for batch in batches)
    return 1 - sum(durations[index] for batch in batches for index in batch) / total


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
        seconds: audio, padding left out.
    """

    ids: list[str]
    wavs: torch.Tensor
    wav_lens: torch.Tensor
    transcripts: list[str]
    tokens: torch.Tensor
    token_lens: torch.Tensor
    seconds: float

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device; lengths stay on the host, where the CTC loss wants them."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The batch in pages that a device can copy while the processor goes on; DataLoader calls it."""
        return self._with(lambda tensor: tensor if tensor.is_cuda else tensor.pin_memory())

    def _with(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        return replace(self, wavs=change(self.wavs), tokens=change(self.tokens))

    def num_samples(self) -> torch.Tensor:
        """(B,) int64 samples that are audio."""
        return (self.wav_lens * self.wavs.shape[1]).round().long()


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


def collate(items: Sequence[tuple[Utterance, torch.Tensor, list[int]]]) -> Batch:
    """Utterances with their int16 samples and token numbers, as a batch; waveforms where the samples are."""
    wavs, wav_lens = pad_waveforms(*pad([samples for _, samples, _ in items]))
    tokens, token_lens = pad([torch.tensor(numbers, dtype=torch.long) for _, _, numbers in items])
    return Batch(
        ids=[utterance.id for utterance, _, _ in items],
        wavs=wavs.float() * PCM16_SCALE,
        wav_lens=wav_lens,
        transcripts=[utterance.transcript for utterance, _, _ in items],
        tokens=tokens,
        token_lens=token_lens,
        seconds=sum(utterance.duration for utterance, _, _ in items),
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

    def samples(self, index: int) -> torch.Tensor:
        """int16 samples (S,) of an utterance."""
        return torch.from_numpy(read_wav(self.utterances[index], self._sample_rate))

    def __getitem__(self, index: int) -> tuple[Utterance, torch.Tensor, list[int]]:
        utterance = self.utterances[index]
        return utterance, self.samples(index), self._encode(utterance.transcript)

    def audio_bytes(self) -> int:
        """Size of all the samples in memory."""
        return sum(round(row.duration * self._sample_rate) for row in self.utterances) * BYTES_PER_SAMPLE


class CachedDataset(ManifestDataset):
    """The utterances of manifests, all their audio in one int16 tensor on a device: batches are cut out of it there."""

    def __init__(self, dataset: ManifestDataset, device: torch.device) -> None:
        super().__init__(dataset.utterances, sample_rate=dataset._sample_rate, encode=dataset._encode)
        shown = sys.stderr.isatty() and distributed.rank() == 0
        parts = [
            dataset.samples(index)
            for index in tqdm(range(len(dataset)), "audio into memory", disable=not shown, leave=False)
        ]
        self._ends = list(itertools.accumulate(len(part) for part in parts))
        self._samples = torch.cat(parts).to(device)

    def samples(self, index: int) -> torch.Tensor:
        """int16 samples (S,) of an utterance, a view."""
        return self._samples[self._ends[index - 1] if index else 0 : self._ends[index]]


def cache_audio(dataset: ManifestDataset, *, max_bytes: int, device: torch.device) -> ManifestDataset:
    """The data set with its audio in memory when that is at most `max_bytes`; on the device where there is room."""
    needed = dataset.audio_bytes()
    if needed > max_bytes:
        return dataset
    if device.type == "cuda" and needed > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        device = torch.device("cpu")
    return CachedDataset(dataset, device)


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
