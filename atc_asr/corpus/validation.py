"""The gate over all rows of a configuration: what only shows when every shard is there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atc_asr.core.errors import InputError
from atc_asr.corpus.checks import Duplicates
from atc_asr.corpus.clips import Row
from atc_asr.corpus.params import CheckParams
from atc_asr.corpus.source import SPLITS
from atc_asr.corpus.split import assign_groups


@dataclass(frozen=True)
class SplitSpec:
    """How a corpus without valid or test gets them: whole groups of a column, taken out of train."""

    column: str
    shares: Mapping[str, float]
    seed: int


@dataclass(frozen=True)
class Validation:
    """What may go, and what may not be shared."""

    checks: CheckParams
    max_rejected: float


def kept(rows: Sequence[Row]) -> list[Row]:
    """The rows that pass."""
    return [row for row in rows if not row.rejection]


def by_split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of each split that has any, train first."""
    splits = {split: [row for row in rows if row.split == split] for split in SPLITS}
    return {split: here for split, here in splits.items() if here}


def refuse_duplicates(rows: Sequence[Row], allow_same_audio: bool) -> list[Row]:
    """Rows with those rejected whose id or audio was in their split before."""
    ids = Duplicates("duplicate_id")
    digests = {split: Duplicates("duplicate_audio") for split in SPLITS}
    checked = []
    for row in rows:
        if not row.rejection:
            rejection = ids.check(row.id, row.id)
            if not rejection and not allow_same_audio:
                rejection = digests[row.split].check(row.digest, row.id)
            row = replace(row, rejection=rejection)
        checked.append(row)
    return checked


def regrouped(rows: Sequence[Row], regroup: SplitSpec) -> list[Row]:
    """Rows with the splits that the corpus lacks taken out of its train split, group by group.

    Raises:
        InputError: the column is not there, or there are too few groups.
    """
    there = {row.split for row in rows}
    shares = {split: share for split, share in regroup.shares.items() if split not in there and share > 0}
    train = [row for row in kept(rows) if row.split == "train"]
    if not shares or not train:
        return list(rows)
    unknown = next((row for row in train if not row.columns.get(regroup.column)), None)
    if unknown:
        columns = ", ".join(sorted(unknown.columns)) or "none"
        raise InputError(f"export.split_by: {unknown.id} has no {regroup.column} (its columns: {columns})")
    splits = assign_groups([row.columns[regroup.column] for row in train], shares, regroup.seed)
    return [
        row if row.split != "train" or row.rejection else replace(row, split=splits[row.columns[regroup.column]])
        for row in rows
    ]


def refuse_too_many(config: str, rows: Sequence[Row], max_rejected: float, listing: Path) -> None:
    """Raise when more than the allowed share of a split was rejected, or nothing is left of it.

    Args:
        listing: where the user finds the rejected rows.

    Raises:
        InputError: that is so.
    """
    for split in SPLITS:
        here = [row for row in rows if row.split == split]
        dropped = Counter(row.rejection.reason for row in here if row.rejection)
        count = sum(dropped.values())
        if here and (count == len(here) or count > max_rejected * len(here)):
            reasons = ", ".join(f"{reason} {number}" for reason, number in dropped.most_common())
            raise InputError(
                f"{config}: {count} of {len(here)} {split} rows rejected ({reasons}), "
                f"wanted at most {max_rejected:.0%} (export.max_rejected) and some left; see {listing}"
            )
