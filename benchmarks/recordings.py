"""Words found in damaged recordings against the clean ones, and the two detectors with and without squelch.

    python -m benchmarks.recordings --table changes --count 200 --manifest data/corpus/base/test.csv \\
        --checkpoint_dir models/asr --search greedy

Each recording is an utterance of the manifest with silence around it. Further flags are those of transcribe.
"""

import argparse
import io
import json
import logging
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from atc_asr.commands import transcribe
from atc_asr.core.manifest import read_manifests
from atc_asr.transcribe.detectors import VoiceBand
from atc_asr.wer.wer import count_edits, total

RATE = 16_000
GAP = 1.5  # seconds before and behind an utterance
MAINS_HARMONICS = 10
CLEAN_DB = 60.0  # level of the utterance above the noise of a channel with squelch
CHANNELS = {  # name -> level of the utterance above the noise, and above that of the gaps where it is another, dB
    "squelch": (CLEAN_DB, None),
    "open squelch, noise 20 dB below the speech": (20.0, None),
    "open squelch, noise 10 dB below the speech": (10.0, None),
    "open squelch with gain control: noise 20 dB below the speech, as loud as it in the gaps": (20.0, 0.0),
    "open squelch with gain control: noise 20 dB below the speech, 6 dB louder in the gaps": (20.0, -6.0),
}
SUFFIX = {"MP3": ".mp3", "Opus": ".opus"}

Samples = np.ndarray


def hum(frequency: float, harmonics: int) -> Callable[[Samples], Samples]:
    """Hum at the level of the recording; the amplitudes of its harmonics fall as 1 / n."""

    def change(samples: Samples) -> Samples:
        times = np.arange(len(samples)) / RATE
        added = sum(np.sin(2 * np.pi * n * frequency * times + n) / n for n in range(1, harmonics + 1))
        return samples + added * np.sqrt(np.mean(samples**2) / np.mean(added**2))

    return change


def encode(samples: Samples, rate: int = RATE, size: int | None = None, **settings: str) -> bytes:
    """The content of a file; `size` replaces the length in a WAV header."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), rate, **{"format": "WAV", "subtype": "PCM_16"} | settings)
    data = bytearray(file.getvalue())
    if size is not None:
        data[40:44] = size.to_bytes(4, "little")
    return bytes(data)


def slow(samples: Samples) -> Samples:
    """At 8 kHz."""
    return soxr.resample(samples, RATE, RATE // 2)


CHANGES: dict[str, Callable[[Samples], bytes]] = {
    "clean": encode,
    "DC 5 %": lambda x: encode(x + 0.05),
    "DC 20 %": lambda x: encode(x + 0.2),
    "hum 50 Hz": lambda x: encode(hum(50.0, 1)(x)),
    "hum 60 Hz and harmonics": lambda x: encode(hum(60.01, MAINS_HARMONICS)(x)),
    "gain -20 dB": lambda x: encode(0.1 * x),
    "gain -40 dB": lambda x: encode(0.01 * x),
    "gain +6 dB": lambda x: encode(2 * x),
    "8 kHz mu-law": lambda x: encode(slow(x), RATE // 2, subtype="ULAW"),
    "GSM 6.10": lambda x: encode(slow(x), RATE // 2, subtype="GSM610"),
    "MP3": lambda x: encode(x, format="MP3", subtype="MPEG_LAYER_III"),
    "Opus": lambda x: encode(x, format="OGG", subtype="OPUS"),
    "header: size 0": lambda x: encode(x, size=0),
    "header: 0x7ffff000": lambda x: encode(x, size=0x7FFFF000),
    "header: 0xffffffff": lambda x: encode(x, size=0xFFFFFFFF),
    "two equal channels": lambda x: encode(np.stack([x, x], 1)),
    "one channel silent": lambda x: encode(np.stack([x, 0 * x], 1)),
    "channels in antiphase": lambda x: encode(np.stack([x, -x], 1)),
}


UNREADABLE: dict[str, Callable[[], bytes]] = {
    "empty.wav": lambda: b"",
    "short.wav": lambda: b"RIFF....",
    "text.mp3": lambda: b"no audio " * 100,
    "head.flac": lambda: encode(np.zeros(100), format="FLAC")[:20],
    "phone.m4a": lambda: b"\0\0\0\x20ftypM4A " + bytes(1000),
    "film.webm": lambda: b"\x1aE\xdf\xa3" + bytes(1000),
    "raw.raw": lambda: bytes(1000),
    "one_hertz.wav": lambda: encode(np.zeros(100), rate=1),
    "noise.ogg": lambda: b"OggS" + np.random.default_rng(0).bytes(1000),
    "codec.wav": lambda: encode(np.zeros(100))[:20] + struct.pack("<H", 0x161) + encode(np.zeros(100))[22:],
}


def recording(clip: Samples, seed: int, noise_db: float, gap_db: float | None = None) -> Samples:
    """A clip with a gap before and behind it.

    `noise_db` is the level of the clip above the noise in the voice band, `gap_db` that above the noise of the gaps
    where it is another: automatic gain control makes the noise loud where there is no carrier.
    """
    gap = round(GAP * RATE)
    samples = np.concatenate((np.zeros(gap), clip, np.zeros(gap)))
    noise = VoiceBand(RATE)(np.random.default_rng(seed).standard_normal(len(samples)))
    levels = np.full(len(samples), noise_db if gap_db is None else gap_db)
    levels[gap:-gap] = noise_db
    return samples + noise * np.sqrt(np.mean(clip**2) / np.mean(noise**2)) * 10 ** (-levels / 20)


def transcribe_all(recordings: Mapping[str, bytes], flags: Sequence[str]) -> tuple[dict[str, list[str]], int, int]:
    """Transcribe a folder of recordings; returns their texts by name, the number of warnings, and the exit code."""
    code = 0
    with tempfile.TemporaryDirectory() as name, Warnings() as warnings:
        folder = Path(name)
        (folder / "in").mkdir()
        for file, data in recordings.items():
            (folder / "in" / file).write_bytes(data)
        try:
            transcribe.main([str(folder / "in"), "--out_dir", str(folder / "out"), *flags])
        except SystemExit as end:
            code = int(end.code or 0)
        texts = {
            path.stem: [json.loads(line)["hyp"] for line in path.read_text().splitlines()]
            for path in (folder / "out").glob("*.jsonl")
        }
    return texts, warnings.count, code


class Warnings(logging.Handler):
    """Counts warnings about recordings within a `with` block."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += 1

    def __enter__(self) -> "Warnings":
        logging.getLogger("atc_asr").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("atc_asr").removeHandler(self)


def report(name: str, recordings: Mapping[str, bytes], references: Mapping[str, str], flags: Sequence[str]) -> None:
    """Print a line of the table: words found and word error rate in per cent, transmissions, warnings."""
    texts, warnings, _ = transcribe_all(recordings, flags)
    counts = total(
        count_edits(words.split(), " ".join(texts.get(key, [])).split()) for key, words in references.items()
    )
    num = sum(map(len, texts.values()))
    print(
        f"| {name} | {100 * counts.hits / counts.ref_length:.2f} | {counts.rate:.2f} | {num} | {warnings} |", flush=True
    )


def main() -> None:
    """Command line; further flags are those of transcribe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--table", choices=["changes", "detectors", "folder"], required=True)
    arguments, flags = parser.parse_known_args()
    rows = read_manifests([arguments.manifest])[: arguments.count]
    clips = [soundfile.read(row.wav, dtype="float32")[0] for row in rows]
    names = [f"r{index:04d}" for index in range(len(rows))]
    references = {name: row.transcript for name, row in zip(names, rows, strict=True)}
    if arguments.table == "changes":
        for change, make in CHANGES.items():
            suffix = SUFFIX.get(change, ".wav")
            files = {f"{names[i]}{suffix}": make(recording(clip, i, CLEAN_DB)) for i, clip in enumerate(clips)}
            report(change, files, references, flags)
    elif arguments.table == "detectors":
        for channel, levels in CHANNELS.items():
            files = {f"{names[i]}.wav": encode(recording(clip, i, *levels)) for i, clip in enumerate(clips)}
            for detector in ("level", "vad"):
                report(f"{channel}: {detector}", files, references, [*flags, "--detector", detector])
    else:
        good = {f"good{i:04d}.wav": encode(recording(clips[i % len(clips)], i, CLEAN_DB)) for i in range(1000)}
        bad = {f"bad{i}_{name}": make() for i in range(5) for name, make in UNREADABLE.items()}
        texts, warnings, code = transcribe_all(good | bad, flags)
        with_words = sum(map(bool, texts.values()))
        print(f"{len(texts)} transcripts, {with_words} with words; {warnings} messages; exit code {code}")


if __name__ == "__main__":
    main()
