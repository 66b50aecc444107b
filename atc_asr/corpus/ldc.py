"""Reads ATC0 as the LDC distributes it (LDC94S14A and its parts B, C, D): whole tapes and their transcripts.

    .../audio/<tape>.sph        NIST SPHERE, 8 kHz, 16 bit, one or two channels, one or two hours
    .../transcripts/<tape>.txt  Lisp lists, one per transmission:
        ((FROM DAL13-1) (NUM D1-1-0001) (TO AAL1581) (TEXT TURN LEFT WE (QUOTE LL) CALL) (TIMES 12.34 15.67))

Files may be compressed (.gz). Each transmission becomes a clip, cut by its TIMES. Only this distribution of ATC0 has
speaker and receiver.
Formats: documentation of https://catalog.ldc.upenn.edu/LDC94S14A; SPHERE: NIST's SPeech HEader REsources.
"""

import io
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import soundfile as sf

from atc_asr.core import messages
from atc_asr.core.audio_files import error_reason
from atc_asr.core.errors import InputError
from atc_asr.corpus import conventions
from atc_asr.corpus.checks import MAX_CHANNELS
from atc_asr.corpus.segments import by_name, config_folder, find_files, only_split, plain_name, read_bytes
from atc_asr.corpus.source import Clip, Shard

log = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".sph", ".wav", ".sph.gz", ".wav.gz")  # one tape is a SPHERE file named .wav
# Some tapes of ATC0 state the wrong byte order. It is wrong when swapping the bytes makes the sum of the absolute
# differences of neighbouring samples this many times smaller.
BYTE_ORDER_RATIO = 2.0
BYTE_ORDER_SAMPLES = 1 << 18  # samples at the start of a tape that are compared
_TOKEN = re.compile(r'"[^"]*"|[()]|[^\s()"]+|"')


@dataclass(frozen=True)
class TapeTransmission:
    """One list of a transcript, from its line number; `start` and `end` in seconds, None where TIMES is invalid."""

    line: int
    sender: str
    receiver: str
    text: str
    start: float | None
    end: float | None
    problem: str | None


@dataclass(frozen=True)
class LdcSource:
    """Clips of tapes. All are in one split, because the LDC defines none; `export.split_by: tape` makes them."""

    tapes: tuple[tuple[str, str, str], ...]  # (name, audio file, transcript file), sorted by name
    split: str

    def identity(self) -> dict[str, Any]:
        """Size and modification time of each tape."""
        stats = {name: Path(audio).stat() for name, audio, _ in self.tapes}
        return {"corpus": "ldc", "tapes": {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}}

    def shards(self) -> list[Shard]:
        """One shard for each tape; a tape without transmissions counts as one clip that is left out."""
        items = ((tape, audio, list(read_transcript(Path(path)))) for tape, audio, path in self.tapes)
        return [Shard(self.split, index, item, max(1, len(item[2]))) for index, item in enumerate(items)]

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The transmissions of a tape.

        Raises:
            InputError: the tape is not a readable SPHERE file.
        """
        tape, audio, transmissions = shard.items
        if not transmissions:
            yield Clip(tape, None, None, None, {"tape": tape}, left_out="empty_transcript")
            return
        with open_sphere(Path(audio)) as file:
            swap = has_wrong_byte_order(file)
            if swap:
                log.warning(messages.WRONG_BYTE_ORDER, audio)
            for transmission in transmissions:
                yield to_clip(tape, transmission, file, swap)


def open_ldc(corpus: str, config: str, *, splits: Mapping[str, str | None] = MappingProxyType({})) -> LdcSource:
    """Find the tapes under `<corpus>/<config>`, or under `corpus` where that folder does not exist.

    A text without transmissions and without tape, such as a readme file, is passed over.

    Raises:
        InputError: there are no transcripts, or a transcript has no tape.
    """
    folder = config_folder(corpus, config)
    audio = by_name(find_files(folder, *AUDIO_SUFFIXES))
    tapes = []
    for transcript in find_files(folder, ".txt", ".txt.gz"):
        if transcript.parent.name.lower() == "transcripts":
            tape = plain_name(transcript).lower()
            if tape in audio:
                tapes.append((tape, str(audio[tape]), str(transcript)))
            elif next(read_transcript(transcript), None):
                raise InputError(f"{transcript}: has no tape, wanted {tape}.sph under {folder}")
    if not tapes:
        raise InputError(f"{folder}: has no transcripts, wanted transcripts/<tape>.txt beside audio/<tape>.sph")
    return LdcSource(tuple(sorted(tapes)), only_split(splits))


def to_clip(tape: str, transmission: TapeTransmission, file: sf.SoundFile, swap: bool) -> Clip:
    """Cut one transmission out of its tape; `swap` swaps the bytes of its samples."""
    # The names of controllers have a hyphen or an underscore (DAL13-1), call signs have none.
    is_controller = re.search(r"[-_]", transmission.sender)
    columns = {
        "tape": tape,
        "speaker": transmission.sender,
        "role": "controller" if is_controller else "pilot",
        "callsign": transmission.receiver if is_controller else transmission.sender,
    }
    start, end, problem = transmission.start, transmission.end, transmission.problem
    if start is None or end is None:
        return Clip(f"{tape}_line{transmission.line:06d}", None, None, transmission.text, columns, problem)
    # The times in the id are in hundredths of a second.
    clip_id = f"{tape}_{round(start * 100):06d}_{round(end * 100):06d}"
    first, last = round(start * file.samplerate), round(end * file.samplerate)
    if not 0 <= first < last <= file.frames:
        length = file.frames / file.samplerate
        problem = f"line {transmission.line}: TIMES {start:g} {end:g} are not within the tape of {length:.2f} s"
    if problem:
        return Clip(clip_id, None, None, transmission.text, columns, problem)
    file.seek(first)
    samples = file.read(last - first, dtype="int16")
    return Clip(clip_id, samples.byteswap() if swap else samples, file.samplerate, transmission.text, columns)


def read_transcript(path: Path) -> Iterator[TapeTransmission]:
    """The transmissions of a transcript; tape headers, tape tails and comments are skipped.

    Raises:
        InputError: the file cannot be read.
    """
    content = read_bytes(path).decode("latin-1")
    # An outer list begins with `((` at the start of a line, so that a missing bracket affects one list only.
    starts = [match.start() for match in re.finditer(r"^[ \t]*\([ \t\r\n]*\(", content, re.MULTILINE)]
    for start, end in pairwise([*starts, len(content)]):
        tree, closed = _parse(_TOKEN.findall(content[start:end]))
        fields = {item[0].upper(): item[1:] for item in tree if isinstance(item, list) and _begins_with_word(item)}
        if "TEXT" in fields or "TIMES" in fields:
            yield _transmission(content.count("\n", 0, start) + 1, fields, closed)


def _parse(tokens: list[str]) -> tuple[list, bool]:
    """The first list of a token sequence as nested lists, and whether its closing bracket is there."""
    stack: list[list] = [[]]
    for token in tokens:
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
            if len(stack) == 1:
                return done, True
        else:
            stack[-1].append(token)
    while len(stack) > 1:
        done = stack.pop()
        stack[-1].append(done)
    return stack[0][0], False


def _begins_with_word(item: list) -> bool:
    return bool(item) and isinstance(item[0], str)


def _transmission(line: int, fields: Mapping[str, list], closed: bool) -> TapeTransmission:
    times = [_seconds(value) for value in fields.get("TIMES", [])]
    start, end = times if len(times) == 2 else (None, None)
    problem = None
    if start is None or end is None:
        problem = f"line {line}: TIMES are {_join(fields.get('TIMES', [])) or 'missing'}, wanted two numbers"
    elif not closed:
        problem = f"line {line}: a list without its closing bracket"
    sender, receiver = (_join(fields.get(name, [])) for name in ("FROM", "TO"))
    return TapeTransmission(line, sender, receiver, join_text(fields.get("TEXT", [])), start, end, problem)


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None


def join_text(items: list) -> str:
    """The items of TEXT as one line.

    `(QUOTE LL)` and other spellings of contractions become 'LL at the word before, other lists such as
    `(UNINTELLIGIBLE)` stay as bracketed marks, and slashes, which mark line breaks, are removed.
    """
    return conventions.apply_rules(_join(items), "atc0")[0]


def _join(items: list) -> str:
    words: list[str] = []
    for item in items:
        if isinstance(item, str):
            words.append(item.strip('"'))
        else:
            words.append(f"({_join(item)})")
    return " ".join(words)


def open_sphere(path: Path) -> sf.SoundFile:
    """Open a SPHERE file of 16-bit PCM with one or two channels.

    Raises:
        InputError: the file cannot be read or has another format.
    """
    try:
        file = sf.SoundFile(io.BytesIO(read_bytes(path)) if path.suffix.lower() == ".gz" else os.fsencode(path))
    except (sf.SoundFileError, OSError) as error:
        raise InputError(f"{path}: cannot be read as SPHERE: {error_reason(error)}") from error
    if (file.format, file.subtype) != ("NIST", "PCM_16") or file.channels > MAX_CHANNELS:
        raise InputError(
            f"{path}: got {file.format}, {file.subtype}, {file.channels} channels; wanted SPHERE (NIST), 16-bit PCM, "
            "one or two channels (sph2pipe -f sph -p makes it)"
        )
    return file


def has_wrong_byte_order(file: sf.SoundFile) -> bool:
    """Whether the samples are smoother with their bytes swapped, as speech is smoother than noise."""
    samples = file.read(BYTE_ORDER_SAMPLES, dtype="int16")
    stated, swapped = (
        np.abs(np.diff(values.astype(np.float64), axis=0)).sum() for values in (samples, samples.byteswap())
    )
    return bool(stated > BYTE_ORDER_RATIO * swapped)
