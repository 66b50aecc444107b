"""Damaged inputs: one generator for each kind of damage, with the reason for which the clip must be rejected.

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
UNSAFE_IDS = ["../../x", "/tmp/x", "a/b", "a\\b", "..", "con", "aux.txt", "x" * 300, "дом é 家", "a\nb", "-rf", "nul"]


@dataclass(frozen=True)
class Row:
    """A row of the dataset, and the expected reasons for its rejection, any of them; none = it must be accepted."""

    row_id: str
    audio: bytes | None
    text: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Result of exporting damaged inputs: counts, wrong decisions, and files written outside the output folder."""

    accepted: int
    rejected: Counter[str]
    wrong: list[str]
    outside: list[str]


def speech(rng: random.Random, seconds: float = 1.5, channels: int = 1) -> np.ndarray:
    """Noise at speech level, (num_samples, channels)."""
    noise = np.random.default_rng(rng.getrandbits(32))
    return (noise.standard_normal((int(RATE * seconds), channels)) * 0.1).astype(np.float32)


def encode(samples: np.ndarray, rate: int = RATE, form: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """Samples as an encoded file."""
    file = io.BytesIO()
    sf.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def truncated(rng: random.Random, form: str) -> tuple[bytes, tuple[str, ...]]:
    """A file cut off anywhere, possibly within the header."""
    data = encode(speech(rng), form=form)
    return data[: rng.randrange(len(data) - 2)], ("truncated_audio", "unreadable_audio", "no_audio", "too_short")


def wrong_header(rng: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """A WAV with an impossible value in its header."""
    data = bytearray(encode(speech(rng)))
    offset, value = rng.choice([(22, 0), (22, 999), (24, 0), (24, 96_000), (34, 0), (0, 0x1234), (40, 0x7FFFF)])
    struct.pack_into("<H" if offset in (22, 34) else "<I", data, offset, value)
    return bytes(data), ("unreadable_audio", "truncated_audio", "sample_rate", "channels", "too_short")


def not_finite(rng: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """A float WAV with NaN or infinite samples."""
    samples = speech(rng)
    samples[rng.randrange(len(samples))] = rng.choice([np.nan, np.inf, -np.inf])
    return encode(samples, subtype="FLOAT"), ("not_finite",)


def noise_bytes(rng: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """Random bytes, some after the beginning of a real file."""
    head = rng.choice([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"NIST_1A\n   1024\n", encode(speech(rng))[:44]])
    return head + rng.randbytes(rng.randrange(3_000)), (
        "unreadable_audio",
        "truncated_audio",
        "too_short",
        "no_audio",
    )


def hours_of_silence() -> bytes:
    """Three hours of FLAC in a few kilobytes."""
    return encode(np.zeros(3 * 3600 * RATE, np.int16), form="FLAC")


def makers(long_file: bytes) -> list[Callable[[random.Random], tuple[Any, ...]]]:
    """Functions that return (audio, text, reasons)."""
    text = "turn left heading two four zero"

    def with_text(make: Callable[..., tuple[bytes, tuple[str, ...]]], *args: Any) -> Callable[[random.Random], tuple]:
        def maker(rng: random.Random) -> tuple:
            audio, reasons = make(rng, *args)
            return audio, text, reasons

        return maker

    return [
        with_text(truncated, "WAV"),
        with_text(truncated, "FLAC"),
        with_text(wrong_header),
        with_text(not_finite),
        with_text(noise_bytes),
        lambda rng: (encode(speech(rng, 0.0)), text, ("too_short",)),
        lambda rng: (encode(speech(rng), rate=96_000), text, ("sample_rate",)),
        lambda rng: (encode(speech(rng, channels=8)), text, ("channels",)),
        lambda rng: (long_file, text, ("too_long",)),
        lambda rng: (None, text, ("no_audio",)),
        lambda rng: (encode(speech(rng)), None, ("empty_text",)),
        lambda rng: (encode(speech(rng)), rng.choice(EMPTY_TEXTS), ("empty_text",)),
        lambda rng: (encode(speech(rng)), "x" * 10_000, ("too_fast",)),
        lambda rng: (encode(speech(rng)), "поверните налево", ("foreign_characters",)),
        lambda rng: (encode(np.zeros(2 * RATE, np.int16)), text, ("silence",)),
        lambda rng: (encode(np.sign(speech(rng))), text, ("clipping",)),
        lambda rng: (encode(speech(rng) * 0.1 + 0.5), text, ("dc_offset",)),
    ]  # fmt: skip


def make_rows(count: int, seed: int) -> list[Row]:
    """`count` damaged rows, each followed by an undamaged one with an unsafe id (`../../x`)."""
    rng = random.Random(seed)
    all_makers = makers(hours_of_silence())
    rows = []
    for number in range(count):
        audio, text, reasons = all_makers[number % len(all_makers)](rng)
        rows.append(Row(f"bad_{number}", audio, text, reasons))
        unsafe = UNSAFE_IDS[number % len(UNSAFE_IDS)]
        # The list of unsafe ids is repeated, so later rows are duplicates.
        repeated = number >= len(UNSAFE_IDS)
        rows.append(Row(unsafe, encode(speech(rng)), f"roger {number}", ("duplicate_id",) if repeated else ()))
    return rows


def write_corpus(folder: Path, rows: list[Row]) -> None:
    """Write the rows as a local dataset in the Hub's schema, with an id column."""
    (folder / "base").mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(README)
    table = pa.table(
        {
            "audio": pa.array(
                [{"bytes": row.audio, "path": None} for row in rows],
                pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            ),
            "text": pa.array([row.text for row in rows], pa.string()),
            "id": [row.row_id for row in rows],
        }
    )
    pq.write_table(table, folder / "base/train-00000.parquet", row_group_size=64)


def export_damaged(work: Path, count: int, seed: int) -> Found:
    """Export damaged rows and compare each decision with the expected one."""
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
        f"{row.row_id}: got {rejected.get(f'base_train_{row.row_id}')}, wanted one of {row.reasons}"
        for row in rows
        if row.row_id.startswith("bad_") and rejected.get(f"base_train_{row.row_id}") not in row.reasons
    ]
    if stats["dropped_by_reason"] != dict(reasons) or stats["rows"] + stats["dropped"] != len(rows):
        wrong.append(f"stats.json counts {stats['dropped_by_reason']}, rejected.csv {dict(reasons)}")
    if len(list((out_dir / "base/wavs").iterdir())) != stats["rows"]:
        wrong.append("the number of WAVs is not the number of accepted rows")
    return Found(stats["rows"], reasons, wrong, outside)
