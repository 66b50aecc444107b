"""Command preset: write a preset's values into params.yaml, keeping its comments and order."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from atc_asr.commands import check_params
from atc_asr.core import cli, config, files, messages
from atc_asr.core.config import Flags, argument
from atc_asr.core.errors import InputError

log = logging.getLogger(__name__)


class PresetFlags(Flags):
    """Write values into params.yaml, keeping its comments and order.

        atc-asr preset presets/atc0.yaml
        atc-asr preset --from_source speechbrain/asr-conformersmall-transformerlm-librispeech

    The values are those of a preset file, or the architecture of a pretrained network, which is also written to
    train.init_from.
    """

    preset_file: Path | None = argument("preset, some of params.yaml's keys in their sections", None, positional=True)
    from_source: str | None = argument("run folder, SpeechBrain folder or Hub name to start a training from", None)
    params: Path = argument("parameter file", config.PARAMS_FILE)


def update(content: dict[str, Any], preset: Mapping[str, Any], where: str) -> list[tuple[str, Any, Any]]:
    """Replace values in the content of params.yaml.

    Args:
        content: sections of params.yaml, changed in place.
        preset: new values in their sections.
        where: names the preset in error messages.

    Returns:
        (section.key, old value, new value) of each value that changed.

    Raises:
        InputError: params.yaml does not have a section or key.
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
                changes.append((f"{section}.{key}", content[section][key], value))
                if isinstance(value, list):
                    value = CommentedSeq(value)
                    value.fa.set_flow_style()  # `[1, 2]` on one line, beside the key's comment
                content[section][key] = value
    return changes


def write(preset: Mapping[str, Any], where: str, params_file: Path) -> None:
    """Write a preset's values into params.yaml, which does not change if there is an error.

    Args:
        preset: values in their sections.
        where: names the preset in messages.
        params_file: params.yaml.

    Raises:
        InputError: a file, section, key or value cannot be used.
    """
    config.read_yaml(params_file)  # with its error messages
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1000  # no line breaks between a value and its comment
    # ruamel.yaml would write None as an empty value.
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    content = yaml.load(params_file.read_text(encoding="utf-8"))
    changes = update(content, preset, where)
    with files.new_file(params_file) as partial:
        with open(partial, "w", encoding="utf-8") as file:
            yaml.dump(content, file)
        check_params.run(partial)
    for change in changes:
        log.info(messages.PRESET_CHANGE, *change)
    log.info(messages.PRESET_DONE, params_file, len(changes), where)


def run(preset_file: Path, params_file: Path) -> None:
    """Write the values of a preset file into params.yaml.

    Raises:
        InputError: as `write`.
    """
    write(config.read_yaml(preset_file), str(preset_file), params_file)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the command."""
    (flags,) = cli.parse(argv, PresetFlags)
    if (flags.preset_file is None) == (flags.from_source is None):
        raise InputError("preset: wanted either a preset file or --from_source")
    if flags.preset_file:
        run(flags.preset_file, flags.params)
        return
    from atc_asr.training.pretrained import locate, read_layout  # imports torch, which a preset file does not need

    architecture = read_layout(locate(flags.from_source)).architecture
    preset = {"model": dict(architecture), "train": {"init_from": flags.from_source}}
    write(preset, flags.from_source, flags.params)


if __name__ == "__main__":
    cli.enter(main)
