"""Untrusted YAML and JSON documents, read with limits on their size and depth."""

import json
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node

from atc_asr.core.errors import InputError
from atc_asr.core.files import read_text

MAX_NODES = 10_000  # keys, values and lists of a YAML document, those of an alias counted each time that it is used
MAX_DEPTH = 50  # of a YAML document
MAX_SCALAR = 2_000  # characters of a YAML key or value; Python refuses to show integers of 4,300 digits
MAX_YAML = 1 << 18  # characters of a YAML document


class LimitError(YAMLError):
    """A document exceeds a limit."""


class LimitedComposer(Composer):
    """Composes the nodes of a document and refuses one that is too large, too deep or contains itself."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self._nodes = 0
        self._depth = 0
        self._sizes: dict[str, int] = {}  # anchor -> nodes below it

    def compose_node(self, parent: Node | None, index: Any) -> Node:
        """A node with the nodes below it."""
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise LimitError(f"{event.anchor} contains itself")
            self._nodes += self._sizes.get(event.anchor, 0)
            return super().compose_node(parent, index)
        start = self._nodes
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES or self._depth > MAX_DEPTH or len(getattr(event, "value", "")) > MAX_SCALAR:
            limits = f"{MAX_NODES} nodes, {MAX_DEPTH} levels, {MAX_SCALAR} characters in a value"
            raise LimitError(f"is too large, wanted at most {limits}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - start
        return node


def read_yaml(path: Path, constructor: type | None = None) -> dict:
    """A YAML 1.2 mapping as plain Python values (`1e-05` is a float, as `dvc exp run -S` writes it).

    Args:
        path: the file.
        constructor: of the values, a ruamel.yaml `SafeConstructor`.

    Raises:
        InputError: the file cannot be read, is not YAML, exceeds a limit, or holds no mapping.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = LimitedComposer
    yaml.Constructor = constructor or yaml.Constructor
    text = read_text(Path(path))
    if len(text) > MAX_YAML:
        raise InputError(f"{path}: is longer than {MAX_YAML} characters")
    try:
        content = yaml.load(text)
    except LimitError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # besides YAMLError, ruamel.yaml raises many others for malformed documents
        raise InputError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: got {type(content).__name__}, wanted a mapping")
    return content


def parse_json(text: str | bytes, where: str) -> Any:
    """A JSON value; `where` names the text in messages.

    Raises:
        InputError: the text is not JSON, is nested deeper than 200 levels, or has a number that is not finite.
    """
    try:
        content = from_json(text, allow_inf_nan=False)
        json.dumps(content, allow_nan=False)  # refuses a number such as 1e999
    except ValueError as error:
        raise InputError(f"{where}: is not JSON: {error}") from error
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        InputError: the file cannot be read or is not a JSON object.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, dict):
        raise InputError(f"{path}: got {type(content).__name__}, wanted an object")
    return content
