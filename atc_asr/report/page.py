"""The report as one HTML page: data, style and script inlined, nothing loaded from a network."""

import base64
import hashlib
import html
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from atc_asr.core.errors import InputError
from atc_asr.report.contents import Contents, Row
from atc_asr.wer.wer import Step

PAGE = Path(__file__).parent / "page"
SAMPLE_RATE = 16000
SIGNS = {"equal": "=", "substitute": "~", "delete": "-", "insert": "+"}


def encode_step(step: Step) -> str:
    """One step as the page's script reads it: a sign, then the word; the two words of a substitution around a tab."""
    words = f"{step.ref}\t{step.hyp}" if step.operation == "substitute" else (step.ref or step.hyp)
    return f"{SIGNS[step.operation]}{words}"


def encode_row(row: Row, columns: Sequence[str], out_dir: Path) -> list[Any]:
    """An utterance as a list: id, audio relative to the page, seconds, errors, reference words, steps, columns."""
    utterance, counts = row.utterance, row.scored.words
    wav = Path(os.path.relpath(utterance.wav.resolve(), out_dir.resolve())).as_posix()
    steps = " ".join(map(encode_step, row.scored.steps))
    values = [utterance.columns.get(name, "") for name in columns]
    return [utterance.id, wav, round(utterance.duration, 3), counts.errors, counts.ref_length, steps, *values]


def encode_times(row: Row) -> list[list[Any]]:
    """Recognised words with start, end (seconds) and confidence."""
    return [
        [word.word, round(word.start, 3), round(word.end, 3), round(word.confidence, 3)]
        for word in row.hypothesis.words
    ]


def worst(rows: Sequence[Row], count: int) -> list[int]:
    """Places of the utterances that lead the page's table: highest word error rate first, then most errors."""

    def key(place: int) -> tuple[float, int, int]:
        words = rows[place].scored.words
        return -words.errors / max(1, words.ref_length), -words.errors, place

    return sorted(range(len(rows)), key=key)[:count]


def encode_audio(path: Path) -> str:
    """A WAV file as FLAC in base64: the same samples in about half the bytes.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        samples, sample_rate = soundfile.read(path, dtype="int16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{path}: cannot be read as audio: {error}") from error
    content = io.BytesIO()
    soundfile.write(content, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(content.getvalue()).decode("ascii")


def page_data(contents: Contents, *, out_dir: Path, num_embedded: int) -> dict[str, Any]:
    """All that the page's script shows, as JSON can hold it."""
    rows = contents.rows
    columns = sorted({name for row in rows for name, value in row.utterance.columns.items() if value})
    charts = [
        {
            "title": chart.title,
            "x": chart.x,
            "xLabel": chart.x_label,
            "yLabel": chart.y_label,
            "series": [{"name": name, "values": values} for name, values in chart.series.items()],
        }
        for chart in contents.charts
    ]
    return {
        "title": contents.title,
        "interval": contents.interval_name,
        "facts": contents.facts,
        "headline": [vars(figure) for figure in contents.headline],
        "scorecard": [vars(figure) for figure in contents.scorecard],
        "slices": [vars(figure) for figure in contents.slices],
        "curves": charts,
        "ladder": contents.ladder,
        "confusions": contents.confusions,
        "columns": columns,
        "sample_rate": SAMPLE_RATE,
        "utterances": [encode_row(row, columns, out_dir) for row in rows],
        "times": {place: encode_times(row) for place, row in enumerate(rows) if row.hypothesis.words},
        "audio": {place: encode_audio(rows[place].utterance.wav) for place in worst(rows, num_embedded)},
    }


def embed_json(content: Any) -> str:
    """JSON that cannot end the script element it stands in: no `<`, `>` or `&`, no line separators."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def source_hash(text: str) -> str:
    """A script or style as the page's content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def fill(template: str, parts: Mapping[str, str]) -> str:
    """The template with each `{{name}}` replaced; what a part holds is never taken for a place to fill."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def render_page(data: Mapping[str, Any]) -> str:
    """The page as text."""
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    script = "".join(path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("*.js")))
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    policy = (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; "
        "img-src 'self' data: blob:; media-src 'self' file: data: blob:; connect-src 'self' file: data: blob:"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(str(data["title"])),
        "style": style,
        "script": script,
        "data": embed_json(data),
    }
    return fill((PAGE / "page.html").read_text(encoding="utf-8"), parts)
