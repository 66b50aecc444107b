"""Reads ATCO2 as ELDA distributes it (ELRA-S0484, 4 h) and its free hour: recordings with segments in XML.

    .../<airport>_<channel>_<frequency>_<date>_<time>.wav   a recording
                                                     .xml   its segments
                                                     .info  airport, frequency, waypoints and call signs nearby

    <segment><start>0.0</start><end>3.77</end><speaker>A</speaker><speaker_label>OK-PMB</speaker_label>
      <text>[#callsign]Oscar Kilo Papa Mike Bravo[/#callsign] [#command]descend[/#command]</text>
      <tags><correct_transcript>1</correct_transcript><non_english>0</non_english></tags></segment>

Sources: arXiv 2211.04054 and its recipes (github.com/idiap/atco2-corpus).
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from atc_asr.atc.vocabulary.callsigns import icao_form
from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.atc.vocabulary.words import DIGITS, PHONETIC, RADIO_DIGITS
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

OLD_ENCODING = "cp1252"
_CONTROLLER = re.compile(
    r"\b(?:ATCO?|ATIS|CONTROL(?:LER)?|RADAR|TOWER|GROUND|APPROACH|APRON|DELIVERY|DIRECTOR)\b", re.I
)
_CALLSIGN = re.compile(r"\[#callsign\](.*?)\[/#callsign\]", re.IGNORECASE | re.DOTALL)
SPELLED = {word.upper(): str(digit) for digit, word in enumerate(DIGITS)}
SPELLED |= {radio.upper(): SPELLED[word.upper()] for word, radio in RADIO_DIGITS.items()}
SPELLED |= {word.upper(): letter for letter, word in PHONETIC.items()} | {"ALFA": "A", "JULIETT": "J", "OH": "0"}


def open_atco2(corpus: str, config: str, *, splits: Mapping[str, str | None]) -> SegmentSource:
    """Find the recordings under `<corpus>/<config>`, or under `corpus` where that folder does not exist.

    Raises:
        InputError: there are no transcripts.
    """
    folder = config_folder(corpus, config)
    audio = by_name(find_files(folder, *AUDIO_SUFFIXES))
    infos = by_name(find_files(folder, ".info"))
    segments: list[Segment] = []
    nearby = {}
    transcripts = find_files(folder, ".xml")
    if not transcripts:
        raise InputError(f"{folder}: has no transcripts, wanted <recording>.xml beside <recording>.wav")
    for path in transcripts:
        recording = plain_name(path)
        info = infos.get(recording.lower())
        names = read_nearby(info) if info else {}
        nearby[recording] = tuple(dict.fromkeys(names.values()))
        segments += read_segments(path, str(audio.get(recording.lower(), path.with_suffix(".wav"))), names)
    return SegmentSource({"corpus": "atco2"}, {only_split(splits): segments}, nearby)


def read_nearby(path: Path) -> dict[str, str]:
    """Spoken form of a call sign, normalised, or its code -> its code, from the list at the end of an .info file.

    The list has one `DLH3NL : Lufthansa Three November Lima` a line, or several codes a line without spoken forms: the
    aircraft that a surveillance receiver saw at the time of the recording.
    """
    _, found, rest = read_transcript(path, OLD_ENCODING).partition("callsigns nearby:")
    nearby: dict[str, str] = {}
    for line in rest.strip().splitlines() if found else ():
        if not line.strip():
            break
        codes, _, spoken = line.partition(":")
        for code in codes.split():
            nearby[normalize(spoken) or code] = icao_form(code) or code
    return nearby


def read_segments(path: Path, audio: str, nearby: Mapping[str, str]) -> list[Segment]:
    """The segments of an XML file; a file that cannot be used is one segment with a problem."""
    recording = plain_name(path)
    try:
        found = list(read_xml(path).iter("segment"))
    except (XmlError, InputError) as error:
        return [Segment(recording, audio, None, problem=f"{path}: {error}")]
    if not found:
        return [Segment(recording, audio, None, left_out="empty_transcript")]
    return [
        to_segment(element, f"{recording}_segment{number:04d}", recording, audio, nearby)
        for number, element in enumerate(found, start=1)
    ]


def to_segment(
    element: ElementTree.Element, name: str, recording: str, audio: str, nearby: Mapping[str, str]
) -> Segment:
    """A segment with its columns `tape`, `speaker`, `role` and `callsign`; `name` names one without times."""
    label, transcript = _text(element, "speaker_label"), _text(element, "text")
    speaker = _text(element, "speaker")
    columns = {
        "tape": recording,
        # Speakers have letters, which mean another person in every recording.
        "speaker": f"{recording}_{speaker}" if speaker else "",
        "role": role(label),
        "callsign": callsign(label, transcript, nearby),
    }
    start, end = (_seconds(_text(element, tag)) for tag in ("start", "end"))
    if start is None or end is None:
        problem = f"segment {name}: start and end are not numbers"
        return Segment(name, audio, transcript, columns, problem=problem)
    left_out = None
    if _text(element, "non_english").lower() in ("1", "true", "yes"):
        left_out = "non_english"
    elif _text(element, "correct_transcript").lower() in ("0", "false", "no"):
        left_out = "marked_incorrect"
    return Segment(segment_id(recording, start, end), audio, transcript, columns, start, end, left_out=left_out)


def role(label: str) -> str:
    """`controller`, `pilot` or "" for the label of a speaker: `ATCO radar`, a call sign, or nothing that is known."""
    if _CONTROLLER.search(label):
        return "controller"
    return "pilot" if "PILOT" in label.upper() or _label_callsign(label) else ""


def _label_callsign(label: str) -> str:
    if _CONTROLLER.search(label):
        return ""
    return next((code for code in map(icao_form, label.split()) if code), "")


def callsign(label: str, transcript: str, nearby: Mapping[str, str]) -> str:
    """The call sign of the aircraft in ICAO form: of the speaker's label, else the first one that the transcript tags.

    A tagged call sign is looked up among those nearby, else read as an operator's name or nothing, digits and letters;
    "" where that fails.
    """
    if code := _label_callsign(label):
        return code
    tagged = _CALLSIGN.search(transcript)
    spoken = normalize(conventions.apply(tagged[1], "atco2")[0]) if tagged else ""
    if spoken in nearby:
        return nearby[spoken]
    words = spoken.split()
    operator, start = load_operators().find(words, 0) or ("", 0)
    characters = [SPELLED.get(word, "") for word in words[start:]]
    if operator is None or not all(characters):
        return ""
    return icao_form(operator + "".join(characters)) or ""


def _text(element: ElementTree.Element, tag: str) -> str:
    """The text of the first element of a name, "" where there is none."""
    return (element.findtext(f".//{tag}") or "").strip()


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None
