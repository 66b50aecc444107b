"""Validation over all rows of a configuration: duplicates, splits by group, and the number of rejected rows."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from atc_asr.core.errors import InputError
from atc_asr.corpus.checks import LEFT_OUT, Rejection
from atc_asr.corpus.clips import Row
from atc_asr.corpus.source import SPLITS

SPLIT_SEED = 1234  # seed of the random order of groups
OVERSHOOT = 1.5  # a group that fills a split to more than this multiple of its fraction stays in train


def accepted(rows: Sequence[Row]) -> list[Row]:
    """The rows that are not rejected."""
    return [row for row in rows if not row.rejection]


def by_split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Split -> its rows; train first, empty splits left out."""
    splits = {split: [row for row in rows if row.split == split] for split in SPLITS}
    return {split: members for split, members in splits.items() if members}


def reject_duplicates(rows: Sequence[Row], allow_same_audio: bool) -> list[Row]:
    """Reject rows whose id occurred before, or whose audio occurred before in the same split."""
    ids: dict[Hashable, str] = {}
    digests: dict[Hashable, str] = {}
    checked = []
    for row in rows:
        rejection = row.rejection or _find_duplicate("duplicate_id", ids, row.id, row.id)
        if not rejection and not allow_same_audio:
            rejection = _find_duplicate("duplicate_audio", digests, (row.split, row.digest), row.id)
        checked.append(replace(row, rejection=rejection))
    return checked


def _find_duplicate(reason: str, first: dict[Hashable, str], key: Hashable, row_id: str) -> Rejection | None:
    if key in first:
        return Rejection(reason, f"as {first[key]}", "once")
    first[key] = row_id
    return None


def split_train(rows: Sequence[Row], column: str, fractions: Mapping[str, float]) -> list[Row]:
    """Make the splits that the corpus lacks by moving groups out of train: all rows with the same value of `column`.

    On ATCOSIM the WER of a split by speaker is three times the WER of a random split, whose test speakers are in train.

    Args:
        rows: accepted and rejected rows.
        column: speaker, tape, ...
        fractions: "valid", "test" -> fraction of train.

    Raises:
        InputError: a row lacks the column, or there are too few groups.
    """
    present = {row.split for row in rows}
    missing = {split: fraction for split, fraction in fractions.items() if split not in present and fraction > 0}
    train = [row for row in accepted(rows) if row.split == "train"]
    if not missing or not train:
        return list(rows)
    unknown = next((row for row in train if not row.columns.get(column)), None)
    if unknown:
        names = ", ".join(sorted(unknown.columns)) or "none"
        raise InputError(f"export.split_by: {unknown.id} has no {column} (its columns: {names})")
    splits = assign_groups([row.columns[column] for row in train], missing)
    return [
        row if row.split != "train" or row.rejection else replace(row, split=splits[row.columns[column]])
        for row in rows
    ]


def assign_groups(groups: Sequence[str], fractions: Mapping[str, float], seed: int = SPLIT_SEED) -> dict[str, str]:
    """Group -> split.

    Args:
        groups: the group of every utterance.
        fractions: fraction of the utterances for "valid" and "test"; the rest is train.
        seed: of the random order of groups.

    Raises:
        InputError: there are fewer groups than splits.
    """
    sizes = Counter(groups)
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode("utf-8", "surrogatepass")).digest())
    assigned: dict[str, str] = {}
    for num_left, (split, fraction) in zip(range(len(fractions), 0, -1), sorted(fractions.items()), strict=True):
        free = [group for group in order if group not in assigned]
        # Each of the remaining splits and train need a group too.
        chosen = _choose(free, sizes, fraction * len(groups), max_groups=len(free) - num_left)
        if not chosen:
            raise InputError(
                f"export.split_by: {len(sizes)} groups are too few for train and {', '.join(sorted(fractions))}"
            )
        assigned |= dict.fromkeys(chosen, split)
    return {group: assigned.get(group, "train") for group in sizes}


def _choose(free: Sequence[str], sizes: Mapping[str, int], target: float, *, max_groups: int) -> list[str]:
    """Groups in order until they have `target` utterances; the smallest group when all are too large."""
    chosen: list[str] = []
    filled = 0
    for group in free:
        if filled >= target or len(chosen) == max_groups:
            break
        if filled + sizes[group] <= OVERSHOOT * target:
            chosen.append(group)
            filled += sizes[group]
    return chosen or sorted(free, key=lambda group: sizes[group])[: min(1, max(0, max_groups))]


def check_rejected(config: str, rows: Sequence[Row], max_rejected: float, rejected_file: Path) -> None:
    """Check the fraction of rejected rows of every split, without those that a rule of the corpus leaves out.

    Raises:
        InputError: the fraction is above `max_rejected`, or no row of a split is left; see `rejected_file`.
    """
    wanted = [row for row in rows if not (row.rejection and row.rejection.reason in LEFT_OUT)]
    for split in by_split(rows):
        members = [row for row in wanted if row.split == split]
        reasons = Counter(row.rejection.reason for row in members if row.rejection)
        count = reasons.total()
        if count == len(members) or count > max_rejected * len(members):
            counts = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
            first = next((row for row in members if row.rejection), None)
            example = f"first: {first.id}, {first.rejection.value}; " if first and first.rejection else ""
            raise InputError(
                f"{config}: {count} of {len(members)} {split} rows rejected ({counts}), "
                f"wanted at most {max_rejected:.0%} (export.max_rejected) and some left; {example}see {rejected_file}"
            )
