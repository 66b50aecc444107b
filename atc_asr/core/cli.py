"""Command lines of stages and commands: flags generated from pydantic models, one log format, one-line errors.

    def main(argv: Sequence[str] | None = None) -> None:
        run(*cli.parse(argv, TokenizerParams, TokenizerFlags))

    if __name__ == "__main__":
        cli.enter(main)

A parameter that no flag gives comes from params.yaml. `--beam_size` and `--beam-size` are the same flag.
"""

import argparse
import contextlib
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from atc_asr.core import config
from atc_asr.core.config import Flags, Section
from atc_asr.core.errors import InputError, printable

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
OWN_LOGGERS = ("atc_asr", "stages", "__main__")
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells report a program that writes to `| head -1`


_PARSER_ONLY: Sequence[str] = ("",)  # arguments with which `parse` raises _BuiltError


class _BuiltError(Exception):
    """Carries a parser to `parser_of`."""


class Parser(argparse.ArgumentParser):
    """argparse with errors as `InputError`: one line and a suggestion instead of the usage."""

    def error(self, message: str) -> NoReturn:
        """Raises InputError."""
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        known = [flag for action in self._actions for flag in action.option_strings]
        raise InputError(message + (config.did_you_mean(unknown[1], known) if unknown else ""))


def parse(argv: Sequence[str] | None, *models: type[BaseModel]) -> list[Any]:
    """Read the command line.

    Args:
        argv: the arguments; None for those of the process.
        models: `Section`s, filled from flags and params.yaml, and `Flags`, filled from flags alone.

    Returns:
        An instance of each model, in the same order.

    Raises:
        InputError: a flag or a key cannot be used.
    """
    description = "\n".join(model.__doc__ or "" for model in models if issubclass(model, Flags))
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=description, formatter_class=formatter, allow_abbrev=False)
    default = config.PARAMS_FILE
    parser.add_argument("--params", type=Path, help=f"parameter file ({default})")
    for model in models:
        _add_flags(parser, model)
    if argv is _PARSER_ONLY:
        raise _BuiltError(parser)
    words = [_underscores(word) for word in (sys.argv[1:] if argv is None else argv)]
    given = vars(parser.parse_intermixed_args(_with_switch_values(words, parser)))
    if given["params"] is None:
        given["params"] = next((model.params_file(given) for model in models if issubclass(model, Flags)), default)
    needs_file = any(issubclass(model, Section) for model in models)
    content = config.read_yaml(given["params"]) if needs_file else {}
    return [_fill(model, given, content) for model in models]


def parser_of(main: Callable[[Sequence[str]], None]) -> argparse.ArgumentParser:
    """The parser of a command whose `main` begins with `parse`; the command does not run.

    Its actions have the attribute `schema`, the JSON schema of the value.
    """
    try:
        main(_PARSER_ONLY)
    except _BuiltError as built:
        return built.args[0]
    raise TypeError(f"{main.__module__}.main does not begin with cli.parse(argv, …)")


def _underscores(word: str) -> str:
    """`--beam-size=4` as `--beam_size=4`."""
    name, equals, value = word.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if re.fullmatch(r"--[A-Za-z][\w-]*", name) else word


def _with_switch_values(words: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """`--slots=true recording.wav` for `--slots recording.wav`, where a command has inputs without a flag."""
    actions = parser._actions
    if all(action.option_strings for action in actions):
        return [*words]
    switches = {flag for action in actions if action.const == "true" for flag in action.option_strings}
    return [
        f"{word}=true" if word in switches and following.lower() not in ("true", "false") else word
        for word, following in itertools.zip_longest(words, words[1:], fillvalue="")
    ]


def _add_flags(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    section = model.section if issubclass(model, Section) else None
    group = parser.add_argument_group(f"{section} (in params.yaml)" if section else "files")
    for name, schema in config.schemas(model).items():
        field = model.model_fields[name]
        words = f"{field.description}; {config.describe(schema)}" if section else str(field.description)
        settings: dict[str, Any] = {"help": words.replace("%", "%%"), "default": None, "metavar": name.upper()}
        if schema.get("type") == "boolean":
            settings |= {"nargs": "?", "const": "true", "metavar": "true|false"}
        elif any(part.get("type") == "array" for part in schema.get("anyOf", [schema])):
            settings["nargs"] = "*" if section or not field.is_required() else "+"
        if schema.get("positional"):
            settings |= {"nargs": settings.get("nargs", None if field.is_required() else "?"), "metavar": name}
            action = group.add_argument(name, **settings)
        elif section:
            action = group.add_argument(f"--{config.flag_name(model, name)}", dest=f"{section}.{name}", **settings)
        elif name != "params":
            action = group.add_argument(f"--{name}", dest=name, required=field.is_required(), **settings)
        else:
            continue
        vars(action)["schema"] = schema


def _fill(model: type[BaseModel], given: Mapping[str, Any], content: Mapping[str, Any]) -> BaseModel:
    if issubclass(model, Section):
        path, shapes = given["params"], config.schemas(model)
        texts = {name: given[f"{model.section}.{name}"] for name in shapes}
        flags = {name: from_text(text, shapes[name]) for name, text in texts.items() if text is not None}
        return config.make_section(model, config.find_section(content, model, path), f"{path}: {model.section}", flags)
    values = {name: given[name] for name in model.model_fields if given.get(name) is not None}
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        name = str(problem.errors()[0]["loc"][0])
        wanted = config.describe(config.schemas(model)[name])
        raise InputError(f"--{name}: got {given[name]!r}, wanted {wanted}") from None


def from_text(text: str | list[str], schema: Mapping[str, Any]) -> Any:
    """Convert a flag's text to the wanted type; text that cannot be converted stays text, which validation refuses."""
    if isinstance(text, list):
        return [from_text(item, schema["items"]) for item in text]
    kinds = {part.get("type") for part in schema.get("anyOf", [schema])}
    if "null" in kinds and text in ("null", "none", ""):
        return None
    if "boolean" in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind, convert in (("integer", int), ("number", float)):
        if kind in kinds:
            with contextlib.suppress(ValueError):
                return convert(text)
    return text


class LineFormatter(logging.Formatter):
    """Each message on one line, as `printable` shows it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line of a record."""
        record.message = printable(record.message)
        return super().formatMessage(record)


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a message is one of this project's, or a warning or an error of a library.

    SpeechBrain's warning that it cannot save figures is not shown: nobody asks it for figures.
    """
    is_own = record.name.partition(".")[0] in OWN_LOGGERS
    return is_own or (record.levelno >= logging.WARNING and record.name != "speechbrain.utils.train_logger")


def setup_logging() -> None:
    """One line per message on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(is_shown)  # the level of a logger is no use: SpeechBrain sets those of its own
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def describe_error(error: Exception) -> str:
    """The message of a user's mistake, or of an error of the operating system: a full disk, a name that is too long."""
    if isinstance(error, OSError):
        name = "input or output" if error.filename is None else error.filename
        return f"{name}: {os.strerror(error.errno) if error.errno else error}"
    if isinstance(error, UnicodeError):
        got = getattr(error, "object", "")[max(0, getattr(error, "start", 0) - 50) :]
        return f"a file name or text: got {got[:100]!r}, wanted UTF-8"
    return str(error)


def enter(main: Callable[[], None]) -> None:
    """Run a command: one line and exit code 2 for a user's mistake, one line and 130 for Ctrl-C."""
    setup_logging()
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted: unfinished output was removed", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Python would report it once more when it flushes standard output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in OWN_LOGGERS:
            raise
        print(
            f"error: the package {package} is not installed; in the folder of this project: pip install '.[train]'",
            file=sys.stderr,
        )
        sys.exit(EXIT_BAD_INPUT)
    except (InputError, OSError, UnicodeError) as error:
        print(f"error: {printable(describe_error(error))}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
