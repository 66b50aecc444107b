"""The report as one HTML page with data, style and script inlined; it loads nothing from a network."""

import base64
import hashlib
import html
import io
import json
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile

from atc_asr.core.audio_files import AudioError, read_samples
from atc_asr.core.errors import InputError
from atc_asr.hypotheses.hypotheses import Hypothesis, Word, slot_fields
from atc_asr.readback.exchanges import Exchange
from atc_asr.report.contents import Contents, Row
from atc_asr.wer.wer import Step

PAGE = Path(__file__).parent / "page"
SAMPLE_RATE = 16000  # Hz
NUM_EMBEDDED = 20  # worst utterances whose audio the page contains
SLOT_FIELDS = ("kind", "value", "unit", "act", "start", "end", "confidence", "doubtful")
PREFIXES = {"equal": "=", "substitute": "~", "delete": "-", "insert": "+"}


def _encode_step(step: Step) -> str:
    """A prefix and a word; a substitution has both words, separated by a tab."""
    words = f"{step.ref}\t{step.hyp}" if step.operation == "substitute" else (step.ref or step.hyp)
    return f"{PREFIXES[step.operation]}{words}"


def _encode_row(row: Row, columns: Sequence[str], out_dir: Path) -> list[Any]:
    """An utterance as a list: id, audio relative to the page, seconds, errors, reference words, steps, columns."""
    utterance, counts = row.utterance, row.scored.words
    wav = Path(os.path.relpath(utterance.wav.resolve(), out_dir.resolve())).as_posix()
    steps = " ".join(map(_encode_step, row.scored.steps))
    values = [utterance.columns.get(name, "") for name in columns]
    return [utterance.id, wav, round(utterance.duration, 3), counts.errors, counts.ref_length, steps, *values]


def _encode_word(word: Word) -> list[Any]:
    """A hypothesis word, its start and end in seconds, and its confidence."""
    return [word.word, round(word.start, 3), round(word.end, 3), round(word.confidence, 3)]


def _encode_slots(hypothesis: Hypothesis) -> list[Any]:
    """Role and its probability, then the slots: kind, value, unit, act, start, end, confidence, doubtful words."""
    fields = slot_fields(hypothesis)
    slots = [[slot[name] for name in SLOT_FIELDS] for slot in fields["slots"]]
    return [fields["role"], fields["role_confidence"], *slots]


def _encode_readbacks(exchanges: Sequence[Exchange]) -> dict[str, Any]:
    """Number of clearances, and the alerts: file, start, call sign, texts, faults (kind, cleared, read, confidence)."""
    alerts = [
        [
            one.file, round(one.clearance.start, 1), one.callsign, one.clearance.hyp, one.readback and one.readback.hyp,
            [[slot.kind, slot.cleared, slot.read, slot.confidence] for slot in one.slots if slot.is_fault],
        ]
        for one in exchanges
        if one.alert
    ]  # fmt: skip
    return {"count": len(exchanges), "alerts": alerts}


def _worst_rows(rows: Sequence[Row], count: int) -> list[int]:
    """Indices of the rows with the highest word error rate, in the order in which the page first shows them."""

    words = [row.scored.words for row in rows]
    rates = [one.errors / max(1, one.ref_length) for one in words]
    return sorted(range(len(rows)), key=lambda index: (-rates[index], -words[index].errors))[:count]


def _encode_audio(path: Path) -> str:
    """A WAV file as FLAC in base64: the same samples in about half the bytes."""
    try:
        samples, sample_rate = read_samples(path, "int16")
    except AudioError as error:
        raise InputError(f"{path}: cannot be read as audio: {error}") from error
    content = io.BytesIO()
    soundfile.write(content, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(content.getvalue()).decode("ascii")


def _page_data(contents: Contents, out_dir: Path) -> dict[str, Any]:
    """The data that the page's script reads, as values that JSON can hold."""
    rows = contents.rows
    columns = sorted({name for row in rows for name, value in row.utterance.columns.items() if value})
    return {
        "title": contents.title,
        "subtitle": contents.subtitle,
        "interval": contents.interval_name,
        "headline": [vars(score) for score in contents.headline],
        "scorecard": [vars(score) for score in contents.scorecard],
        "corpora": [[name, [score and vars(score) for score in row]] for name, row in contents.corpora.items()],
        "levels": contents.levels,
        "slices": {name: [vars(score) for score in scores] for name, scores in contents.slices.items()},
        "charts": [vars(chart) for chart in contents.charts],
        "confusions": contents.confusions,
        "columns": columns,
        "readback": None if contents.readbacks is None else _encode_readbacks(contents.readbacks),
        "sample_rate": SAMPLE_RATE,
        "utterances": [_encode_row(row, columns, out_dir) for row in rows],
        "times": {i: [*map(_encode_word, row.hypothesis.words)] for i, row in enumerate(rows) if row.hypothesis.words},
        "slots": {i: _encode_slots(row.hypothesis) for i, row in enumerate(rows) if row.hypothesis.slots is not None},
        "audio": {index: _encode_audio(rows[index].utterance.wav) for index in _worst_rows(rows, NUM_EMBEDDED)},
    }


def _embed_json(content: Any) -> str:
    """JSON for a script element: `<`, `>`, `&` and line separators are escaped, so that no text ends the element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _source_hash(text: str) -> str:
    """The hash of a script or style in the page's content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def render_page(contents: Contents, *, out_dir: Path) -> str:
    """The page as HTML.

    Args:
        contents: contents of the report.
        out_dir: folder of the page; audio files are linked relative to it.

    Raises:
        InputError: an audio file to embed cannot be read.
    """
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    script = "".join(path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("*.js")))
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    policy = (
        f"default-src 'none'; script-src {_source_hash(script)}; style-src {_source_hash(style)}; "
        "img-src 'self' data: blob:; media-src 'self' file: data: blob:; connect-src 'self' file: data: blob:"
    )
    return string.Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        policy=html.escape(policy),
        title=html.escape(contents.title),
        style=style,
        script=script,
        data=_embed_json(_page_data(contents, out_dir)),
    )
