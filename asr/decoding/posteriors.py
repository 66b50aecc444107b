"""Log-probabilities of the network: computed in batches, stored as float16, read back one utterance at a time.

The file is an uncompressed zip whose members are written as they come, so memory stays flat:
one `<row>.npy` (T, V) an utterance, and `meta.json` (ids in manifest order, durations, symbols, seconds per frame).
"""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from asr.atomic import new_file
from asr.corpus.manifest import Utterance
from asr.errors import InputError
from asr.params import option

META = "meta.json"
LOWEST = -1e4  # a float16 that still adds up over frames, for probabilities that underflow
SHORTEST_SECONDS = 0.1  # shorter input is padded with silence: the front-end's strides need some frames


@dataclass(frozen=True)
class PosteriorsParams:
    """Section `posteriors`."""

    section: ClassVar[str] = "posteriors"
    batch_seconds: float = option("audio per batch of the network, padding included, seconds", above=0)


class Recognizer(Protocol):
    """What this wing needs of a trained network (`asr.model.run_folder`)."""

    frame_seconds: float
    sample_rate: int

    def log_probs(self, wavs: np.ndarray, wav_lens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, S) samples and relative lengths (B,) -> log-probabilities (B, T, V) and frames (B,)."""


@dataclass(frozen=True)
class PosteriorsMeta:
    """What a stored split says about itself; durations in seconds."""

    ids: tuple[str, ...]
    durations: tuple[float, ...]
    symbols: tuple[str, ...]
    frame_seconds: float


def make_batches(durations: Sequence[float], batch_seconds: float) -> list[list[int]]:
    """Rows sorted by length, longest first, cut where the padded batch would exceed `batch_seconds`."""
    order = sorted(range(len(durations)), key=lambda row: (-durations[row], row))
    batches: list[list[int]] = []
    for row in order:
        if not batches or (len(batches[-1]) + 1) * durations[batches[-1][0]] > batch_seconds:
            batches.append([])
        batches[-1].append(row)
    return batches


def read_signal(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """Mono float32 samples (S,) of an utterance, read as training reads them.

    Raises:
        InputError: the file cannot be read, is empty, or has another rate or several channels.
    """
    from asr.model.batches import PCM16_SCALE, read_wav

    samples = read_wav(utterance, sample_rate)
    if len(samples) == 0:
        raise InputError(f"{utterance.wav} (id {utterance.id}): holds no samples, wanted speech")
    return samples.astype(np.float32) * PCM16_SCALE


def pad(signals: Sequence[np.ndarray], shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """Signals as one array (B, S), S at least `shortest`, with relative lengths (B,)."""
    longest = max(shortest, *(len(signal) for signal in signals))
    wavs = np.zeros((len(signals), longest), dtype=np.float32)
    for row, signal in enumerate(signals):
        wavs[row, : len(signal)] = signal
    return wavs, np.array([len(signal) / longest for signal in signals], dtype=np.float32)


def batch_log_probs(recognizer: Recognizer, signals: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Float16 log-probabilities (T, V) of each signal (S,), computed as one batch.

    Raises:
        InputError: the network's answer is not finite.
    """
    import torch

    wavs, wav_lens = pad(signals, round(SHORTEST_SECONDS * recognizer.sample_rate))
    with torch.no_grad():
        log_probs, num_frames = recognizer.log_probs(torch.from_numpy(wavs), torch.from_numpy(wav_lens))
        log_probs = log_probs.float().cpu().numpy()
    results = []
    for name, row, frames in zip(names, log_probs, num_frames.tolist(), strict=True):
        if np.isnan(row[:frames]).any():
            raise InputError(f"{name}: the network's log-probabilities hold NaN, wanted a run that has not diverged")
        results.append(np.clip(row[:frames], LOWEST, 0).astype(np.float16))
    return results


def compute_log_probs(
    recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float
) -> Iterator[tuple[int, np.ndarray]]:
    """(row, float16 log-probabilities (T, V)) of every utterance, longest first."""
    for batch in make_batches([utterance.duration for utterance in utterances], batch_seconds):
        signals = [read_signal(utterances[row], recognizer.sample_rate) for row in batch]
        yield from zip(batch, batch_log_probs(recognizer, signals, [utterances[row].id for row in batch]), strict=True)


def _member(row: int) -> str:
    return f"{row:07d}.npy"


def write_posteriors(path: Path, meta: PosteriorsMeta, rows: Iterable[tuple[int, np.ndarray]]) -> None:
    """Store log-probabilities as they come; the same input gives the same bytes.

    Raises:
        InputError: there is nothing to store.
    """
    if not meta.ids:
        raise InputError(f"{path}: no utterances to store")
    with new_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for row, log_probs in rows:
            buffer = io.BytesIO()
            np.save(buffer, log_probs)
            archive.writestr(zipfile.ZipInfo(_member(row)), buffer.getvalue())
        content = {
            "ids": meta.ids,
            "durations": meta.durations,
            "symbols": meta.symbols,
            "frame_seconds": meta.frame_seconds,
        }
        archive.writestr(zipfile.ZipInfo(META), json.dumps(content, ensure_ascii=False))


class StoredPosteriors:
    """A file of `write_posteriors`, opened; rows are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: the file is missing, cut or of another kind.
        """
        try:
            self._archive = zipfile.ZipFile(path)
            content = json.loads(self._archive.read(META))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: is no file of stored log-probabilities (stages.posteriors)") from error
        self.meta = PosteriorsMeta(
            tuple(content["ids"]), tuple(content["durations"]), tuple(content["symbols"]), content["frame_seconds"]
        )

    def read(self, row: int) -> np.ndarray:
        """Float16 log-probabilities (T, V) of one row."""
        return np.load(io.BytesIO(self._archive.read(_member(row))))

    def rows(self) -> Iterator[tuple[int, np.ndarray]]:
        """Every row, in manifest order."""
        for row in range(len(self.meta.ids)):
            yield row, self.read(row)
