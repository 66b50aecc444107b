"""HyperPyYAML files read as data, without building objects.

Loading HyperPyYAML can run any code. To read the architecture from other people's files safely, a tag that would build
an object becomes a `Made` here, and a reference a `Ref`.
"""

import ast
import re
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
    """An object that a tag (`!new:`, `!name:`, `!apply:`, ...) would build, call or name.

    Attributes:
        name: of the class or function, without its module.
        arguments: a mapping, a list, or the text after the tag.
    """

    name: str
    arguments: Any


class Ref(str):
    """The text after `!ref` or `!copy`: another key in angle brackets, or an expression of keys."""


class _Loader(yaml.SafeLoader):
    """Safe YAML with HyperPyYAML's tags as data."""


def _construct_tag(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Made | Ref:
    if isinstance(node, yaml.MappingNode):
        arguments: Any = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        arguments = loader.construct_sequence(node, deep=True)
    else:
        arguments = node.value
    return Ref(arguments) if tag in ("ref", "copy") else Made(re.split("[:.]", tag)[-1], arguments)


_Loader.add_multi_constructor("!", _construct_tag)


class PlainHparams:
    """The top-level keys of a HyperPyYAML file.

    Attributes:
        path: the file.

    Raises:
        InputError: the file cannot be read, or is not a YAML mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: is not valid YAML: {one_line(error)}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: got {type(content).__name__}, wanted a mapping")
        self._content = content

    def get(self, key: str) -> Any:
        """The resolved value of a top-level key, None if it is missing."""
        return self.resolve(self._content.get(key))

    def made(self, *names: str) -> list[Made]:
        """The top-level objects of these names, each once."""
        found = dict.fromkeys(value for value in map(self.get, self._content) if isinstance(value, Made))
        return [value for value in found if value.name in names]

    def resolve(self, value: Any) -> Any:
        """A value with each `!ref <key>` replaced, also in lists, and `(64, 32)` as a list. Expressions stay a `Ref`.

        Raises:
            InputError: a key refers to itself.
        """
        followed: list[str] = []
        while isinstance(value, Ref) and (match := REFERENCE.fullmatch(value)) and match[1] in self._content:
            if match[1] in followed:
                raise InputError(f"{self.path}: {match[1]} refers to itself")
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
