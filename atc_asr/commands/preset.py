"""Command preset: write a preset's values into params.yaml, keeping its comments and order."""

import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from atc_asr.commands import check_params
from atc_asr.core import cli, config, messages, outputs
from atc_asr.core.config import Flags, argument
from atc_asr.core.errors import InputError
from atc_asr.core.params import CorporaParams

log = logging.getLogger(__name__)

CORPORA = CorporaParams.section
_CORPORA_LINES = re.compile(rf"^{CORPORA}:.*\n(?: .*\n|\n(?= ))*", re.MULTILINE)


class PresetFlags(Flags):
    """Write values into params.yaml, keeping its comments and order.

        atc-asr preset presets/atc0.yaml
        atc-asr preset --from_source speechbrain/asr-conformersmall-transformerlm-librispeech

    The values are those of a preset file, or the architecture of a pretrained network, which is also written to
    train.init_from. Section corpora is replaced as a whole.
    """

    preset_file: Path | None = argument("preset, some of params.yaml's keys in their sections", None, positional=True)
    from_source: str | None = argument("run folder, SpeechBrain folder or Hub name to start a training from", None)
    params: Path = argument("parameter file", config.PARAMS_FILE)


def write(preset: Mapping[str, Any], where: str, params_file: Path) -> None:
    """Write values in their sections into params.yaml, which does not change if there is an error.

    `where` names the preset in messages.

    Raises:
        InputError: a file, section, key or value cannot be used.
    """
    old = config.read_yaml(params_file)
    new = dict(old)
    for name, values in preset.items():
        is_whole = name == CORPORA or not isinstance(values, dict)
        new[name] = values if is_whole else {**old.get(name, {}), **values}
    check_params.check(new, f"{params_file} with {where}")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1000  # no line breaks between a value and its comment
    # ruamel.yaml would write None as an empty value.
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    content = yaml.load(params_file.read_text(encoding="utf-8"))
    changes = 0
    for name, values in ((name, values) for name, values in preset.items() if name != CORPORA):
        section = content.setdefault(name, {})
        for key, value in values.items():
            if key in section and section[key] == value:
                continue
            changes += 1
            log.info(messages.PRESET_CHANGE, f"{name}.{key}", section.get(key), value)
            section[key] = value
            if isinstance(value, list):
                section[key] = CommentedSeq(value)
                section[key].fa.set_flow_style()  # `[1, 2]` on one line, beside the key's comment
    text = io.StringIO()
    yaml.dump(content, text)
    changed = text.getvalue()
    if CORPORA in preset and preset[CORPORA] != old.get(CORPORA):
        changes += 1
        log.info(messages.PRESET_CHANGE, CORPORA, ", ".join(old.get(CORPORA, {})), ", ".join(preset[CORPORA]))
        changed = replace_corpora(changed, preset[CORPORA])
    with outputs.new_file(params_file, outputs.ANY) as partial:
        partial.write_text(changed, encoding="utf-8", newline="\n")
    log.info(messages.PRESET_DONE, params_file, changes, where)


def replace_corpora(text: str, corpora: Mapping[str, Any]) -> str:
    """The text of params.yaml with other corpora."""
    block = io.StringIO()
    YAML().dump(dict(corpora), block)
    lines = "".join(f"  {line}" for line in block.getvalue().splitlines(keepends=True)) if corpora else ""
    comment = f"{CORPORA}:{'' if corpora else ' {}'}  # {(CorporaParams.__doc__ or '').splitlines()[0]}\n"
    return _CORPORA_LINES.sub(lambda _: comment + lines, text)


def run(preset_file: Path, params_file: Path) -> None:
    """Write the values of a preset file into params.yaml."""
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
