"""Reads UWB-ATCC as LINDAT distributes it: recordings of 8 kHz with transcripts of Transcriber, or with STM files.

    <recording>.wav
    <recording>.trs   <Turn startTime="0" endTime="9.5"><Sync time="0"/>[air] ... <Sync time="4.1"/>..</Turn>
    <name>.stm        <recording> <channel> <speaker> <start> <end> [<label>] <text>

Source: L. Smidl et al., http://hdl.handle.net/11858/00-097C-0000-0001-CCA1-0; recipe of github.com/idiap/atco2-corpus.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from atc_asr.core.errors import InputError
from atc_asr.core.text import normalize
from atc_asr.corpus import conventions
from atc_asr.corpus.segments import (
    AUDIO_SUFFIXES,
    Segment,
    SegmentSource,
    by_name,
    config_folder,
    find_files,
    only_split,
    plain_name,
    read_transcript,
    segment_id,
)
from atc_asr.corpus.xml_files import XmlError, read_xml

OLD_ENCODING = "cp1250"
AUDIO_PREFIX = "e2_"  # of the attribute audio_filename; the files do not have it
ROLES = {"air": "pilot", "ground": "controller"}
_SPEAKER = re.compile(r"\[(?:\|_)?(air|ground)(?:_\|)?\]", re.IGNORECASE)
_STM_LINE = re.compile(r"(\S+)\s+\S+\s+\S+\s+([\d.]+)\s+([\d.]+)\s+(?:<[^<>]*>\s+)?(.*)")


def open_uwb(corpus: str, config: str, *, splits: Mapping[str, str | None]) -> SegmentSource:
    """Find the transcripts under `<corpus>/<config>`, or under `corpus` where that folder does not exist.

    Raises:
        InputError: there are no transcripts.
    """
    folder = config_folder(corpus, config)
    audio = by_name(find_files(folder, *AUDIO_SUFFIXES))
    transcripts = find_files(folder, ".trs", ".stm", ".trs.gz", ".stm.gz")
    if not transcripts:
        raise InputError(f"{folder}: has no transcripts, wanted <recording>.trs or .stm beside <recording>.wav")
    segments = []
    for path in transcripts:
        recording = plain_name(path)
        try:
            is_trs = ".trs" in [suffix.lower() for suffix in path.suffixes]
            parts = list(read_trs(path) if is_trs else read_stm(path))
        except (XmlError, InputError, ValueError) as error:
            parts = []
            segments.append(Segment(recording, str(path), None, problem=f"{path}: {error}"))
            continue
        found = [
            to_segment(name, str(audio.get(name.lower(), path.with_name(f"{name}.wav"))), start, end, transcript)
            for name, start, end, transcript in parts
            if is_transmission(transcript)
        ]
        segments += found or [Segment(recording, str(path), None, left_out="empty_transcript")]
    return SegmentSource({"corpus": "uwb"}, {only_split(splits): segments})


def read_trs(path: Path) -> Iterator[tuple[str, float, float, str]]:
    """(recording, start, end, transcript) of the parts between the `Sync` marks of a Transcriber file.

    Raises:
        XmlError: the file cannot be used.
        ValueError: a time is not a number.
    """
    root = read_xml(path)
    recording = Path(root.get("audio_filename") or plain_name(path)).name.removesuffix(".wav")
    recording = recording.removeprefix(AUDIO_PREFIX)
    for turn in root.iter("Turn"):
        parts: list[tuple[float, list[str]]] = []
        for element in turn:
            if element.tag == "Sync":
                parts.append((float(element.get("time", "")), []))
            elif parts:
                parts[-1][1].append(event_mark(element))
            if parts:
                parts[-1][1].append(element.tail or "")
        ends = [start for start, _ in parts[1:]] + [float(turn.get("endTime", ""))]
        for (start, words), end in zip(parts, ends, strict=bool(parts)):
            yield recording, start, end, " ".join(" ".join(words).split())


def event_mark(event: ElementTree.Element) -> str:
    """An element between words as a mark of the transcripts' own; a language begins and ends a foreign stretch."""
    if event.get("type") == "language" and event.get("extent") in ("begin", "end"):
        return "[no_eng_|]" if event.get("extent") == "begin" else "[|_no_eng]"
    return f"[{event.get('desc') or event.tag}]"


def read_stm(path: Path) -> Iterator[tuple[str, float, float, str]]:
    """(recording, start, end, transcript) of an STM file; `;;` begins a comment.

    Raises:
        ValueError: a line is not of the format.
    """
    for number, line in enumerate(read_transcript(path, OLD_ENCODING).splitlines(), start=1):
        if not line.strip() or line.startswith(";;"):
            continue
        match = _STM_LINE.fullmatch(line.strip())
        if not match:
            raise ValueError(f"line {number}: got {line[:60]!r}, wanted recording, channel, speaker, start, end, text")
        yield match[1], float(match[2]), float(match[3]), match[4]


def is_transmission(transcript: str) -> bool:
    """Whether a part has a speaker's mark or words; other parts are the pauses between transmissions."""
    return bool(_SPEAKER.search(transcript) or normalize(conventions.apply(transcript, "uwb")[0]))


def to_segment(recording: str, audio: str, start: float, end: float, transcript: str) -> Segment:
    """A segment with its columns `tape` and `role`; a part in which both speak has the role `both`."""
    roles = {ROLES[mark.lower()] for mark in _SPEAKER.findall(transcript)}
    columns = {"tape": recording, "role": "both" if len(roles) > 1 else "".join(roles)}
    return Segment(segment_id(recording, start, end), audio, transcript, columns, start, end)
