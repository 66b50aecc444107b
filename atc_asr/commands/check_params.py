"""check_params: every section and key of params.yaml, before any stage does any work.

Reads   params.yaml
"""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import stages
from atc_asr import commands
from atc_asr.core import config
from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError

SECTIONS = ()


def section_classes() -> dict[str, type]:
    """Section name -> its dataclass, of all doors in `stages` and `tools`."""
    names = [
        f"{package.__name__}.{door.name}"
        for package in (stages, commands)
        for door in pkgutil.iter_modules(package.__path__)
    ]
    doors = [importlib.import_module(name) for name in names]
    return {section_class.section: section_class for door in doors for section_class in door.SECTIONS}


def run(path: Path) -> None:
    """Check a params file as a whole.

    Raises:
        InputError: a section or key is missing, unknown or wrongly typed; the first one is named.
    """
    content = config.read_yaml(path)
    classes = section_classes()
    for name in content:
        if name not in classes:
            raise InputError(f"{path}: unknown section {name}{config.did_you_mean(str(name), classes)}")
    for name, section_class in classes.items():
        if name not in content:
            raise InputError(f"{path}: section {name} is missing")
        config.make_section(section_class, content[name], f"{path}: {name}")


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the tool."""
    run(Door(__doc__, sections=SECTIONS).parse(argv).params)


if __name__ == "__main__":
    enter(main)
