"""Command check_params: validate params.yaml before any stage runs. Imports no stage, so that it takes no time."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import atc_asr
from atc_asr.core import cli, config
from atc_asr.core.config import Flags, Section, argument
from atc_asr.core.errors import InputError
from atc_asr.corpus.named import check_corpora
from atc_asr.decoding.params import check_search


class CheckParamsFlags(Flags):
    """Check every section and key of params.yaml: names, types and limits."""

    params: Path = argument("parameter file", config.PARAMS_FILE)


def section_classes() -> dict[str, type[Section]]:
    """Section name -> its class, of the params.py modules of all packages; not those that read a part of a section."""
    found = {}
    for path in sorted(Path(atc_asr.__file__).parent.glob("*/params.py")):
        module = importlib.import_module(f"atc_asr.{path.parent.name}.params")
        for value in vars(module).values():
            is_section = isinstance(value, type) and issubclass(value, Section) and value.__module__ == module.__name__
            if is_section and hasattr(value, "section") and value.model_config["extra"] != "ignore":
                found[value.section] = value
    return found


def check(content: Mapping[str, Any], where: str) -> None:
    """Check all sections of params.yaml; `where` names the file in error messages.

    Raises:
        InputError: a section or key is missing, unknown, or has a value of another type or outside its limits.
    """
    classes = section_classes()
    for name in content:
        if name not in classes:
            raise InputError(f"{where}: unknown section {name}{config.did_you_mean(str(name), classes)}")
    found: dict[str, Any] = {}
    for name, section in classes.items():
        values = config.find_section(content, section, Path(where))
        found[name] = config.make_section(section, values, f"{where}: {name}")
    check_search(found["decode"])
    check_corpora(found["corpora"], (found["export"], found["checks"], found["synthetic"]))


def main(argv: Sequence[str] | None = None) -> None:
    """Check a params file.

    Raises:
        InputError: the file cannot be read, or as `check`.
    """
    (flags,) = cli.parse(argv, CheckParamsFlags)
    check(config.read_yaml(flags.params), str(flags.params))


if __name__ == "__main__":
    cli.enter(main)
