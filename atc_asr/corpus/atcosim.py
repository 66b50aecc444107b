"""Reads ATCOSIM as the Graz University of Technology distributes it: one file per utterance, 32 kHz.

    WAVdata/<speaker>/<session>/<session>_<number>.wav
    TXTdata/<speaker>/<session>/<session>_<number>.txt   its transcript
    TXTdata/fulldata.csv                                 all: filename, recording_corrupt, transcription, ...

Source: K. Hofbauer, S. Petrik: ATCOSIM, technical report TUG-SPSC-2007-11.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from atc_asr.core.errors import InputError
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
)

OLD_ENCODING = "latin-1"
AUDIO_FOLDER, TEXT_FOLDER, TABLE = "wavdata", "txtdata", "fulldata.csv"


def open_atcosim(corpus: str, config: str, *, splits: Mapping[str, str | None]) -> SegmentSource:
    """Find the utterances under `<corpus>/<config>`, or under `corpus` where that folder does not exist.

    Raises:
        InputError: there are no transcripts.
    """
    folder = config_folder(corpus, config)
    audio = by_name([path for path in find_files(folder, *AUDIO_SUFFIXES) if _is_below(path, folder, AUDIO_FOLDER)])
    texts = by_name([path for path in find_files(folder, ".txt", ".txt.gz") if _is_below(path, folder, TEXT_FOLDER)])
    tables = [path for path in find_files(folder, TABLE) if path.name.lower() == TABLE]
    table = read_table(tables[0]) if tables else {}
    # Beside the transcripts there are word lists and readme files: utterances have audio or are in the table.
    names = sorted(audio.keys() | table.keys())
    if not audio or not (texts or table):
        raise InputError(f"{folder}: has no utterances, wanted WAVdata/<speaker>/<session>/*.wav and TXTdata alike")
    segments = [to_segment(name, folder, audio.get(name), texts.get(name), table.get(name, {})) for name in names]
    return SegmentSource({"corpus": "atcosim"}, {only_split(splits): segments})


def _is_below(path: Path, folder: Path, name: str) -> bool:
    return name in (part.lower() for part in path.relative_to(folder).parts[:-1])


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """Name of the utterance in lower case -> its row of fulldata.csv, which does not quote cells."""
    lines = read_transcript(path, OLD_ENCODING).splitlines()
    rows = csv.DictReader(lines, quoting=csv.QUOTE_NONE)
    return {row["filename"].strip().lower(): row for row in rows if row.get("filename")}


def to_segment(name: str, folder: Path, audio: Path | None, transcript: Path | None, row: Mapping[str, str]) -> Segment:
    """An utterance with its columns `speaker`, `tape` (the session) and `role`; all speakers are controllers."""
    path = audio or folder / "WAVdata" / row.get("directory", "") / row.get("subdirectory", "") / f"{name}.wav"
    columns = {"speaker": name.split("_")[0], "tape": name.rpartition("_")[0], "role": "controller"}
    text = read_transcript(transcript, OLD_ENCODING) if transcript else row.get("transcription")
    problem = None if text is not None else f"{path}: has no transcript, wanted {plain_name(path)}.txt in TXTdata"
    left_out = "marked_corrupt" if (row.get("recording_corrupt") or "0").strip() not in ("0", "") else None
    return Segment(name, str(path), text, columns, problem=problem, left_out=left_out)
