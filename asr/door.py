"""Command lines of the doors: flags made from sections, one log format, one-line errors.

A door's `main` declares its paths and sections and gets both back filled:

    def main(argv=None):
        door = Door(__doc__, sections=SECTIONS)
        door.path("--train_manifest", nargs="+", required=True, help="train manifests, CSV or JSONL")
        args = door.parse(argv)
        run(*args.sections, train_manifest=args.paths.train_manifest)

What a flag does not give, params.yaml gives. Nothing else has a default.
"""

import argparse
import dataclasses
import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asr import params
from asr.errors import InputError

log = logging.getLogger(__name__)

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
# a full or read-only disk, no permission, a file where the output's folder should be
USERS_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What a door was called with."""

    paths: argparse.Namespace
    sections: list[Any]
    params: Path


class Door:
    """An argument parser whose option flags are the fields of dataclass sections."""

    def __init__(self, doc: str, *, sections: Sequence[type] = ()) -> None:
        self._parser = argparse.ArgumentParser(
            description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        self._parser.add_argument(
            "--params", type=Path, default=params.PARAMS_FILE, help=f"parameter file ({params.PARAMS_FILE})"
        )
        self._sections = list(sections)
        self._paths: list[str] = []
        for section_class in self._sections:
            self._add_section(section_class)

    def path(self, flag: str, **settings: Any) -> None:
        """Declare a path flag (argparse's own settings; the type is Path unless another type or an action is given)."""
        if "action" not in settings:
            settings.setdefault("type", Path)
        self._paths.append(self._parser.add_argument(flag, **settings).dest)

    def _add_section(self, section_class: type) -> None:
        group = self._parser.add_argument_group(f"{section_class.section} (params.yaml: {section_class.section})")
        types = params.field_types(section_class)
        for field in dataclasses.fields(section_class):
            wanted = types[field.name]
            settings: dict[str, Any] = {"dest": f"{section_class.section}.{field.name}", "default": None}
            if wanted is bool:
                settings |= {"nargs": "?", "const": "true", "metavar": "true|false"}
            elif params.item_type(wanted) is not None:
                settings |= {"nargs": "*", "metavar": field.name.upper()}
            else:
                settings |= {"metavar": field.name.upper()}
            hint = f"{field.metadata['hint']}; {params.describe(wanted, field)}".replace("%", "%%")
            group.add_argument(f"--{field.name}", help=hint, **settings)

    def parse(self, argv: Sequence[str] | None = None) -> Arguments:
        """Read the flags, fill from the params file what they leave open.

        Raises:
            InputError: a flag or a key cannot be used.
        """
        given = vars(self._parser.parse_args(argv))
        content = params.read_yaml(given["params"])
        sections = [self._fill(section_class, given, content) for section_class in self._sections]
        paths = argparse.Namespace(**{name: given[name] for name in self._paths})
        return Arguments(paths, sections, given["params"])

    def _fill(self, section_class: type, given: dict[str, Any], content: dict) -> Any:
        name = section_class.section
        if name not in content:
            raise InputError(f"{given['params']}: section {name} is missing{params.did_you_mean(name, content)}")
        section = params.make_section(section_class, content[name], f"{given['params']}: {name}")
        fields = {field.name: field for field in dataclasses.fields(section_class)}
        types = params.field_types(section_class)
        changes = {}
        for key, field in fields.items():
            text = given[f"{name}.{key}"]
            if text is not None:
                changes[key] = params.check_value(from_text(text, types[key]), types[key], field, f"--{key}")
        return dataclasses.replace(section, **changes)


def from_text(text: str | list[str], wanted: Any) -> Any:
    """A flag's text as the nearest value of the wanted type; text that is not one is left for the check to refuse."""
    inner = params.item_type(wanted)
    if inner is not None:
        return [from_text(item, inner) for item in text]
    kinds = params.alternatives(wanted)
    if type(None) in kinds and text in ("null", "none", ""):
        return None
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def setup_logging() -> None:
    """One line per message on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # Said by every import of speechbrain, of no use to a user of the doors.
    logging.getLogger("speechbrain.utils.quirks").setLevel(logging.WARNING)


def enter(main: Callable[[], None]) -> None:
    """Run a door: a user's mistake is one line and exit code 2, Ctrl-C one line and 130, never a traceback."""
    setup_logging()
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted: unfinished output was removed", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno not in USERS_ERRORS:
            raise
        print(f"error: {error.filename or 'output'}: {os.strerror(error.errno)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
