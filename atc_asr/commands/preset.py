"""preset: write a preset's values into params.yaml, keeping its comments and order.

Reads   presets/<name>.yaml  some of params.yaml's keys, in their sections
        or, with --from_source, the architecture of a trained network (atc_asr/training/pretrained.py): what model.* must be
        for train.init_from
Writes  params.yaml
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from atc_asr.commands import check_params
from atc_asr.core import config, files
from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.training.pretrained import find, locate

SECTIONS = ()

log = logging.getLogger(__name__)


def one_line_list(items: list) -> CommentedSeq:
    """A list that ruamel writes as `[1, 2]`, so that a key, its value and its comment share a line."""
    written = CommentedSeq(items)
    written.fa.set_flow_style()
    return written


def apply(content: dict, preset: dict, where: str) -> list[str]:
    """Put a preset's values into params.yaml's content; returns `section.key: old -> new` of each that changed.

    Raises:
        InputError: a section or key that params.yaml does not have.
    """
    changes = []
    for section, values in preset.items():
        if section not in content:
            raise InputError(f"{where}: unknown section {section}{config.did_you_mean(str(section), content)}")
        if not isinstance(values, dict):
            raise InputError(f"{where}: {section}: got {values!r}, wanted a section with keys")
        for key, value in values.items():
            if key not in content[section]:
                hint = config.did_you_mean(str(key), content[section])
                raise InputError(f"{where}: unknown key {section}.{key}{hint}")
            if content[section][key] != value:
                changes.append(f"{section}.{key}: {content[section][key]} -> {value}")
                content[section][key] = one_line_list(value) if isinstance(value, list) else value
    return changes


def preset_of(source: str) -> dict:
    """The keys to start a training from a run folder, a SpeechBrain folder or a Hub name.

    Raises:
        InputError: the source cannot be had, or model.* cannot express it.
    """
    return {"model": dict(find(locate(source)).architecture), "train": {"init_from": source}}


def run(preset_file: Path, params_file: Path) -> None:
    """Apply a preset file.

    Raises:
        InputError: as `write`.
    """
    write(config.read_yaml(preset_file), str(preset_file), params_file)


def write(preset: dict, where: str, params_file: Path) -> None:
    """Apply a preset; params.yaml stays as it is when anything is wrong.

    Args:
        preset: values in their sections.
        where: where they come from, for messages.
        params_file: what to write them into.

    Raises:
        InputError: a file, section, key or value cannot be used.
    """
    config.read_yaml(params_file)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1000  # never wrap: a key, its value and its comment share a line
    # ruamel would write nothing at all, which is null too, but does not look like a value.
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    content = yaml.load(params_file.read_text(encoding="utf-8"))
    changes = apply(content, preset, where)
    with files.new_file(params_file) as partial:
        with open(partial, "w", encoding="utf-8") as file:
            yaml.dump(content, file)
        check_params.run(partial)
    for change in changes:
        log.info("%s", change)
    log.info("%s: %d values of %s", params_file, len(changes), where)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the tool."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("preset_file", nargs="?", help="the preset, as presets/atc0.yaml")
    door.path("--from_source", type=str, help="instead: run folder, SpeechBrain folder or Hub name to start from")
    args = door.parse(argv)
    preset_file, source = args.paths.preset_file, args.paths.from_source
    if (preset_file is None) == (source is None):
        raise InputError("atc_asr.commands.preset: wanted a preset file or --from_source, one of them")
    if source is not None:
        write(preset_of(source), source, args.params)
    else:
        run(preset_file, args.params)


if __name__ == "__main__":
    enter(main)
