"""Damaged inputs: one maker for each way in which a clip can be broken, with the reason it must be refused for.

Used by `benchmarks.export --damaged` and by the tests.
"""

import csv
import io
import json
import random
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf

from stages import export

RATE = 8_000
README = """---
configs:
- config_name: base
  data_files:
  - {split: train, path: base/train-*.parquet}
---
"""
EMPTY_TEXTS = ["", "\n", "[noise]", "<hes>", "(unintelligible)"]
STRANGE_IDS = ["../../x", "/tmp/x", "a/b", "a\\b", "..", "con", "aux.txt", "x" * 300, "дом é 家", "a\nb", "-rf", "nul"]


@dataclass(frozen=True)
class Row:
    """A row of the data set, and the reasons of which one must be given; none: it must be kept."""

    own_id: str
    audio: bytes | None
    text: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What became of damaged inputs."""

    kept: int
    rejected: Counter[str]
    wrong: list[str]
    outside: list[str]


def speech(draw: random.Random, seconds: float = 1.5, channels: int = 1) -> np.ndarray:
    """Noise at speech level, (num_samples, channels)."""
    rng = np.random.default_rng(draw.getrandbits(32))
    return (rng.standard_normal((int(RATE * seconds), channels)) * 0.1).astype(np.float32)


def encode(samples: np.ndarray, rate: int = RATE, form: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """Samples as the bytes of a file."""
    file = io.BytesIO()
    sf.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def truncated(draw: random.Random, form: str) -> tuple[bytes, tuple[str, ...]]:
    """A file cut off anywhere, its header included."""
    data = encode(speech(draw), form=form)
    return data[: draw.randrange(len(data) - 2)], ("truncated_audio", "unreadable_audio", "no_audio", "too_short")


def wrong_header(draw: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """A WAV whose format chunk says something impossible."""
    data = bytearray(encode(speech(draw)))
    place, value = draw.choice([(22, 0), (22, 999), (24, 0), (24, 96_000), (34, 0), (0, 0x1234), (40, 0x7FFFFFFF)])
    struct.pack_into("<H" if place in (22, 34) else "<I", data, place, value)
    return bytes(data), ("unreadable_audio", "truncated_audio", "sample_rate", "channels", "too_short")


def not_finite(draw: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """A float WAV with NaN or infinite samples."""
    samples = speech(draw)
    samples[draw.randrange(len(samples))] = draw.choice([np.nan, np.inf, -np.inf])
    return encode(samples, subtype="FLOAT"), ("not_finite",)


def noise_bytes(draw: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """Random bytes, some behind the beginning of a real file."""
    head = draw.choice([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"NIST_1A\n   1024\n", encode(speech(draw))[:44]])
    return head + draw.randbytes(draw.randrange(3_000)), (
        "unreadable_audio",
        "truncated_audio",
        "too_short",
        "no_audio",
    )


def hours_of_silence() -> bytes:
    """Three hours of FLAC in a few kilobytes."""
    return encode(np.zeros(3 * 3600 * RATE, np.int16), form="FLAC")


def makers(long_file: bytes) -> list[Callable[[random.Random], tuple[Any, ...]]]:
    """Each returns (audio, text, reasons)."""
    text = "turn left heading two four zero"

    def sound(make: Callable[..., tuple[bytes, tuple[str, ...]]], *args: Any) -> Callable[[random.Random], tuple]:
        def maker(draw: random.Random) -> tuple:
            audio, reasons = make(draw, *args)
            return audio, text, reasons

        return maker

    return [
        sound(truncated, "WAV"),
        sound(truncated, "FLAC"),
        sound(wrong_header),
        sound(not_finite),
        sound(noise_bytes),
        lambda draw: (encode(speech(draw, 0.0)), text, ("too_short",)),
        lambda draw: (encode(speech(draw), rate=96_000), text, ("sample_rate",)),
        lambda draw: (encode(speech(draw, channels=8)), text, ("channels",)),
        lambda draw: (long_file, text, ("too_long",)),
        lambda draw: (None, text, ("no_audio",)),
        lambda draw: (encode(speech(draw)), None, ("empty_text",)),
        lambda draw: (encode(speech(draw)), draw.choice(EMPTY_TEXTS), ("empty_text",)),
        lambda draw: (encode(speech(draw)), "x" * 10_000, ("too_fast",)),
        lambda draw: (encode(speech(draw)), "поверните налево", ("foreign_characters",)),
        lambda draw: (encode(np.zeros(2 * RATE, np.int16)), text, ("silence",)),
        lambda draw: (encode(np.sign(speech(draw))), text, ("clipping",)),
        lambda draw: (encode(speech(draw) * 0.1 + 0.5), text, ("dc_offset",)),
    ]  # fmt: skip


def make_rows(count: int, seed: int) -> list[Row]:
    """`count` damaged rows, each followed by a good one with an id that wants to break out."""
    draw = random.Random(seed)
    all_makers = makers(hours_of_silence())
    rows = []
    for number in range(count):
        audio, text, reasons = all_makers[number % len(all_makers)](draw)
        rows.append(Row(f"bad_{number}", audio, text, reasons))
        strange = STRANGE_IDS[number % len(STRANGE_IDS)]
        # the strange ids come again and again: the first is good, the others are duplicates
        repeated = number >= len(STRANGE_IDS)
        rows.append(Row(strange, encode(speech(draw)), f"roger {number}", ("duplicate_id",) if repeated else ()))
    return rows


def write_corpus(folder: Path, rows: list[Row]) -> None:
    """The rows as a local data set in the Hub's schema, with an id column."""
    (folder / "base").mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(README)
    table = pa.table(
        {
            "audio": pa.array(
                [{"bytes": row.audio, "path": None} for row in rows],
                pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            ),
            "text": pa.array([row.text for row in rows], pa.string()),
            "id": [row.own_id for row in rows],
        }
    )
    pq.write_table(table, folder / "base/train-00000.parquet", row_group_size=64)


def export_damaged(work: Path, count: int, seed: int) -> Found:
    """Export damaged rows, and compare what was done with each with what had to be done."""
    work.mkdir(parents=True, exist_ok=True)
    rows = make_rows(count, seed)
    write_corpus(work / "corpus", rows)
    before = set(work.parent.rglob("*"))
    out_dir = work / "out"
    flags = [f"--corpus={work / 'corpus'}", f"--out_dir={out_dir}", "--id_column=id", "--max_rejected=0.99"]
    export.main([*flags, "--config=base", "--processes=1"])
    outside = [str(path) for path in set(work.parent.rglob("*")) - before if out_dir not in (path, *path.parents)]
    with open(out_dir / "base/rejected.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rejected = {line["id"]: line["reason"] for line in lines}
    reasons = Counter(line["reason"] for line in lines)
    stats = json.loads((out_dir / "base/stats.json").read_text())["splits"]["train"]
    wrong = [
        f"{row.own_id}: got {rejected.get(f'base_train_{row.own_id}')}, wanted one of {row.reasons}"
        for row in rows
        if row.own_id.startswith("bad_") and rejected.get(f"base_train_{row.own_id}") not in row.reasons
    ]
    if stats["dropped_by_reason"] != dict(reasons) or stats["rows"] + stats["dropped"] != len(rows):
        wrong.append(f"stats.json counts {stats['dropped_by_reason']}, rejected.csv {dict(reasons)}")
    if len(list((out_dir / "base/wavs").iterdir())) != stats["rows"]:
        wrong.append("not one WAV for each row that was kept")
    return Found(stats["rows"], reasons, wrong, outside)
