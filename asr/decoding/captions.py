"""Transmissions of a recording as JSONL, SRT, WebVTT or Praat TextGrid; all times in seconds of the file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr.decoding.hypotheses import Hypothesis, Word


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


def jsonl(transmissions: Sequence[Transmission], duration: float) -> str:
    """One JSON object a line."""
    return "".join(map(to_jsonl, transmissions))


def srt(transmissions: Sequence[Transmission], duration: float) -> str:
    """SubRip subtitles."""
    return "\n".join(
        f"{number}\n{clock(one.start, ',')} --> {clock(one.end, ',')}\n{one.hyp}\n"
        for number, one in enumerate(transmissions, start=1)
    )


def vtt(transmissions: Sequence[Transmission], duration: float) -> str:
    """WebVTT (W3C), text escaped as its cue grammar asks."""
    cues = (
        f"\n{clock(one.start, '.')} --> {clock(one.end, '.')}\n"
        + one.hyp.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "\n"
        for one in transmissions
    )
    return "WEBVTT\n" + "".join(cues)


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


def textgrid(transmissions: Sequence[Transmission], duration: float) -> str:
    """Praat's long text form: a tier of transmissions, a tier of words."""
    head = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0\nxmax = {duration:.6f}\ntiers? <exists>\nsize = 2\nitem []:\n"
    )
    words = [(word.start, word.end, word.word) for one in transmissions for word in one.words]
    spans = [(one.start, one.end, one.hyp) for one in transmissions]
    return head + textgrid_tier(1, "transmissions", spans, duration) + textgrid_tier(2, "words", words, duration)


FORMATS: dict[str, Callable[[Sequence[Transmission], float], str]] = {
    "jsonl": jsonl,
    "srt": srt,
    "vtt": vtt,
    "TextGrid": textgrid,
}
