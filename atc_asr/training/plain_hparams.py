"""HyperPyYAML files read as data, without building objects.

Loading HyperPyYAML can run any code. To read the architecture from other people's files safely, its tags become plain
values here: `Made` for what would be built, `Ref` for references.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import one_line

REFERENCE = re.compile(r"<(\w+)>")
TUPLE = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, eq=False)
class Made:
    """The value of a tag that builds an object, calls a function or names one.

    Attributes:
        tag: the tag without `!`: `new:torch.nn.ModuleList`, `name:torch.nn.GELU`, `apply:…`.
        arguments: a mapping, a list, or the text after the tag.
    """

    tag: str
    arguments: Any

    @property
    def name(self) -> str:
        """Name of the class or function without its module."""
        return self.tag.split(":")[-1].split(".")[-1]


@dataclass(frozen=True)
class Ref:
    """The value of `!ref` or `!copy`: another key in angle brackets, or an expression of keys."""

    text: str


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as HyperPyYAML reads it."""


def _construct_tag(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Made | Ref:
    if isinstance(node, yaml.MappingNode):
        arguments: Any = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        arguments = loader.construct_sequence(node, deep=True)
    else:
        arguments = node.value
    return Ref(str(arguments)) if tag in ("ref", "copy") else Made(tag, arguments)


_Loader.add_multi_constructor("!", _construct_tag)


class PlainHparams:
    """The top-level keys of a HyperPyYAML file.

    Attributes:
        where: the file, for error messages.
    """

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.where = where
        self._content = content

    @classmethod
    def read(cls, path: Path) -> "PlainHparams":
        """Read a file.

        Raises:
            InputError: it is missing, not YAML, or not a mapping.
        """
        try:
            content = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: is not valid YAML: {one_line(error)}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: got {type(content).__name__}, wanted a mapping")
        return cls(content, str(path))

    def get(self, key: str) -> Any:
        """The resolved value of a top-level key, None if it is missing."""
        return self.resolve(self._content.get(key))

    def made(self, *names: str) -> list[Made]:
        """The top-level values that are a `Made` of one of these names, each once."""
        found = {id(value): value for value in map(self.get, self._content) if isinstance(value, Made)}
        return [value for value in found.values() if value.name in names]

    def resolve(self, value: Any) -> Any:
        """A value with `!ref <key>` replaced, also in lists, and `(64, 32)` as a list. Expressions are left as a `Ref`.

        Raises:
            InputError: a key refers to itself.
        """
        followed = []
        while isinstance(value, Ref) and (match := REFERENCE.fullmatch(value.text)) and match[1] in self._content:
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
