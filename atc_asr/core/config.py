"""Parameters: one pydantic model per section of params.yaml, in the `params.py` of the package that uses it.

    class TokenizerParams(Section):
        section: ClassVar[str] = "tokenizer"
        vocab_size: int = param("SentencePiece vocabulary size, blank included; spm only", ge=8)

The model holds type, limits, choices and help text of every key. The command-line flags are generated from it
(`atc_asr.core.cli`), and the comment beside the key in params.yaml is the help text.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from atc_asr.core.documents import read_yaml as read_yaml
from atc_asr.core.errors import InputError

PARAMS_FILE = Path("params.yaml")
YAML_NAMES = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "null", "object": "mapping",
}  # fmt: skip
LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


class Section(BaseModel):
    """A section of params.yaml: immutable, strict types (an int is accepted as a float), no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    section: ClassVar[str]

    @model_validator(mode="after")
    def _check_ranges(self) -> "Section":
        """`<name>_low` is at most `<name>_high`."""
        values = self.model_dump(include=set(type(self).model_fields))
        for key in (key for key in values if key.endswith("_low")):
            high = key.removesuffix("_low") + "_high"
            if values[key] > values[high]:
                raise InputError(f"{self.section}.{key}: got {values[key]:g}, wanted at most {high}, {values[high]:g}")
        return self


class Flags(BaseModel):
    """The path flags of a stage or command; its docstring is the description that `--help` prints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def params_file(cls, given: Mapping[str, Any]) -> Path:
        """The parameter file where --params is not given; `given` has the texts of the flags."""
        return PARAMS_FILE


AnySection = TypeVar("AnySection", bound=Section)


def check_shard(text: str) -> str:
    """The text of a shard, `I/N`.

    Raises:
        InputError: it is another text, or I is not in 1..N.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--shard: got {text!r}, wanted I/N with I from 1 to N: 2/10 is the second of ten parts")
    return text


Shard = Annotated[str, AfterValidator(check_shard)]


def param(help_text: str, *, flag: str | None = None, **limits: Any) -> Any:
    """A key of a section.

    Args:
        help_text: one line; also the comment in params.yaml.
        flag: name of the command-line flag where it is not the key's name.
        limits: ge, gt, le, lt as in `pydantic.Field`.
    """
    return Field(description=help_text, json_schema_extra={"flag": flag} if flag else None, **limits)


def argument(help_text: str, default: Any = ..., *, positional: bool = False, output: bool = False) -> Any:
    """A path flag, of something that is written if `output`; required when it has no default."""
    return Field(default, description=help_text, json_schema_extra={"positional": positional, "output": output})


def schemas(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """JSON schema of every field, by name."""
    return model.model_json_schema()["properties"]


def describe(schema: Mapping[str, Any]) -> str:
    """A field's type and limits in words: `int >= 1`, `one of char, spm`, `list of float`, `str or null`."""
    if "anyOf" in schema:
        return " or ".join(describe(part) for part in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema["type"] == "array":
        return f"list of {describe(schema['items'])}"
    limits = [f"{sign} {schema[name]:g}" for name, sign in LIMITS.items() if name in schema]
    return " ".join([YAML_NAMES[schema["type"]], *limits])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` when a known name is close to `name`, else an empty string."""
    close = difflib.get_close_matches(name, map(str, known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def make_section(
    model: type[AnySection], values: Any, where: str, flags: Mapping[str, Any] | None = None
) -> AnySection:
    """A validated section.

    Args:
        model: the section's class.
        values: its mapping in params.yaml.
        where: names the mapping in messages, as `params.yaml: train`.
        flags: values that replace those of the file, by key.

    Raises:
        InputError: a key is missing, unknown, of another type or outside its limits.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: got {values!r}, wanted a section with keys")
    section = _validate(model, values, lambda key: f"{where}.{key}")
    if not flags:
        return section
    return _validate(model, {**values, **flags}, lambda key: f"--{flag_name(model, key)}")


def _validate(model: type[AnySection], values: Mapping[str, Any], place: Callable[[str], str]) -> AnySection:
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        errors = sorted(problem.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden")
        key, kind = str(errors[0]["loc"][0]), errors[0]["type"]
    if kind in ("extra_forbidden", "invalid_key"):
        raise InputError(f"{place(key)}: unknown key{did_you_mean(key, model.model_fields)}")
    schema = schemas(model)[key]
    if kind == "missing":
        raise InputError(f"{place(key)}: missing, wanted {describe(schema)}")
    raise InputError(f"{place(key)}: got {values[key]!r}, wanted {describe(schema)} ({schema['description']})")


def flag_name(model: type[BaseModel], key: str) -> str:
    """The command-line flag of a key, without dashes."""
    extra = model.model_fields[key].json_schema_extra
    return str(extra["flag"]) if isinstance(extra, dict) and extra.get("flag") else key


def load_section(model: type[AnySection], path: Path = PARAMS_FILE) -> AnySection:
    """One section of a params file.

    Raises:
        InputError: the file or the section cannot be used; the message names file and key.
    """
    return make_section(model, find_section(read_yaml(path), model, path), f"{path}: {model.section}")


def find_section(content: Mapping[str, Any], model: type[Section], path: Path) -> Any:
    """The mapping of a section in a params file.

    Raises:
        InputError: it is missing.
    """
    if model.section not in content:
        raise InputError(f"{path}: section {model.section} is missing{did_you_mean(model.section, content)}")
    return content[model.section]
