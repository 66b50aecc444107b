"""Leakage: audio, transcripts and speakers of the test data that also occur in train."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.corpus.clips import Row

NUM_EXAMPLES = 3


def shared_audio(splits: Mapping[str, Sequence[Row]]) -> dict[str, list[tuple[str, str]]]:
    """Pair of splits ("train-test") -> sorted pairs of ids with identical audio."""
    shared = {}
    for one, other in combinations(splits, 2):
        ids = {row.digest: row.id for row in splits[one]}
        shared[f"{one}-{other}"] = sorted((ids[row.digest], row.id) for row in splits[other] if row.digest in ids)
    return shared


def check_shared_audio(splits: Mapping[str, Sequence[Row]]) -> None:
    """Check that no two splits contain the same audio.

    Raises:
        InputError: they do; the message names the first pairs.
    """
    for names, pairs in shared_audio(splits).items():
        if pairs:
            examples = ", ".join(f"{one} = {other}" for one, other in pairs[:NUM_EXAMPLES])
            raise InputError(
                f"export: {len(pairs)} clips of {names} have identical audio ({examples}), "
                "wanted none (checks.allow_leakage: true accepts it)"
            )


def report(splits: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Identical audio; for each held-out split, transcripts and column values that also occur in train.

    Fractions are of the held-out split's utterances, in [0, 1].
    """
    train = splits.get("train", ())
    transcripts = {row.transcript for row in train}
    columns = sorted({name for rows in splits.values() for row in rows for name in row.columns})
    result: dict[str, Any] = {"identical_audio": {pair: len(ids) for pair, ids in shared_audio(splits).items()}}
    for split, rows in splits.items():
        if split != "train" and rows and train:
            result[split] = {
                "transcripts_seen_in_train": _fraction(row.transcript in transcripts for row in rows),
                "columns": {name: _compare_column(name, rows, train) for name in columns},
            }
    return result


def _compare_column(name: str, rows: Sequence[Row], train: Sequence[Row]) -> dict[str, Any]:
    train_values = {row.columns.get(name) for row in train} - {None, ""}
    values = {row.columns.get(name) for row in rows} - {None, ""}
    return {
        "values": len(values),
        "shared_values": len(values & train_values),
        "utterances_shared": _fraction(row.columns.get(name) in train_values for row in rows),
    }


def _fraction(hits: Iterable[bool]) -> float:
    hits = list(hits)
    return round(sum(hits) / len(hits), 6)
