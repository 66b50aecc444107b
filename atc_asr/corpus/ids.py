"""Facts that a corpus keeps in its ids (`atcosim_zf1_…`, `uwb-atcc_<tape>_…_AT`) as columns."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from atc_asr.core.errors import InputError
from atc_asr.corpus.source import Clip, Shard, Source


@dataclass(frozen=True)
class IdSource:
    """Another source's clips with the named groups of a pattern as further columns; "" where the id does not match."""

    source: Source
    pattern: str

    def identity(self) -> Mapping[str, Any]:
        """The other source's, and the pattern."""
        return {**self.source.identity(), "id_pattern": self.pattern}

    def shards(self) -> list[Shard]:
        """The other source's."""
        return self.source.shards()

    def read(self, shard: Shard) -> Iterator[Clip]:
        """The clips of a shard with their columns."""
        compiled = re.compile(self.pattern)
        for clip in self.source.read(shard):
            match = compiled.search(clip.id or "")
            found = match.groupdict("") if match else dict.fromkeys(compiled.groupindex, "")
            yield replace(clip, columns={**clip.columns, **found})


def read_ids(source: Source, pattern: str) -> IdSource:
    """A source that reads its ids with a pattern.

    Raises:
        InputError: the pattern is no regular expression, or has no named group.
    """
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise InputError(f"export.id_pattern: {pattern} is no regular expression: {error}") from error
    if not groups:
        raise InputError(f"export.id_pattern: {pattern} has no named group, wanted (?P<name>…)")
    return IdSource(source, pattern)
