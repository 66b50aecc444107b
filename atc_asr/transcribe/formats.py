"""Transmissions of a recording as JSONL, SRT, WebVTT or Praat TextGrid; all times in seconds of the recording."""

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from atc_asr.hypotheses import hypotheses
from atc_asr.hypotheses.hypotheses import Hypothesis, Word, slot_fields, word_rows
from atc_asr.transcribe.segment import Track

Span = tuple[float, float, str]  # start, end (seconds), text


@dataclass(frozen=True)
class Transmission:
    """A recognised transmission; `start`, `end` and the times of words and slots in seconds of the recording."""

    track: Track
    start: float
    end: float
    hypothesis: Hypothesis


def place(hypothesis: Hypothesis, track: Track, start: float, end: float) -> Transmission:
    """A segment's hypothesis with its word times shifted to times of the recording."""
    words = tuple(Word(word.word, start + word.start, start + word.end, word.confidence) for word in hypothesis.words)
    return Transmission(track, start, end, replace(hypothesis, words=words))


def timestamp(seconds: float, decimal: str) -> str:
    """`hh:mm:ss,mmm` with the format's decimal mark."""
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{decimal}{milliseconds % 1000:03d}"


def jsonl(transmissions: Sequence[Transmission], duration: float) -> str:
    """JSON Lines; with the name of the channel where channels are kept apart, and with slots where they were read."""
    text = ""
    for one in transmissions:
        file, channel = one.track.file, one.track.channel
        row = {
            "id": "#".join(filter(None, (file, channel, f"{round(1000 * one.start):09d}"))),
            "hyp": one.hypothesis.hyp,
            "file": file,
            **({"channel": channel} if channel else {}),
            "start": round(one.start, 3),
            "end": round(one.end, 3),
            "score": round(one.hypothesis.score or 0.0, 4),
            "words": word_rows(one.hypothesis.words),
            **slot_fields(one.hypothesis),
        }
        text += json.dumps(row, ensure_ascii=False) + "\n"
    return text


def srt(transmissions: Sequence[Transmission], duration: float) -> str:
    """SubRip subtitles; an arrow in the text would look like the times of a cue."""
    text = []
    for number, one in enumerate(transmissions, start=1):
        hyp = one.hypothesis.hyp.replace("-->", "->")
        text.append(f"{number}\n{timestamp(one.start, ',')} --> {timestamp(one.end, ',')}\n{hyp}\n")
    return "\n".join(text)


def vtt(transmissions: Sequence[Transmission], duration: float) -> str:
    """WebVTT (W3C) with escaped text."""
    text = "WEBVTT\n"
    for one in transmissions:
        words = html.escape(one.hypothesis.hyp, quote=False)
        text += f"\n{timestamp(one.start, '.')} --> {timestamp(one.end, '.')}\n{words}\n"
    return text


def fill_gaps(spans: Sequence[Span], duration: float) -> list[Span]:
    """Spans that cover 0 to `duration` without gaps or overlaps, as TextGrid requires; gaps have empty texts."""
    filled: list[Span] = []
    position = 0.0
    for start, end, text in spans:
        start, end = max(start, position), min(end, duration)
        if end <= start:
            continue
        if start > position:
            filled.append((position, start, ""))
        filled.append((start, end, text))
        position = end
    if position < duration or not filled:
        filled.append((position, duration, ""))
    return filled


def textgrid_tier(number: int, name: str, spans: Sequence[Span], duration: float) -> str:
    """An interval tier of a TextGrid."""
    filled = fill_gaps(spans, duration)
    text = (
        f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n'
        f"        xmin = 0\n        xmax = {duration:.6f}\n        intervals: size = {len(filled)}\n"
    )
    for index, (start, end, label) in enumerate(filled, start=1):
        escaped = label.replace('"', '""')
        text += (
            f"        intervals [{index}]:\n            xmin = {start:.6f}\n            xmax = {end:.6f}\n"
            f'            text = "{escaped}"\n'
        )
    return text


def textgrid(transmissions: Sequence[Transmission], duration: float) -> str:
    """Praat's long text format: a tier of transmissions and a tier of words."""
    spans = [(one.start, one.end, one.hypothesis.hyp) for one in transmissions]
    words = [(word.start, word.end, word.word) for one in transmissions for word in one.hypothesis.words]
    header = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0\nxmax = {duration:.6f}\ntiers? <exists>\nsize = 2\nitem []:\n"
    )
    return header + textgrid_tier(1, "transmissions", spans, duration) + textgrid_tier(2, "words", words, duration)


Format = Callable[[Sequence[Transmission], float], str]
# Patterns of the beginning of files in these formats.
LIKE = {"jsonl": hypotheses.LIKE, "srt": r"1\n\d\d", "vtt": "WEBVTT", "TextGrid": 'File type = "ooTextFile"'}
FORMATS: dict[str, Format] = {"jsonl": jsonl, "srt": srt, "vtt": vtt, "TextGrid": textgrid}
