"""Log-probabilities of the network: stored as float16, read back one utterance at a time.

The file is an uncompressed zip whose members are written as they come, so memory stays flat:
one `<row>.npy` (T, V) an utterance, and `meta.json` (ids in manifest order, durations, symbols, seconds per frame).
"""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from asr.atomic import new_file
from asr.errors import InputError
from asr.params import option

META = "meta.json"


@dataclass(frozen=True)
class PosteriorsParams:
    """Section `posteriors`."""

    section: ClassVar[str] = "posteriors"
    batch_seconds: float = option("audio per batch of the network, padding included, seconds", above=0)


@dataclass(frozen=True)
class PosteriorsMeta:
    """What a stored split says about itself; durations in seconds."""

    ids: tuple[str, ...]
    durations: tuple[float, ...]
    symbols: tuple[str, ...]
    frame_seconds: float


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
