"""Validates and converts one clip of a source: the result is a row and its samples."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from atc_asr.core import text
from atc_asr.corpus import audio, checks, conventions
from atc_asr.corpus.checks import Rejection
from atc_asr.corpus.params import CheckParams
from atc_asr.corpus.source import Clip

MAX_NAME_LENGTH = 100  # characters of a corpus's id that an utterance id keeps; file systems allow 255 bytes
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Row:
    """A validated clip.

    The duration is in seconds, the sample rate and the bandwidth in Hz, the level (RMS) in dB of full scale.
    """

    id: str  # usable as a file name; unique among accepted rows
    split: str  # "train", "valid" or "test"
    duration: float  # 0 where it is unknown
    transcript: str  # normalised
    apostrophes: tuple[str, ...]  # normalised words that lost an apostrophe
    columns: Mapping[str, str]  # further columns of the corpus
    sample_rate: int  # native; 0 where it is unknown
    level: float
    bandwidth: float
    digest: str  # hash of the 16 kHz samples, which does not depend on the container
    rejection: Rejection | None  # None when the clip is accepted
    removed: tuple[conventions.Removed, ...] = ()  # what the convention and the rule of marks removed from the text
    wrong_length: bool = False  # whether the WAV header has not the length of the audio, but that of an open stream


def make_row(
    clip: Clip, *, config: str, split: str, params: CheckParams, convention: str = conventions.PLAIN
) -> tuple[Row, np.ndarray | None]:
    """Validate and convert a clip whose transcript follows a convention.

    Returns:
        The row, and int16 samples (num_samples,) at 16 kHz; None for a rejected row.
    """
    spoken, removed = conventions.apply(clip.text or "", convention)
    transcript = text.normalize(spoken)
    if not transcript and any(kind == "foreign" for kind, _ in removed):
        clip = replace(clip, left_out="non_english")
    # Measured before the rejection, if any.
    measured: dict[str, Any] = {"duration": 0.0, "sample_rate": 0, "level": 0.0, "bandwidth": 0.0, "digest": ""}
    try:
        rejection, samples = _convert(clip, spoken, transcript, params, measured)
    except audio.AudioError as error:
        rejection, samples = Rejection("unreadable_audio", str(error), "decodes"), None
    row = Row(
        id=utterance_id(clip, config, split),
        split=split,
        transcript=transcript,
        apostrophes=tuple(text.apostrophe_words(spoken)),
        columns=dict(clip.columns),
        rejection=rejection,
        removed=removed,
        **measured,
    )
    return row, samples


def _convert(
    clip: Clip, spoken: str, transcript: str, params: CheckParams, measured: dict[str, Any]
) -> tuple[Rejection | None, np.ndarray | None]:
    """Run the checks, the cheapest first, and fill `measured`; `spoken` is the transcript before normalisation."""
    if clip.problem:
        return Rejection("unreadable_row", clip.problem, "a whole row"), None
    if clip.left_out:
        return Rejection(clip.left_out, (clip.text or "")[:40], checks.LEFT_OUT[clip.left_out]), None
    if clip.audio is None or len(clip.audio) == 0:
        return Rejection("no_audio", clip.path or "none", "an audio file"), None
    header = audio.read_header(clip.audio, clip.sample_rate)
    measured |= {"duration": round(header.duration, 4), "sample_rate": header.sample_rate}
    measured["wrong_length"] = header.is_streamed
    foreign = text.foreign_characters(spoken)
    rejection = checks.check_header(header, params) or checks.check_text(transcript, foreign, header.duration, params)
    if rejection:
        return rejection, None
    samples = audio.decode(clip.audio)
    rejection = checks.check_samples(samples, header)
    if rejection:
        return rejection, None
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    found = checks.measure(mono, header.sample_rate)
    rejection = checks.check_measurements(found, params)
    if rejection:
        return rejection, None
    pcm = audio.to_pcm16(mono, header.sample_rate)
    measured |= {
        "duration": round(len(pcm) / audio.SAMPLE_RATE, 4),
        "level": found.level,
        "bandwidth": found.bandwidth,
        "digest": hashlib.sha1(pcm.data, usedforsecurity=False).hexdigest(),
    }
    return None, pcm


def utterance_id(clip: Clip, config: str, split: str) -> str:
    """`<config>_<split>_<name>`, where name is the corpus's id made safe, or a content hash where there is none.

    The id depends on the clip only, so it is the same in a subset. A corpus's id that begins with the configuration
    or split does not repeat them.
    """
    if not clip.id:
        return f"{config}_{split}_{content_hash(clip)}"
    name = safe_name(clip.id)
    for prefix in (config, split):
        name = name.removeprefix(f"{prefix}_") or name
    return f"{config}_{split}_{name}"


def safe_name(raw: str) -> str:
    """An id as a plain file name; a hash is appended where that changes the id, so different ids stay different."""
    plain = unicodedata.normalize("NFKD", raw).encode("ascii", "ignore").decode()
    name = _UNSAFE.sub("_", plain)[:MAX_NAME_LENGTH]
    if name == raw:
        return name
    return f"{name.strip('_')}_{hashlib.sha256(raw.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}".lstrip("_")


def content_hash(clip: Clip) -> str:
    """16 hexadecimal digits that identify audio and text."""
    digest = hashlib.sha256((clip.text or "").encode("utf-8", "surrogatepass"))
    if isinstance(clip.audio, np.ndarray):
        digest.update(np.ascontiguousarray(clip.audio).data)
    elif clip.audio is not None:
        digest.update(clip.audio)
    return digest.hexdigest()[:16]
