"""Batches of similar duration from the rows of manifests.

B utterances, S samples of the longest one, U labels of the longest transcript.
"""

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from speechbrain.utils.distributed import if_main_process
from torch.utils.data import Dataset
from tqdm import tqdm

from atc_asr.core.audio_files import AudioError, read_samples
from atc_asr.core.corpora import corpus_of
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.model.network import pad_waveforms, padded_seconds
from atc_asr.tokenizer.tokens import Tokens

PCM16_SCALE = 1 / 2**15
BYTES_PER_SAMPLE = 2
MAX_CACHE_FRACTION = 0.25  # largest fraction of a GPU's free memory that audio may take
SORT_NOISE = 0.02  # relative error with which durations are sorted, so that the batches of epochs differ

Draw = Callable[[int], np.ndarray]  # epoch -> (N,) indices of its utterances


def make_batches(
    durations: Sequence[float] | np.ndarray, max_seconds: float, sort_keys: np.ndarray | None = None
) -> list[list[int]]:
    """Put utterances of similar duration into batches, longest first.

    Args:
        durations: of the utterances, in seconds.
        max_seconds: largest number of utterances x longest duration of a batch. A longer utterance is a batch alone.
        sort_keys: numbers by which the utterances are sorted, highest first; None for `durations`.

    Returns:
        The indices of each batch's utterances.
    """
    batches: list[list[int]] = []
    longest = 0.0
    order = np.argsort(-np.asarray(durations if sort_keys is None else sort_keys), kind="stable")
    for index in order.tolist():
        longest = max(longest, durations[index])
        if not batches or (len(batches[-1]) + 1) * longest > max_seconds:
            batches.append([])
            longest = durations[index]
        batches[-1].append(index)
    return batches


class DurationBatches:
    """A batch sampler of `make_batches`. The batches of an epoch depend only on its number and the seed.

    Without a seed, the batches stay sorted from long to short. `draw` gives the utterances of an epoch; None = all,
    each once.
    """

    def __init__(
        self, durations: Sequence[float], *, max_seconds: float, seed: int | None, draw: Draw | None = None
    ) -> None:
        self._durations = np.asarray(durations)
        self._max_seconds = max_seconds
        self._seed = seed
        self._draw = draw or (lambda _: np.arange(len(self._durations)))
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Make the batches of an epoch the current ones."""
        self._batches = self.batches(epoch)

    def batches(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch as lists of indices into `durations`."""
        if self._seed is None:
            return make_batches(self._durations, self._max_seconds)
        drawn = self._draw(epoch)
        durations = self._durations[drawn]
        random = np.random.default_rng((self._seed, epoch))
        noise = random.uniform(1 - SORT_NOISE, 1 + SORT_NOISE, size=len(drawn))
        batches = make_batches(durations, self._max_seconds, durations * noise)
        random.shuffle(batches)
        return [drawn[batch].tolist() for batch in batches]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def padding_fraction(
    durations: Sequence[float], batches: Sequence[Sequence[int]], padded: Callable[[float], float] = padded_seconds
) -> float:
    """Fraction of the padded batches that is padding, in [0, 1).

    `durations` are seconds; `padded` gives the duration of a batch from that of its longest utterance.
    """
    total = sum(len(batch) * padded(max(durations[index] for index in batch)) for batch in batches)
    return 1 - sum(durations[index] for batch in batches for index in batch) / total


@dataclass(frozen=True)
class Batch:
    """A padded batch of utterances.

    Attributes:
        ids: B identifiers.
        wavs: (B, S) float32 in [-1, 1), zeros behind an utterance's end.
        wav_lens: (B,) relative lengths: fraction of S that is audio.
        transcripts: B normalised texts.
        tokens: (B, U) token numbers, padded with 0.
        token_lens: (B,) relative lengths: fraction of U that is text.
        seconds: duration of the audio without padding.
        corpora: B names of the corpora, "" without one.
    """

    ids: list[str]
    wavs: torch.Tensor
    wav_lens: torch.Tensor
    transcripts: list[str]
    tokens: torch.Tensor
    token_lens: torch.Tensor
    seconds: float
    corpora: list[str]

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to a device. Lengths stay on the CPU, where the CTC loss needs them."""
        wavs, tokens = (tensor.to(device, non_blocking=True) for tensor in (self.wavs, self.tokens))
        return replace(self, wavs=wavs, tokens=tokens)

    def pin_memory(self) -> "Batch":
        """Copy a batch on the CPU to pinned memory; called by DataLoader."""
        return replace(self, wavs=self.wavs.pin_memory(), tokens=self.tokens.pin_memory())

    def num_samples(self) -> torch.Tensor:
        """(B,) int64 samples that are audio."""
        return (self.wav_lens * self.wavs.shape[1]).round().long()


def read_wav(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """Read the audio of an utterance as int16 samples (S,).

    Raises:
        InputError: the file cannot be read, is empty or is not mono at `sample_rate`.
    """
    try:
        samples, rate = read_samples(utterance.wav, "int16")
    except AudioError as error:
        raise InputError(f"{utterance.wav} (id {utterance.id}): cannot be read as audio: {error}") from error
    if len(samples) == 0:
        raise InputError(f"{utterance.wav} (id {utterance.id}): no samples, wanted speech")
    if rate != sample_rate or samples.shape[1] != 1:
        got = f"got {samples.shape[1]} channels at {rate} Hz"
        raise InputError(f"{utterance.wav} (id {utterance.id}): {got}, wanted mono at {sample_rate} Hz")
    return samples[:, 0]


def pad(sequences: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad sequences with zeros to one tensor; returns it with the relative lengths (B,)."""
    padded = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    sizes = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.float32)
    return padded, sizes / max(1, padded.shape[1])


def collate(items: Sequence[tuple[Utterance, torch.Tensor, list[int]]]) -> Batch:
    """Make a batch of utterances with their int16 samples and token numbers, on the device of the samples."""
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
        corpora=[corpus_of(utterance) for utterance, _, _ in items],
    )


class ManifestDataset(Dataset):
    """A data set of utterances whose audio is read from disk when requested."""

    def __init__(
        self, utterances: Sequence[Utterance], *, sample_rate: int, encode: Callable[[str], list[int]]
    ) -> None:
        self.utterances = list(utterances)
        self._sample_rate = sample_rate
        self._encode = encode

    def __len__(self) -> int:
        return len(self.utterances)

    def samples(self, index: int) -> torch.Tensor:
        """The int16 samples (S,) of an utterance."""
        return torch.from_numpy(read_wav(self.utterances[index], self._sample_rate))

    def __getitem__(self, index: int) -> tuple[Utterance, torch.Tensor, list[int]]:
        utterance = self.utterances[index]
        return utterance, self.samples(index), self._encode(utterance.transcript)

    def audio_bytes(self) -> int:
        """Number of bytes of all int16 samples."""
        return sum(round(row.duration * self._sample_rate) for row in self.utterances) * BYTES_PER_SAMPLE


class CachedDataset(ManifestDataset):
    """A data set whose audio is kept in one int16 tensor on a device."""

    def __init__(self, dataset: ManifestDataset, device: torch.device) -> None:
        super().__init__(dataset.utterances, sample_rate=dataset._sample_rate, encode=dataset._encode)
        shown = sys.stderr.isatty() and if_main_process()
        indices = tqdm(range(len(dataset)), "audio into memory", disable=not shown, leave=False)
        parts = [dataset.samples(index) for index in indices]
        self._ends = list(itertools.accumulate(len(part) for part in parts))
        self._samples = torch.cat(parts).to(device)

    def samples(self, index: int) -> torch.Tensor:
        """The int16 samples (S,) of an utterance, a view."""
        return self._samples[self._ends[index - 1] if index else 0 : self._ends[index]]


def cache_audio(dataset: ManifestDataset, *, max_bytes: int, device: torch.device) -> ManifestDataset:
    """Keep the audio of a data set on a device, or on the CPU if a GPU has too little memory, up to `max_bytes`."""
    needed = dataset.audio_bytes()
    if needed > max_bytes:
        return dataset
    if device.type == "cuda" and needed > MAX_CACHE_FRACTION * torch.cuda.mem_get_info(device)[0]:
        device = torch.device("cpu")
    return CachedDataset(dataset, device)


def needed_frames(numbers: Sequence[int]) -> int:
    """Length of the shortest CTC path: a frame per token and one between equal neighbours (Graves et al. 2006)."""
    return len(numbers) + sum(left == right for left, right in itertools.pairwise(numbers))


def known_tokens(tokens: Tokens, text: str) -> list[int]:
    """Token numbers of a validation text, without characters that are no tokens; none if a piece is unknown."""
    unknown = tokens.unknown(text)
    if unknown and tokens.kind == "spm":
        return []
    return tokens.encode("".join(character for character in text if character not in unknown))
