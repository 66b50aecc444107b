"""Leakage: what of the test data a model could have met in training."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.corpus.clips import Row

EXAMPLES = 3


def shared_audio(splits: Mapping[str, Sequence[Row]]) -> dict[str, list[tuple[str, str]]]:
    """Pairs of splits ("train-test") -> pairs of ids with identical audio, sorted."""
    found = {}
    for one, other in combinations(splits, 2):
        ids = {row.digest: row.id for row in splits[one]}
        found[f"{one}-{other}"] = sorted((ids[row.digest], row.id) for row in splits[other] if row.digest in ids)
    return found


def refuse_shared_audio(found: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Raise when two splits hold the same audio.

    Raises:
        InputError: they do; the message names the first pairs.
    """
    for splits, pairs in found.items():
        if pairs:
            examples = ", ".join(f"{one} = {other}" for one, other in pairs[:EXAMPLES])
            raise InputError(
                f"export: {len(pairs)} clips of {splits} have identical audio ({examples}), "
                "wanted none (checks.allow_leakage: true accepts it)"
            )


def report(splits: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """For each held-out split: shared audio, transcripts seen in train, and shared values of every further column.

    Shares are of the held-out split's utterances, in [0, 1].
    """
    train = splits.get("train", ())
    transcripts = {row.transcript for row in train}
    columns = sorted({name for rows in splits.values() for row in rows for name in row.columns})
    result: dict[str, Any] = {"identical_audio": {pair: len(ids) for pair, ids in shared_audio(splits).items()}}
    for split, rows in splits.items():
        if split != "train" and rows and train:
            result[split] = {
                "transcripts_seen_in_train": _share(row.transcript in transcripts for row in rows),
                "columns": {name: _column(name, rows, train) for name in columns},
            }
    return result


def _column(name: str, rows: Sequence[Row], train: Sequence[Row]) -> dict[str, Any]:
    known = {row.columns.get(name) for row in train} - {None, ""}
    here = {row.columns.get(name) for row in rows} - {None, ""}
    return {
        "values": len(here),
        "shared_values": len(here & known),
        "utterances_shared": _share(row.columns.get(name) in known for row in rows),
    }


def _share(hits: Iterable[bool]) -> float:
    hits = list(hits)
    return round(sum(hits) / len(hits), 6)
