"""Opens the corpus that the section `export` names."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atc_asr.atc.vocabulary.operators import read_added
from atc_asr.core.corpora import CORPUS
from atc_asr.core.errors import InputError
from atc_asr.corpus.atco2 import open_atco2
from atc_asr.corpus.atcosim import open_atcosim
from atc_asr.corpus.clips import content_hash, safe_name
from atc_asr.corpus.ldc import open_ldc
from atc_asr.corpus.lhotse import open_lhotse
from atc_asr.corpus.manifest_source import open_manifests
from atc_asr.corpus.params import ExportParams, SyntheticParams
from atc_asr.corpus.source import Clip, Shard, Source, nearby_callsigns
from atc_asr.corpus.synthetic import SyntheticSource
from atc_asr.corpus.uwb import open_uwb

SYNTHETIC = "synthetic"
OPENERS: Mapping[str, Callable[..., Source]] = {
    "manifests": open_manifests,
    "lhotse": open_lhotse,
    "ldc": open_ldc,
    "atcosim": open_atcosim,
    "uwb": open_uwb,
    "atco2": open_atco2,
}


def open_sources(
    params: ExportParams, synthetic: SyntheticParams, name: str | None = None, operators: str | None = None
) -> dict[str, Source]:
    """Configuration -> its source; `name` is that of one of several corpora, `operators` a file of further operators.

    Raises:
        InputError: the corpus cannot be opened, or the names of the configurations are not unique.
    """
    if not params.configs or len(set(params.configs)) < len(params.configs):
        raise InputError(f"export.configs: got {params.configs}, wanted one or more different names")
    if params.corpus == SYNTHETIC and len(params.configs) > 1:
        raise InputError(f"export.configs: got {params.configs}, wanted one name for the synthetic corpus")
    sources = {config: _open_source(params, synthetic, operators, config) for config in params.configs}
    if params.id_pattern:
        sources = {config: IdColumnsSource(source, params.id_pattern) for config, source in sources.items()}
    if name is not None:
        sources = {config: NamedSource(source, name) for config, source in sources.items()}
    return sources


def _open_source(params: ExportParams, synthetic: SyntheticParams, operators: str | None, config: str) -> Source:
    if params.corpus is None:
        raise InputError("export.corpus: got null, wanted a corpus")
    if params.corpus == SYNTHETIC:
        read_added(operators)  # raises its errors here, not in a process
        return SyntheticSource(synthetic, operators)
    splits = {"train": params.train_split, "valid": params.valid_split, "test": params.test_split}
    if params.layout in OPENERS:
        return OPENERS[params.layout](params.corpus, config, splits=splits)
    from atc_asr.corpus.hub import Columns, open_hub  # imported here because pyarrow takes long to import

    columns = Columns(params.audio_column, params.text_column, params.id_column, tuple(params.columns))
    return open_hub(params.corpus, config, revision=params.revision, splits=splits, columns=columns)


@dataclass(frozen=True)
class IdColumnsSource:
    """Adds the named groups of `pattern`, searched in the ids, as columns; "" where the pattern does not match.

    Corpora write speaker, tape or role into ids (`atcosim_zf1_...`, `uwb-atcc_<tape>_..._AT`).

    Raises:
        InputError: the pattern is invalid or has no named group.
    """

    source: Source
    pattern: str

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise InputError(f"export.id_pattern: {self.pattern} is not a regular expression: {error}") from error
        if not groups:
            raise InputError(f"export.id_pattern: {self.pattern} has no named group, wanted (?P<name>...)")

    @property
    def nearby(self) -> Mapping[str, Sequence[str]]:
        return nearby_callsigns(self.source)

    def identity(self) -> Mapping[str, Any]:
        return {**self.source.identity(), "id_pattern": self.pattern}

    def shards(self) -> list[Shard]:
        return self.source.shards()

    def read(self, shard: Shard) -> Iterator[Clip]:
        compiled = re.compile(self.pattern)
        for clip in self.source.read(shard):
            match = compiled.search(clip.id or "")
            columns = match.groupdict("") if match else dict.fromkeys(compiled.groupindex, "")
            yield replace(clip, columns={**clip.columns, **columns})


@dataclass(frozen=True)
class NamedSource:
    """Adds the name of one of several corpora to the ids, and as the column `corpus`."""

    source: Source
    name: str

    @property
    def nearby(self) -> Mapping[str, Sequence[str]]:
        return nearby_callsigns(self.source)

    def identity(self) -> Mapping[str, Any]:
        return {**self.source.identity(), "name": self.name}

    def shards(self) -> list[Shard]:
        return self.source.shards()

    def read(self, shard: Shard) -> Iterator[Clip]:
        for clip in self.source.read(shard):
            own = safe_name(clip.id) if clip.id else content_hash(clip)
            yield replace(clip, id=f"{self.name}_{own}", columns={**clip.columns, CORPUS: self.name})
