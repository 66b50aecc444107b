"""params.yaml -> frozen dataclasses: the only reader of the project's numbers and choices.

A section of params.yaml is one frozen dataclass without defaults, in the module that uses it:

    @dataclass(frozen=True)
    class DecodeParams:
        section: ClassVar[str] = "decode"
        beam_size: int = option("beam width, 1 = greedy", low=1)

Its field names, types, hints and limits are all there is to say about it: the file is checked against
them here, and `asr.door` makes the command-line flags from them.
"""

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from asr.errors import InputError

PARAMS_FILE = Path("params.yaml")

Section = TypeVar("Section")


def option(
    hint: str,
    *,
    choices: tuple = (),
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
) -> Any:
    """A field of a section: its hint and limits (low <= value, above < value, value <= high)."""
    return dataclasses.field(metadata={"hint": hint, "choices": choices, "low": low, "above": above, "high": high})


def field_types(section_class: type) -> dict[str, Any]:
    """Field name -> resolved type, in the order of the class."""
    hints = typing.get_type_hints(section_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(section_class)}


def item_type(wanted: Any) -> Any | None:
    """The element type of `list[X]`, None for anything that is not a list."""
    return typing.get_args(wanted)[0] if typing.get_origin(wanted) is list else None


def alternatives(wanted: Any) -> tuple:
    """The members of `X | Y`, or the type alone."""
    return typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)


def describe(wanted: Any, field: dataclasses.Field | None = None) -> str:
    """A type with its limits in words, for messages and --help."""
    inner = item_type(wanted)
    if inner is not None:
        text = f"list of {describe(inner)}"
    else:
        text = " or ".join("null" if kind is type(None) else kind.__name__ for kind in alternatives(wanted))
    if field is None:
        return text
    limits = field.metadata
    if limits["choices"]:
        text = "one of " + ", ".join(map(str, limits["choices"]))
    text += f" >= {limits['low']:g}" if limits["low"] is not None else ""
    text += f" > {limits['above']:g}" if limits["above"] is not None else ""
    text += f" <= {limits['high']:g}" if limits["high"] is not None else ""
    return text


def has_type(value: Any, wanted: Any) -> bool:
    """Whether a YAML value is of a field's type; an int will do for a float, a bool for nothing but bool."""
    inner = item_type(wanted)
    if inner is not None:
        return isinstance(value, list) and all(has_type(item, inner) for item in value)
    for kind in alternatives(wanted):
        if kind is float and type(value) in (int, float):
            return value == value
        if type(value) is kind:
            return True
    return False


def check_value(value: Any, wanted: Any, field: dataclasses.Field, where: str) -> Any:
    """The value as the field's type, or an InputError that says what was wanted."""
    limits = field.metadata
    good = has_type(value, wanted)
    items = value if isinstance(value, list) else [value]
    if good and limits["choices"]:
        good = all(item in limits["choices"] for item in items)
    numbers = [item for item in items if type(item) in (int, float)] if good else []
    good = good and all(
        (limits["low"] is None or item >= limits["low"])
        and (limits["above"] is None or item > limits["above"])
        and (limits["high"] is None or item <= limits["high"])
        for item in numbers
    )
    if not good:
        raise InputError(f"{where}: got {value!r}, wanted {describe(wanted, field)} ({limits['hint']})")
    return float(value) if float in alternatives(wanted) and type(value) is int else value


def did_you_mean(name: str, known: typing.Iterable[str]) -> str:
    """`; did you mean …?` when a known name is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def read_yaml(path: Path) -> dict:
    """A YAML 1.2 mapping as plain Python values (`1e-05` is a float, as `dvc exp run -S` writes it)."""
    try:
        content = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: got {type(content).__name__}, wanted a mapping of sections")
    return content


def make_section(section_class: type[Section], values: Any, where: str) -> Section:
    """A section from a mapping, every key checked.

    Raises:
        InputError: a key is missing, unknown, of another type or outside its limits.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: got {values!r}, wanted a section with keys")
    wanted = field_types(section_class)
    for key in values:
        if key not in wanted:
            raise InputError(f"{where}.{key}: unknown key{did_you_mean(str(key), wanted)}")
    for key in wanted:
        if key not in values:
            raise InputError(f"{where}.{key}: missing, wanted {describe(wanted[key])}")
    fields = {field.name: field for field in dataclasses.fields(section_class)}
    return section_class(
        **{key: check_value(values[key], wanted[key], fields[key], f"{where}.{key}") for key in wanted}
    )


def check_ranges(section: Any, names: typing.Iterable[str]) -> None:
    """Refuse a section whose `<name>_low` is above its `<name>_high`; for its `__post_init__`.

    Raises:
        InputError: names both keys and values.
    """
    for name in names:
        low, high = getattr(section, f"{name}_low"), getattr(section, f"{name}_high")
        if low > high:
            raise InputError(f"{section.section}.{name}_low: got {low:g}, wanted at most {name}_high, {high:g}")


def load_section(section_class: type[Section], path: Path = PARAMS_FILE) -> Section:
    """One section of a params file.

    Raises:
        InputError: the file or the section cannot be used; the message names file and key.
    """
    content = read_yaml(path)
    name = section_class.section
    if name not in content:
        raise InputError(f"{path}: section {name} is missing{did_you_mean(name, content)}")
    return make_section(section_class, content[name], f"{path}: {name}")
