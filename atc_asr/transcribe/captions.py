"""Transmissions of a recording as JSONL, SRT, WebVTT or Praat TextGrid; all times in seconds of the file.

A form takes the transmissions as they come, and the recording's duration when they have ended; it gives parts of the
text, so that of hours of recording only TextGrid, whose head says how much follows, holds anything.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from atc_asr.hypotheses.hypotheses import Hypothesis, Word


@dataclass(frozen=True)
class Transmission:
    """What was said between two times (seconds) of a file."""

    file: str
    start: float
    end: float
    hyp: str
    score: float
    words: tuple[Word, ...]


def place(hypothesis: Hypothesis, file: str, start: float, end: float) -> Transmission:
    """A hypothesis of a segment, its word times moved to the file's."""
    words = tuple(Word(one.word, start + one.start, start + one.end, one.confidence) for one in hypothesis.words)
    return Transmission(file, start, end, hypothesis.hyp, hypothesis.score or 0.0, words)


def to_jsonl(one: Transmission) -> str:
    """One line."""
    row = {
        "id": f"{one.file}#{round(1000 * one.start):09d}",
        "hyp": one.hyp,
        "file": one.file,
        "start": round(one.start, 3),
        "end": round(one.end, 3),
        "score": round(one.score, 4),
        "words": [
            {
                "word": word.word,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
            }
            for word in one.words
        ],
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def clock(seconds: float, decimal: str) -> str:
    """`hh:mm:ss,mmm` with the format's decimal mark."""
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{decimal}{rest % 1000:03d}"


def jsonl(transmissions: Iterable[Transmission], duration: Callable[[], float]) -> Iterator[str]:
    """One JSON object a line."""
    return map(to_jsonl, transmissions)


def srt(transmissions: Iterable[Transmission], duration: Callable[[], float]) -> Iterator[str]:
    """SubRip subtitles."""
    for number, one in enumerate(transmissions, start=1):
        gap = "\n" if number > 1 else ""
        yield f"{gap}{number}\n{clock(one.start, ',')} --> {clock(one.end, ',')}\n{one.hyp}\n"


def vtt(transmissions: Iterable[Transmission], duration: Callable[[], float]) -> Iterator[str]:
    """WebVTT (W3C), text escaped as its cue grammar asks."""
    yield "WEBVTT\n"
    for one in transmissions:
        text = one.hyp.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield f"\n{clock(one.start, '.')} --> {clock(one.end, '.')}\n{text}\n"


def fill(spans: Sequence[tuple[float, float, str]], duration: float) -> list[tuple[float, float, str]]:
    """Spans with empty ones between them, so that they tile 0 to `duration`, as TextGrid asks."""
    tiles: list[tuple[float, float, str]] = []
    position = 0.0
    for start, end, text in spans:
        start, end = max(start, position), min(end, duration)
        if end <= start:
            continue
        if start > position:
            tiles.append((position, start, ""))
        tiles.append((start, end, text))
        position = end
    if position < duration or not tiles:
        tiles.append((position, duration, ""))
    return tiles


def textgrid_tier(number: int, name: str, spans: Sequence[tuple[float, float, str]], duration: float) -> str:
    """One interval tier."""
    tiles = fill(spans, duration)
    lines = [
        f"    item [{number}]:",
        '        class = "IntervalTier"',
        f'        name = "{name}"',
        "        xmin = 0",
        f"        xmax = {duration:.6f}",
        f"        intervals: size = {len(tiles)}",
    ]
    for index, (start, end, text) in enumerate(tiles, start=1):
        escaped = text.replace('"', '""')
        lines += [
            f"        intervals [{index}]:",
            f"            xmin = {start:.6f}",
            f"            xmax = {end:.6f}",
            f'            text = "{escaped}"',
        ]
    return "\n".join(lines) + "\n"


def textgrid(transmissions: Iterable[Transmission], duration: Callable[[], float]) -> Iterator[str]:
    """Praat's long text form: a tier of transmissions, a tier of words."""
    spans: list[tuple[float, float, str]] = []
    words: list[tuple[float, float, str]] = []
    for one in transmissions:
        spans.append((one.start, one.end, one.hyp))
        words += [(word.start, word.end, word.word) for word in one.words]
    end = duration()
    yield (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0\nxmax = {end:.6f}\ntiers? <exists>\nsize = 2\nitem []:\n"
    )
    yield textgrid_tier(1, "transmissions", spans, end)
    yield textgrid_tier(2, "words", words, end)


FORMATS: dict[str, Callable[[Iterable[Transmission], Callable[[], float]], Iterator[str]]] = {
    "jsonl": jsonl,
    "srt": srt,
    "vtt": vtt,
    "TextGrid": textgrid,
}
