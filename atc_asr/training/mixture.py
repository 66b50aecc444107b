"""Training on several corpora: the rows that are used, and the utterances of each epoch by the weights of corpora."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from atc_asr.core.corpora import corpus_of, is_used, shares
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.core.params import CorporaParams, CorpusParams

Rows = Sequence[Utterance]
Corpora = Mapping[str, CorpusParams]


def select(train: Rows, valid: Rows, params: CorporaParams) -> tuple[list[Utterance], list[Utterance], Corpora]:
    """The rows that are used, and the corpora that they are of; {} where rows have no names or nobody named corpora.

    Raises:
        InputError: a corpus is not in section corpora, or nothing is left.
    """
    names = {corpus_of(row) for row in (*train, *valid)}
    if not params.by_name or names == {""}:
        return list(train), list(valid), {}
    unknown = sorted(names - set(params.by_name))
    if unknown:
        raise InputError(f"manifests: corpus {unknown[0]!r} is not in section corpora: {', '.join(params.by_name)}")
    corpora = {name: corpus for name, corpus in params.by_name.items() if name in names}
    used = [
        [row for row in rows if is_used(corpora[corpus_of(row)], split)]
        for split, rows in (("train", train), ("valid", valid))
    ]
    if not used[0]:
        raise InputError("train manifest: all rows are of corpora with weight 0 or role test, wanted some to train on")
    if not any(corpora[corpus_of(row)].role == "train" for row in used[1]):
        raise InputError("valid manifest: has no row of a corpus with role train, wanted some to choose an epoch by")
    return used[0], used[1], corpora


class WeightedDraw:
    """The utterances of epochs in which each corpus has its share of the audio seconds.

    Every corpus is an endless sequence of passes over its utterances, each in another order. An epoch takes from it
    the seconds that follow those of the epoch before, so that all its utterances are used equally often. What an epoch
    takes depends only on its number and the seed. An epoch has as many seconds as the train set.
    """

    def __init__(self, train_set: Sequence[Utterance], corpora: Corpora, seed: int) -> None:
        self._durations = np.array([row.duration for row in train_set])
        names = np.array([corpus_of(row) for row in train_set])
        self._members = {name: np.flatnonzero(names == name) for name in sorted(set(names.tolist()))}
        part = shares({name: corpora[name] for name in self._members})
        self._seconds = {name: part[name] * self._durations.sum() for name in self._members}  # of an epoch
        self._seed = seed

    def __call__(self, epoch: int) -> np.ndarray:
        """(N,) indices of the utterances of an epoch, counted from 1; one occurs as often as it is used."""
        drawn = []
        for name, members in self._members.items():
            start, end = (epoch - 1) * self._seconds[name], epoch * self._seconds[name]
            length = self._durations[members].sum()
            # A pass more at both ends, because the quotients are rounded.
            for number in range(max(0, int(start // length) - 1), int(end // length) + 2):
                order = self._order(name, number)
                begins = number * length + np.cumsum(self._durations[order]) - self._durations[order]
                drawn.append(order[(begins >= start) & (begins < end)])
        return np.concatenate(drawn)

    def _order(self, name: str, number: int) -> np.ndarray:
        """The utterances of a corpus in the order of a pass."""
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return np.random.default_rng((self._seed, key, number)).permutation(self._members[name])


def audio_shares(rows: Rows, indices: Sequence[int] | np.ndarray) -> dict[str, float]:
    """Corpus -> its fraction of the audio seconds of the utterances with these indices."""
    seconds: dict[str, float] = {}
    for index in indices:
        row = rows[index]
        seconds[corpus_of(row)] = seconds.get(corpus_of(row), 0.0) + row.duration
    return {name: own / sum(seconds.values()) for name, own in seconds.items()}


def without_guards(rows: Rows, corpora: Corpora) -> list[Utterance]:
    """The rows by which epochs are chosen."""
    guards = {name for name, corpus in corpora.items() if corpus.role == "guard"}
    return [row for row in rows if corpus_of(row) not in guards]
