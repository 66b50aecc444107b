"""ATC0 as the LDC distributes it (LDC94S14A and its parts B, C, D): whole tapes and their transcripts.

    …/audio/<tape>.sph        NIST SPHERE, 8 kHz, 16 bit, one or two hours
    …/transcripts/<tape>.txt  Lisp lists, one a transmission:
        ((FROM DAL13-1) (NUM D1-1-0001) (TO AAL1581) (TEXT TURN LEFT WE (QUOTE LL) CALL) (TIMES 12.34 15.67))

Each transmission becomes a clip, cut by its TIMES. No other copy of ATC0 says who speaks to whom.
Format: https://catalog.ldc.upenn.edu/LDC94S14A and its documentation; SPHERE: NIST's speech file manipulation software.
"""

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atc_asr.core.errors import InputError
from atc_asr.corpus.source import Clip, Shard

log = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".sph", ".wav")  # one tape is a SPHERE file under the name .wav
SMOOTHER = 2.0  # how much smoother samples must be with bytes swapped before the header is not believed
PROBE = 1 << 18  # samples looked at for that
_TOKEN = re.compile(r'"[^"]*"|[()]|[^\s()"]+|"')
_CLITIC = re.compile(r"\s*'\s*(LL|RE|VE|S|D|T|M)\b", re.IGNORECASE)
_LINE_BREAK = re.compile(r"\s*/+\s*")


@dataclass(frozen=True)
class Sphere:
    """Where the samples of a SPHERE file are.

    Attributes:
        offset: bytes of header.
        sample_rate: Hz.
        num_samples: by the header, cut to what the file holds.
        dtype: of a sample, byte order included.
    """

    path: Path
    offset: int
    sample_rate: int
    num_samples: int
    dtype: str

    def samples(self) -> np.ndarray:
        """(num_samples,) int16, mapped and not read: a slice costs what it holds."""
        if not self.num_samples:
            return np.zeros(0, dtype=self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset, shape=(self.num_samples,))


@dataclass(frozen=True)
class Transmission:
    """One list of a transcript.

    Attributes:
        line: where it begins.
        sender, receiver: FROM and TO.
        text: as spoken, marks included.
        start, end: seconds; None where TIMES cannot be read.
        problem: what is wrong with the list itself.
    """

    line: int
    sender: str
    receiver: str
    text: str
    start: float | None
    end: float | None
    problem: str | None


@dataclass(frozen=True)
class LdcSource:
    """Clips of tapes, all of them in train: the LDC defines no splits (`export.split_by: tape` makes them).

    Attributes:
        tapes: (name, audio file, transcript file), sorted by name.
    """

    tapes: tuple[tuple[str, str, str], ...]

    def identity(self) -> dict[str, Any]:
        """A hash of the transcripts, and each tape's size and time of change."""
        digest = hashlib.sha256()
        for name, audio, transcript in self.tapes:
            found = Path(audio).stat()
            digest.update(repr((name, found.st_size, found.st_mtime_ns)).encode())
            digest.update(Path(transcript).read_bytes())
        return {"corpus": "ldc", "tapes": digest.hexdigest()}

    def shards(self) -> list[Shard]:
        """One shard a tape that has transmissions."""
        sizes = [(tape, sum(1 for _ in read_transcript(Path(tape[2])))) for tape in self.tapes]
        return [Shard("train", index, tape, size) for index, (tape, size) in enumerate(sizes) if size]

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The transmissions of a tape.

        Raises:
            InputError: the tape is no SPHERE file that can be read.
        """
        tape, audio, transcript = shard.items
        sphere = read_sphere(Path(audio))
        samples = sphere.samples()
        for transmission in read_transcript(Path(transcript)):
            yield to_clip(tape, transmission, samples, sphere.sample_rate)


def open_ldc(corpus: str, config: str) -> LdcSource:
    """The tapes under `<corpus>/<config>`, or under `corpus` where there is no such folder.

    Raises:
        InputError: there are none, or a transcript has no tape.
    """
    folder = Path(corpus) / config if (Path(corpus) / config).is_dir() else Path(corpus)
    audio = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
            audio.setdefault(path.stem.lower(), path)
    tapes = []
    for transcript in sorted(folder.rglob("*.[tT][xX][tT]")):
        if transcript.parent.name.lower() != "transcripts":
            continue
        tape = transcript.stem.lower()
        if tape not in audio:
            raise InputError(f"{transcript}: has no tape, wanted {tape}.sph under {folder}")
        tapes.append((tape, str(audio[tape]), str(transcript)))
    if not tapes:
        raise InputError(f"{folder}: has no transcripts, wanted transcripts/<tape>.txt beside audio/<tape>.sph")
    return LdcSource(tuple(sorted(tapes)))


def to_clip(tape: str, transmission: Transmission, samples: np.ndarray, sample_rate: int) -> Clip:
    """Cut one transmission out of its tape; its id is the tape and its times in hundredths of a second."""
    columns = {"tape": tape, "speaker": transmission.sender, **roles(transmission.sender, transmission.receiver)}
    start, end = transmission.start, transmission.end
    if start is None or end is None:
        own_id = f"{tape}_line{transmission.line:06d}"
        return Clip(own_id, None, None, transmission.text, columns, transmission.problem)
    own_id = f"{tape}_{round(start * 100):06d}_{round(end * 100):06d}"
    first, last = round(start * sample_rate), round(end * sample_rate)
    problem = transmission.problem
    if not 0 <= first < last <= len(samples):
        length = len(samples) / sample_rate
        problem = f"line {transmission.line}: TIMES {start:g} {end:g} are no stretch of a tape of {length:.2f} s"
    if problem:
        return Clip(own_id, None, None, transmission.text, columns, problem)
    return Clip(own_id, np.array(samples[first:last], dtype=np.int16), sample_rate, transmission.text, columns)


def roles(sender: str, receiver: str) -> dict[str, str]:
    """`role` of the speaker and `callsign` of the aircraft: controllers' names have a hyphen or underscore, DAL13-1."""
    if re.search(r"[-_]", sender):
        return {"role": "controller", "callsign": receiver}
    return {"role": "pilot", "callsign": sender}


def read_transcript(path: Path) -> Iterator[Transmission]:
    """The transmissions of a transcript; tape headers, tails and comments are passed over.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        content = path.read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    for line, source in _lists(content):
        tree, closed = _parse(_TOKEN.findall(source))
        fields = {item[0].upper(): item[1:] for item in tree if isinstance(item, list) and _is_word(item)}
        if "TEXT" in fields or "TIMES" in fields:
            yield _transmission(line, fields, closed)


def _lists(content: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each outer list. A list begins with `((` at a line's start, so a lost bracket costs one list."""
    starts = [match.start() for match in re.finditer(r"^[ \t]*\([ \t\r\n]*\(", content, re.MULTILINE)]
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        yield content.count("\n", 0, start) + 1, content[start:end]


def _parse(tokens: list[str]) -> tuple[list, bool]:
    """The first list of a token sequence as nested lists, and whether it was closed."""
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
    return (stack[0][0] if stack[0] else []), False


def _is_word(item: list) -> bool:
    return bool(item) and isinstance(item[0], str)


def _transmission(line: int, fields: Mapping[str, list], closed: bool) -> Transmission:
    times = [_seconds(value) for value in fields.get("TIMES", [])]
    start, end = times if len(times) == 2 else (None, None)
    problem = None
    if start is None or end is None:
        problem = f"line {line}: TIMES are {_spoken(fields.get('TIMES', [])) or 'missing'}, wanted two numbers"
    elif not closed:
        problem = f"line {line}: a list without its closing bracket"
    sender, receiver = (_spoken(fields.get(name, [])) for name in ("FROM", "TO"))
    return Transmission(line, sender, receiver, spoken_text(fields.get("TEXT", [])), start, end, problem)


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None


def spoken_text(items: list) -> str:
    """TEXT as one line: `(QUOTE LL)` and the other spellings of contractions become 'LL on the word before, lists such
    as `(UNINTELLIGIBLE)` stay as marks, and the slashes that break lines go."""
    return _CLITIC.sub(r"'\1", _LINE_BREAK.sub(" ", _spoken(items))).strip()


def _spoken(items: list) -> str:
    words: list[str] = []
    for item in items:
        if isinstance(item, str):
            words.append(item.strip('"'))
        elif _is_word(item) and item[0].upper() == "QUOTE":
            words.append("'" + _spoken(item[1:]))
        else:
            words.append(f"({_spoken(item)})")
    return " ".join(words)


def read_sphere(path: Path) -> Sphere:
    """The header of a SPHERE file.

    Raises:
        InputError: it is none, or of a coding that is not 16-bit PCM.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not head.startswith(b"NIST_1A\n"):
        raise InputError(f"{path}: does not begin with NIST_1A, wanted a SPHERE file")
    fields = _sphere_fields(head)
    try:
        offset = int(head[8:16])
        rate, width = int(fields["sample_rate"]), int(fields["sample_n_bytes"])
        count, channels = int(fields["sample_count"]), int(fields["channel_count"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: SPHERE header: {error} is missing or no number") from error
    coding = fields.get("sample_coding", "pcm")
    if coding != "pcm" or width != 2 or channels != 1 or rate <= 0:
        raise InputError(
            f"{path}: got {coding}, {width} bytes, {channels} channels, {rate} Hz; wanted 16-bit PCM, one channel "
            "(sph2pipe -f sph -p makes it)"
        )
    order = ">" if fields.get("sample_byte_format", "01") == "10" else "<"
    sphere = Sphere(path, offset, rate, max(0, min(count, (size - offset) // 2)), f"{order}i2")
    return _with_true_byte_order(sphere)


def _sphere_fields(head: bytes) -> dict[str, str]:
    fields = {}
    for line in head[16:].split(b"\n"):
        words = line.decode("latin-1").split(None, 2)
        if words[:1] == ["end_head"]:
            break
        if len(words) == 3:
            fields[words[0]] = words[2].strip()
    return fields


def _with_true_byte_order(sphere: Sphere) -> Sphere:
    """Some tapes of ATC0 state the wrong byte order; read so, speech is noise, far rougher than it is."""
    probe = np.array(sphere.samples()[:PROBE])
    stated, swapped = (np.abs(np.diff(values.astype(np.float64))).sum() for values in (probe, probe.byteswap()))
    if stated <= SMOOTHER * swapped:
        return sphere
    log.warning("%s: the header's byte order is wrong, the other one is used", sphere.path)
    other = "<i2" if sphere.dtype == ">i2" else ">i2"
    return Sphere(sphere.path, sphere.offset, sphere.sample_rate, sphere.num_samples, other)
