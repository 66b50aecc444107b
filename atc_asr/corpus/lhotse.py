"""Reads the manifests of lhotse: `<name>recordings<split>.jsonl.gz` and `<name>supervisions<split>.jsonl.gz`.

Format: lhotse.readthedocs.io (Recording, SupervisionSegment). lhotse itself is not needed.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import audio_path
from atc_asr.corpus.segments import Segment, SegmentSource, config_folder, find_files, only_split, read_bytes

SUFFIXES = (".jsonl.gz", ".jsonl")
RECORDINGS, SUPERVISIONS = "recordings", "supervisions"


def open_lhotse(corpus: str, config: str, *, splits: Mapping[str, str | None]) -> SegmentSource:
    """Find pairs of manifests under `<corpus>/<config>`, or under `corpus` where that folder does not exist.

    Args:
        splits: "train", "valid", "test" -> the split's name in the names of files or folders; manifests without splits
            are all in the first one.

    Raises:
        InputError: there are no manifests, or one cannot be read.
    """
    folder = config_folder(corpus, config)
    found = [path for path in find_files(folder, *SUFFIXES) if SUPERVISIONS in path.name]
    if not found:
        raise InputError(f"{folder}: has no {SUPERVISIONS}.jsonl.gz, wanted it beside {RECORDINGS}.jsonl.gz")
    files = {split: [path for path in found if name and _has_name(path, name)] for split, name in splits.items()}
    if not any(files.values()):
        files = {only_split(splits): found}
    segments = {split: [one for path in paths for one in read_pair(path)] for split, paths in files.items()}
    return SegmentSource({"corpus": "lhotse"}, segments)


def _has_name(path: Path, split: str) -> bool:
    """Whether a manifest is of a split: `x_supervisions_dev.jsonl.gz`, or `dev/supervisions.jsonl.gz`."""
    rest = path.name.split(".jsonl")[0].rpartition(SUPERVISIONS)[2].strip("_-")
    return split == (rest or path.parent.name)


def read_pair(supervisions: Path) -> Iterator[Segment]:
    """The supervisions of a manifest with the audio of their recordings.

    Raises:
        InputError: a manifest is missing or cannot be read.
    """
    path = supervisions.with_name(supervisions.name.replace(SUPERVISIONS, RECORDINGS))
    if not path.is_file():
        raise InputError(f"{supervisions}: has no recordings, wanted {path}")
    recordings = {str(row.get("id")): row for _, row in read_json_lines(path)}
    for number, row in read_json_lines(supervisions):
        try:
            yield to_segment(row, recordings, path.parent)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{supervisions}:{number}: is no supervision: {type(error).__name__} {error}"
            yield Segment(str(row.get("id") or f"line{number}"), "", None, problem=problem)


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a file of JSON lines, which may be compressed.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object.
    """
    for number, line in enumerate(read_bytes(path).splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}:{number}: is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: got {type(row).__name__}, wanted an object")
            yield number, row


def to_segment(row: Mapping[str, Any], recordings: Mapping[str, Any], folder: Path) -> Segment:
    """A supervision as a segment with its columns `speaker`, `tape` and those of `custom`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: a field is missing or of another type.
    """
    name = str(row["recording_id"])
    custom = row.get("custom") or {}
    columns = {key: str(value) for key, value in custom.items() if isinstance(value, (str, int, float))}
    columns |= {"tape": name, "speaker": str(row.get("speaker") or "")}
    start = float(row["start"])
    problem, audio, channel = f"recording {name} is in no manifest of recordings", "", None
    if name in recordings:
        problem, audio, channel = find_audio(recordings[name], row.get("channel", 0), folder)
    end = start + float(row["duration"])
    return Segment(str(row["id"]), audio, row.get("text"), columns, start, end, channel, problem=problem or None)


def find_audio(recording: Mapping[str, Any], channel: int | list[int], folder: Path) -> tuple[str, str, int | None]:
    """(problem or "", path, channel in that file or None for all) of one channel, or all, of a recording."""
    channels = channel if isinstance(channel, list) else [channel]
    for source in recording["sources"]:
        if channels[0] in source["channels"]:
            if source["type"] != "file":
                return f"its recording is of type {source['type']}, wanted file", "", None
            path = str(audio_path(folder, source["source"]))
            is_part = len(source["channels"]) > 1 and len(channels) == 1
            return "", path, source["channels"].index(channels[0]) if is_part else None
    return f"its recording has no channel {channels[0]}", "", None
