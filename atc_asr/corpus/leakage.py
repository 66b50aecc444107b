"""Leakage: audio, transcripts and speakers of the test data that also occur in train, of one corpus or of several."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from atc_asr.core.corpora import AUDIO_HASH
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.corpus.clips import Row
from atc_asr.corpus.source import SPLITS

NUM_EXAMPLES = 3
KINDS = ("audio", "id", "tape")  # what shows that two corpora have the same recording


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


class Clip(NamedTuple):
    """An utterance of one of several corpora, and what shows that another corpus has it too."""

    corpus: str
    split: str
    id: str
    keys: Mapping[str, str]  # of KINDS, those that show something


class Leak(NamedTuple):
    """A clip of valid or test that is in train of another corpus."""

    kind: str
    train: Clip
    held_out: Clip


def clip_of(row: Utterance, corpus: str, split: str, config: str) -> Clip:
    """A row of an export, in whose id the corpus's own follows configuration, split in the corpus and name.

    Ids and tapes without a letter are numbers that any corpus may have, and show nothing.
    """
    own = row.id
    for part in SPLITS:
        own = own.removeprefix(f"{config}_{part}_{corpus}_")
    names = {"id": own, "tape": row.columns.get("tape", "")}
    keys = {kind: name for kind, name in names.items() if any(map(str.isalpha, name))}
    return Clip(corpus, split, row.id, keys | {"audio": row.columns[AUDIO_HASH]})


def across_corpora(clips: Sequence[Clip]) -> list[Leak]:
    """The clips of valid and test that have the audio, own id or tape of a train clip of another corpus."""
    leaks = []
    for kind in KINDS:
        train: dict[str, dict[str, Clip]] = {}  # key -> corpus -> its first clip
        for clip in clips:
            if clip.split == "train" and kind in clip.keys:
                train.setdefault(clip.keys[kind], {}).setdefault(clip.corpus, clip)
        for clip in clips:
            if clip.split != "train" and kind in clip.keys:
                others = (one for one in train.get(clip.keys[kind], {}).values() if one.corpus != clip.corpus)
                leaks += [Leak(kind, one, clip) for one in others]
    return leaks


def counts(leaks: Sequence[Leak]) -> dict[str, dict[str, int]]:
    """Pair of corpora -> number of clips of valid or test of the one in train of the other: all, and by kind."""
    found: dict[str, dict[str, set[str]]] = {}
    for kind, train, held_out in leaks:
        pair = found.setdefault(f"{held_out.corpus} {held_out.split} in {train.corpus}", {"clips": set()})
        pair["clips"].add(held_out.id)
        pair.setdefault(kind, set()).add(held_out.id)
    return {pair: {kind: len(ids) for kind, ids in kinds.items()} for pair, kinds in found.items()}


def describe(leaks: Sequence[Leak]) -> str:
    """The numbers and examples in one line."""
    numbers = [
        f"{pair}'s train {kinds.pop('clips')} clips ({', '.join(f'{kind} {number}' for kind, number in kinds.items())})"
        for pair, kinds in counts(leaks).items()
    ]
    examples = ", ".join(f"{leak.held_out.id} = {leak.train.id}" for leak in leaks[:NUM_EXAMPLES])
    return f"{'; '.join(numbers)}: {examples}"
