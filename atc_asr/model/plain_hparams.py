"""HyperPyYAML files read as data, without building objects.

Loading HyperPyYAML can run any code. To read the architecture from other people's files safely, a tag that would build
an object becomes a `Made` here, and a reference a `Ref`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from atc_asr.core.documents import MAX_DEPTH, MAX_NODES, read_yaml
from atc_asr.core.errors import InputError

REFERENCE = re.compile(r"<(\w+)>")
TUPLE = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, eq=False)
class Made:
    """An object that a tag (`!new:`, `!name:`, `!apply:`, ...) would build, call or name.

    Attributes:
        tag: without its exclamation mark.
        arguments: a mapping, a list, or the text after the tag.
    """

    tag: str
    arguments: Any

    @property
    def name(self) -> str:
        """Of the class or function, without its module."""
        return re.split("[:.]", self.tag)[-1]


class Ref(str):
    """The text after `!ref` or `!copy`: another key in angle brackets, or an expression of keys."""


class _Constructor(SafeConstructor):
    """Plain values, and HyperPyYAML's tags as data."""


def _construct_tag(constructor: SafeConstructor, tag: str, node: Node) -> Any:
    if isinstance(node, MappingNode):
        arguments: Any = constructor.construct_mapping(node, deep=True)
    elif isinstance(node, SequenceNode):
        arguments = constructor.construct_sequence(node, deep=True)
    else:
        arguments = node.value
    if tag == "tuple":  # load_hyperpyyaml gives all loaders of a process this tag for texts in round brackets
        return arguments
    return Ref(arguments) if tag in ("ref", "copy") else Made(tag, arguments)


_Constructor.add_multi_constructor("!", _construct_tag)


class PlainHparams:
    """The top-level keys of a HyperPyYAML file.

    Attributes:
        path: the file.
        content: the values as they are in the file.

    Raises:
        InputError: the file cannot be read, or is not a YAML mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = read_yaml(path, _Constructor)

    def get(self, key: str) -> Any:
        """The resolved value of a top-level key, None if it is missing."""
        return self.resolve(self.content.get(key))

    def made(self, *names: str) -> list[Made]:
        """The top-level objects of these names, each once."""
        found = dict.fromkeys(value for value in map(self.get, self.content) if isinstance(value, Made))
        return [value for value in found if value.name in names]

    def resolve(self, value: Any) -> Any:
        """A value with each `!ref <key>` replaced, also in lists, and `(64, 32)` as a list. Expressions stay a `Ref`.

        Raises:
            InputError: a key refers to itself, or the references make too large a value.
        """
        return self._resolve(value, iter(range(MAX_NODES)), ())

    def _resolve(self, value: Any, nodes: Iterator[int], followed: tuple[str, ...]) -> Any:
        while isinstance(value, Ref) and (match := REFERENCE.fullmatch(value)) and match[1] in self.content:
            if match[1] in followed:
                raise InputError(f"{self.path}: {match[1]} refers to itself")
            followed = (*followed, match[1])
            value = self.content[match[1]]
        if next(nodes, None) is None or len(followed) > MAX_DEPTH:
            raise InputError(f"{self.path}: is too large, wanted at most {MAX_NODES} nodes, {MAX_DEPTH} references")
        if isinstance(value, list):
            return [self._resolve(item, nodes, followed) for item in value]
        if isinstance(value, str) and TUPLE.fullmatch(value):
            try:
                return list(ast.literal_eval(value))
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                return value
        return value
