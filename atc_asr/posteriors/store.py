"""Log-probabilities of the network: stored as float16, read back one utterance at a time.

The file is an uncompressed zip whose members are written as they come, so memory stays flat:
one `<row>.npy` (T, V) an utterance, and `meta.json` (ids in manifest order, durations, symbols, seconds per frame).
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atc_asr.core.errors import InputError
from atc_asr.core.files import new_file

META = "meta.json"
ZIP_HEADER = 30  # bytes before a member's name (APPNOTE.TXT 4.3.7); these have no extra field
NPY_PREFIX = 10  # bytes before a header: magic, version, the header's size (numpy.lib.format, version 1.0)


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
            np.save(buffer, np.ascontiguousarray(log_probs, dtype="<f2"))
            archive.writestr(zipfile.ZipInfo(_member(row)), buffer.getvalue())
        content = {
            "ids": meta.ids,
            "durations": meta.durations,
            "symbols": meta.symbols,
            "frame_seconds": meta.frame_seconds,
        }
        archive.writestr(zipfile.ZipInfo(META), json.dumps(content, ensure_ascii=False))


class StoredPosteriors:
    """A file of `write_posteriors`, opened; rows are read when they are asked for.

    Its members are read here and not through `zipfile` and `np.load`, whose parsing takes as long as a search.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: the file is missing, cut or of another kind.
        """
        try:
            self._file = open(path, "rb")  # noqa: SIM115, open as long as this object
            archive = zipfile.ZipFile(self._file)
            content = json.loads(archive.read(META))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: is no file of stored log-probabilities (stages.posteriors)") from error
        self._path = path
        self._members = {info.filename: (info.header_offset, info.file_size, info.CRC) for info in archive.infolist()}
        self.meta = PosteriorsMeta(
            tuple(content["ids"]), tuple(content["durations"]), tuple(content["symbols"]), content["frame_seconds"]
        )

    def read(self, row: int) -> np.ndarray:
        """Float16 log-probabilities (T, V) of one row.

        Raises:
            InputError: the row is damaged.
        """
        offset, size, checksum = self._members[_member(row)]
        self._file.seek(offset)
        data = self._file.read(ZIP_HEADER + len(_member(row)) + size)[-size:]
        if zlib.crc32(data) != checksum:
            raise InputError(f"{self._path} (id {self.meta.ids[row]}): is damaged, wanted a whole file")
        header_size = int.from_bytes(data[NPY_PREFIX - 2 : NPY_PREFIX], "little")
        values = np.frombuffer(data, dtype="<f2", offset=NPY_PREFIX + header_size)
        return values.reshape(-1, len(self.meta.symbols))
