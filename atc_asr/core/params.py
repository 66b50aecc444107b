"""Sections of params.yaml, and parts of them, that several packages read."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, model_validator

from atc_asr.core.config import Section, make_section, param
from atc_asr.core.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # also a folder, a part of ids and a stage of dvc.yaml


class OperatorsParams(Section):
    """The key of `score` that the synthetic corpus, boosting and slots read too."""

    model_config = ConfigDict(extra="ignore")
    section: ClassVar[str] = "score"
    operators: str | None = param("CSV (icao,telephony) of operators added to those of the package; null = none")


class CorpusParams(Section):
    """One of several corpora."""

    weight: float = param("its part of the audio seconds of training, relative to the others'; 0 = scored only", ge=0)
    role: Literal["train", "test", "guard"] = param("train, test (scored only) or guard (must not get worse)")
    export: dict[str, Any] = param("keys of `export` that differ; keys of `checks` and `synthetic` below these names")


class CorporaParams(Section):
    """Several corpora by name, each with weight, role and export (docs/data.md); {} = the one of section export."""

    model_config = ConfigDict(extra="allow")
    section: ClassVar[str] = "corpora"

    @model_validator(mode="before")
    @classmethod
    def _make_corpora(cls, values: Any) -> Any:
        for name in values:
            if not _NAME.fullmatch(str(name)):
                raise InputError(f"corpora: got the name {name!r}, wanted letters, digits, '_' and '-', at most 40")
        corpora = {name: make_section(CorpusParams, value, f"corpora.{name}") for name, value in values.items()}
        if corpora and not any(corpus.weight and corpus.role != "test" for corpus in corpora.values()):
            raise InputError("corpora: no corpus of role train or guard has a weight above 0, wanted one to train on")
        return corpora

    @property
    def by_name(self) -> Mapping[str, CorpusParams]:
        """Name -> corpus."""
        return self.model_extra or {}
