"""Columns from ids."""

from dataclasses import dataclass

import pytest

from atc_asr.core.errors import InputError
from atc_asr.corpus import readers
from atc_asr.corpus.source import Clip, Shard

UWB = r"^uwb-atcc_(?P<tape>[^_]+)_\d+_\d+_(?P<role>AT|PI|PIAT)$"


@dataclass(frozen=True)
class IdSource:
    names: tuple[str | None, ...]

    def identity(self):
        return {"names": self.names}

    def shards(self):
        return [Shard("train", 0, None, len(self.names))]

    def read(self, shard):
        return iter([Clip(name, None, None, "x", {"channel": "left"}) for name in self.names])


def test_named_groups_of_ids_become_columns():
    source = readers.IdColumnsSource(IdSource(("uwb-atcc_TWR-34720N_000100_000250_PI", "else", None)), UWB)
    (shard,) = source.shards()
    assert [clip.columns for clip in source.read(shard)] == [
        {"channel": "left", "tape": "TWR-34720N", "role": "PI"},
        {"channel": "left", "tape": "", "role": ""},
        {"channel": "left", "tape": "", "role": ""},
    ]
    assert source.identity() == {"names": source.source.names, "id_pattern": UWB}


@pytest.mark.parametrize(("pattern", "wanted"), [("(", "is not a regular expression"), ("x(y)", "has no named group")])
def test_an_invalid_pattern(pattern, wanted):
    with pytest.raises(InputError, match=wanted):
        readers.IdColumnsSource(IdSource(()), pattern)
