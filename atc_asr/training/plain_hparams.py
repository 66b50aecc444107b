"""HyperPyYAML read as data: what a file would build, with nothing of it built.

HyperPyYAML's tags make objects, call functions and read files when they are loaded. For the file of somebody else the
tags become values here (`Made`, `Ref`), so that an architecture can be read from it and no code runs.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from atc_asr.core.errors import InputError

WHOLE_REFERENCE = re.compile(r"<(\w+)>")
TUPLE = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, eq=False)
class Made:
    """What a tag would make.

    Attributes:
        tag: the tag without its mark: `new:torch.nn.ModuleList`, `name:torch.nn.GELU`, `apply:…`.
        arguments: a mapping, a list, or the text behind the tag.
    """

    tag: str
    arguments: Any

    @property
    def name(self) -> str:
        """The last part of the class's or function's name."""
        return self.tag.split(":")[-1].split(".")[-1]


@dataclass(frozen=True)
class Ref:
    """`!ref` or `!copy` of another key, or an expression with keys."""

    text: str


class _Loader(yaml.SafeLoader):
    """YAML as HyperPyYAML reads it (PyYAML, YAML 1.1), every tag of its own turned into data."""


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Made | Ref:
    if isinstance(node, yaml.MappingNode):
        arguments: Any = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        arguments = loader.construct_sequence(node, deep=True)
    else:
        arguments = node.value
    return Ref(str(arguments)) if tag in ("ref", "copy") else Made(tag, arguments)


_Loader.add_multi_constructor("!", _tagged)


class PlainHparams:
    """The top-level keys of a HyperPyYAML file."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.where = where
        self._content = content

    @classmethod
    def read(cls, path: Path) -> "PlainHparams":
        """Read a file.

        Raises:
            InputError: it is missing, no YAML, or no mapping.
        """
        try:
            content = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: is not valid YAML: {' '.join(str(error).split())[:200]}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: got {type(content).__name__}, wanted a mapping")
        return cls(content, str(path))

    def get(self, key: str) -> Any:
        """A top-level key's value with its references followed, None when it is not there."""
        return self.resolve(self._content.get(key))

    def values(self) -> list[Any]:
        """All top-level values, references followed."""
        return [self.get(key) for key in self._content]

    def resolve(self, value: Any) -> Any:
        """A value with `!ref <key>` followed, in lists too; `(64, 32)` is a list. Expressions stay as they are.

        Raises:
            InputError: references go round in a circle.
        """
        followed = []
        while isinstance(value, Ref) and (match := WHOLE_REFERENCE.fullmatch(value.text)) and match[1] in self._content:
            if match[1] in followed:
                raise InputError(f"{self.where}: {match[1]} refers to itself")
            followed.append(match[1])
            value = self._content[match[1]]
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if isinstance(value, str) and TUPLE.fullmatch(value):
            try:
                return list(ast.literal_eval(value))
            except (ValueError, SyntaxError, TypeError):
                return value
        return value
