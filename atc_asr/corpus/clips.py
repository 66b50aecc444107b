"""One clip of a source -> one checked row and its samples."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from atc_asr.core import text
from atc_asr.corpus import audio, checks
from atc_asr.corpus.audio import AudioError
from atc_asr.corpus.checks import Rejection
from atc_asr.corpus.params import CheckParams
from atc_asr.corpus.source import Clip

LONGEST_NAME = 100  # characters of an id that come from the corpus; file systems stop at 255 bytes
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Row:
    """What is known of a clip after the gate.

    Attributes:
        id: safe as a file name, unique when the row is kept.
        split: "train", "valid" or "test".
        duration: seconds; 0 where the audio could not be measured.
        transcript: normalised.
        apostrophes: words that lost an apostrophe.
        columns: further columns of the corpus.
        sample_rate: native, Hz; 0 where unknown.
        level: dB of full scale.
        bandwidth: Hz.
        digest: of the 16 kHz samples: the same audio has the same digest, whatever its container.
        rejection: why it goes; None when it is kept.
    """

    id: str
    split: str
    duration: float
    transcript: str
    apostrophes: tuple[str, ...]
    columns: Mapping[str, str]
    sample_rate: int
    level: float
    bandwidth: float
    digest: str
    rejection: Rejection | None


def make_row(clip: Clip, *, config: str, split: str, params: CheckParams) -> tuple[Row, np.ndarray | None]:
    """Check a clip.

    Returns:
        The row, and its int16 samples (num_samples,) at 16 kHz; None with a rejected row.
    """
    transcript = text.normalize(clip.text or "")
    facts = {
        "id": utterance_id(clip, config, split),
        "split": split,
        "transcript": transcript,
        "apostrophes": tuple(text.apostrophe_words(clip.text or "")),
        "columns": dict(clip.columns),
    }
    found = {"duration": 0.0, "sample_rate": 0, "level": 0.0, "bandwidth": 0.0, "digest": ""}
    try:
        rejection, samples = _listen(clip, transcript, params, found)
    except AudioError as error:
        rejection, samples = Rejection("unreadable_audio", str(error), "decodes"), None
    return Row(**facts, **found, rejection=rejection), samples


def _listen(
    clip: Clip, transcript: str, params: CheckParams, found: dict
) -> tuple[Rejection | None, np.ndarray | None]:
    """Run the checks from cheap to dear; what was measured on the way is left in `found`."""
    if clip.problem:
        return Rejection("unreadable_row", clip.problem, "a whole row"), None
    if clip.audio is None or len(clip.audio) == 0:
        return Rejection("no_audio", "none", "an audio file"), None
    header = audio.read_header(clip.audio, clip.sample_rate)
    found |= {"duration": round(header.duration, 4), "sample_rate": header.sample_rate}
    rejection = checks.check_header(header, params)
    if rejection:
        return rejection, None
    rejection = checks.check_text(transcript, text.foreign_characters(clip.text or ""), header.duration, params)
    if rejection:
        return rejection, None
    samples = audio.decode(clip.audio)
    rejection = checks.check_samples(samples, header)
    if rejection:
        return rejection, None
    mono = audio.mix_down(samples)
    measures = checks.measure(mono, header.sample_rate, params.bandwidth_range)
    rejection = checks.check_measures(measures, params)
    if rejection:
        return rejection, None
    pcm = audio.to_pcm16(mono, header.sample_rate)
    found |= {
        "duration": round(len(pcm) / audio.SAMPLE_RATE, 4),
        "level": measures.level,
        "bandwidth": measures.bandwidth,
        "digest": hashlib.sha1(pcm.data, usedforsecurity=False).hexdigest(),
    }
    return None, pcm


def utterance_id(clip: Clip, config: str, split: str) -> str:
    """`<config>_<split>_<name>`: the corpus's own id made safe, or a content hash where it has none.

    It depends on nothing but the clip, so it stays when a subset is taken; what the prefix says is not said twice.
    """
    if not clip.id:
        return f"{config}_{split}_{content_hash(clip)}"
    name = safe_name(clip.id)
    for prefix in (config, split):
        name = name.removeprefix(f"{prefix}_") or name
    return f"{config}_{split}_{name}"


def safe_name(raw: str) -> str:
    """A corpus's id as a plain file name; when that changes more than accents or spaces, a hash keeps it unique."""
    plain = unicodedata.normalize("NFKD", raw).encode("ascii", "ignore").decode()
    name = _UNSAFE.sub("_", plain)[:LONGEST_NAME]
    if name == raw:
        return name
    return f"{name.strip('_')}_{hashlib.sha256(raw.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}".lstrip("_")


def content_hash(clip: Clip) -> str:
    """16 hexadecimal digits of what the clip holds, audio and text."""
    digest = hashlib.sha256((clip.text or "").encode("utf-8", "surrogatepass"))
    if isinstance(clip.audio, np.ndarray):
        digest.update(np.ascontiguousarray(clip.audio).data)
    elif clip.audio is not None:
        digest.update(clip.audio)
    return digest.hexdigest()[:16]
