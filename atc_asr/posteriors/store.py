"""A file of log-probabilities (float16), written and read one utterance at a time.

The file is an uncompressed zip archive with a `<row>.npy` (T, V) per utterance, and `meta.json` with ids in manifest
order, durations, token symbols and seconds per frame.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter

from atc_asr.core.errors import InputError
from atc_asr.core.outputs import new_file
from atc_asr.tokenizer.tokens import Tokens

META = "meta.json"
MAX_FRAME = 1.0  # seconds
LIKE = r"PK\x03\x04.*?\d{7}\.npy"  # beginning of the file
LOWEST = -1e4  # lower log-probabilities, -inf included, are clipped to this: within float16, sums stay finite
ZIP_HEADER = 30  # bytes before a member's name (APPNOTE.TXT 4.3.7); these members have no extra field
NPY_PREFIX = 10  # bytes before a header: magic, version, size of the header (numpy.lib.format, version 1.0)


@dataclass(frozen=True)
class PosteriorsMeta:
    """Contents of `meta.json`; durations in seconds."""

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)
    ids: tuple[str, ...]
    durations: tuple[Annotated[float, Field(ge=0)], ...]
    symbols: tuple[str, ...]
    frame_seconds: Annotated[float, Field(gt=0, le=MAX_FRAME)]


_META = TypeAdapter(PosteriorsMeta)


def as_stored(log_probs: np.ndarray, name: str) -> np.ndarray:
    """Log-probabilities (T, V) of the utterance `name` as they are stored and searched: float16, at least `LOWEST`.

    Raises:
        InputError: they contain NaN.
    """
    if np.isnan(log_probs).any():
        raise InputError(f"{name}: the log-probabilities contain NaN, wanted a network whose training converged")
    return np.clip(log_probs, LOWEST, 0).astype(np.float16)


def _member(row: int) -> str:
    return f"{row:07d}.npy"


def write_posteriors(path: Path, meta: PosteriorsMeta, rows: Iterable[tuple[int, np.ndarray]]) -> None:
    """Write rows (index into `meta.ids`, log-probabilities (T, V)) in any order; the same input gives the same bytes.

    Raises:
        InputError: there are no utterances.
    """
    if not meta.ids:
        raise InputError(f"{path}: no utterances to write, wanted at least one")
    with new_file(path, LIKE) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for row, log_probs in rows:
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(log_probs, dtype="<f2"))
            archive.writestr(zipfile.ZipInfo(_member(row)), buffer.getvalue())
        archive.writestr(zipfile.ZipInfo(META), json.dumps(asdict(meta), ensure_ascii=False))


class StoredPosteriors:
    """Random access to the rows of a file of `write_posteriors`.

    Rows are read without `zipfile` and `np.load`, because these take as long as a search.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: the file cannot be read or is not of `write_posteriors`.
        """
        try:
            self._file = open(path, "rb")  # noqa: SIM115, open as long as this object
            archive = zipfile.ZipFile(self._file)
            members = {info.filename: info for info in archive.infolist()}
            size = path.stat().st_size
            for info in members.values():
                inside = 0 <= info.header_offset <= info.header_offset + info.file_size <= size
                if info.compress_type != zipfile.ZIP_STORED or not inside:
                    raise ValueError("compressed or incomplete member")
            self.meta = _META.validate_json(archive.read(META))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
            raise InputError(f"{path}: not a file of log-probabilities, wanted one of stages.posteriors") from error
        self._path = path
        self._members = {name: (info.header_offset, info.file_size, info.CRC) for name, info in members.items()}
        meta = self.meta
        if not len(set(meta.ids)) == len(meta.ids) == len(meta.durations) or not meta.ids or not meta.symbols:
            raise InputError(f"{path}: {META}: wanted unique ids with a duration each, and symbols")
        missing = [row for row in range(len(meta.ids)) if _member(row) not in self._members]
        if missing:
            raise InputError(f"{path} (id {meta.ids[missing[0]]}): {len(missing)} of {len(meta.ids)} rows are missing")

    def read(self, row: int) -> np.ndarray:
        """Float16 log-probabilities (T, V) of a row.

        Raises:
            InputError: the row is damaged, or has another shape or type, or numbers that are no log-probabilities.
        """
        where = f"{self._path} (id {self.meta.ids[row]})"
        offset, size, checksum = self._members[_member(row)]
        self._file.seek(offset)
        data = self._file.read(ZIP_HEADER + len(_member(row)) + size)[-size:]
        if zlib.crc32(data) != checksum:
            raise InputError(f"{where}: damaged data, wanted the complete file")
        header_size = int.from_bytes(data[NPY_PREFIX - 2 : NPY_PREFIX], "little")
        width = len(self.meta.symbols)
        num_values, rest = divmod(len(data) - NPY_PREFIX - header_size, 2)
        form = f"'descr': '<f2', 'fortran_order': False, 'shape': ({num_values // width}, {width})"
        if rest or num_values % width or form.encode() not in data[: NPY_PREFIX + header_size]:
            raise InputError(f"{where}: wanted log-probabilities (T, {width}) as float16")
        values = np.frombuffer(data, dtype="<f2", offset=NPY_PREFIX + header_size)
        if values.size and not (np.isfinite(values).all() and values.max() <= 0):
            raise InputError(f"{where}: got NaN, an infinity or numbers above 0, wanted log-probabilities")
        return values.reshape(-1, width)

    def load_tokens(self, checkpoint_dir: Path) -> Tokens:
        """The tokens of the run folder whose network computed the log-probabilities.

        Raises:
            InputError: the folder has no tokens, or tokens that differ from those of the log-probabilities.
        """
        tokens = Tokens.load(checkpoint_dir)
        if self.meta.symbols != tokens.symbols:
            raise InputError(f"{self._path}: computed with other tokens than those of {checkpoint_dir}")
        return tokens
