"""The program atc-asr: stages and commands as subcommands, each imported when it is chosen."""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from atc_asr.core import cli
from atc_asr.core.config import did_you_mean
from atc_asr.core.errors import InputError

PROGRAM = "atc-asr"
SHELLS = ("bash", "zsh", "tcsh")


class Command(NamedTuple):
    """A subcommand: one or two words, the module with its `main`, and a line for the list of commands."""

    name: str
    module: str
    about: str


GROUPS = {
    "Use a recogniser": (
        Command("transcribe", "atc_asr.commands.transcribe", "recordings or live audio -> transmissions with times"),
        Command("readback", "atc_asr.commands.readback", "transcript -> what was cleared against what was read back"),
        Command("deploy onnx", "atc_asr.commands.export_onnx", "run folder -> one ONNX file for other runtimes"),
        Command("deploy sherpa", "atc_asr.commands.deploy_sherpa", "run folder -> files for sherpa-onnx"),
    ),
    "Stages of the pipeline (`dvc repro` runs them)": (
        Command("export", "stages.export", "corpus -> validated 16 kHz mono WAVs and manifests"),
        Command("tokenizer", "stages.tokenizer", "train transcripts -> output tokens"),
        Command("lm", "stages.lm", "train transcripts -> lexicon and n-gram"),
        Command("train", "stages.train", "manifests and tokens -> run folder"),
        Command("posteriors", "stages.posteriors", "run folder and manifests -> log-probabilities"),
        Command("decode", "stages.decode", "log-probabilities -> hypotheses"),
        Command("calibrate", "stages.calibrate", "hypotheses of valid -> calibrated word confidences"),
        Command("package", "stages.package", "run folder, n-gram, calibration -> recogniser folder"),
        Command("score", "stages.score", "hypotheses and references -> rates with confidence intervals"),
        Command("report", "stages.report", "scores and utterances -> a page for people"),
    ),
    "Parameters": (
        Command("preset", "atc_asr.commands.preset", "write the values of a preset into params.yaml"),
        Command("check-params", "atc_asr.commands.check_params", "check params.yaml"),
        Command("find-batch", "atc_asr.commands.find_batch", "find the largest batch that fits in memory"),
        Command("tune-decoding", "atc_asr.commands.tune_decoding", "find the weights of the search on valid"),
    ),
    "Experiments": (
        Command("summary", "atc_asr.commands.summary", "print the results of the pipeline in this folder"),
        Command("compare", "atc_asr.commands.compare", "compare two recognisers by a paired bootstrap"),
        Command("sweep", "atc_asr.commands.sweep", "search parameters with DVC experiments"),
        Command("sweep-csv", "atc_asr.commands.sweep_csv", "write the sweep CSV of finished experiments"),
    ),
}
COMMANDS = {command.name: command for group in GROUPS.values() for command in group}


def help_text() -> str:
    """All commands in groups."""
    width = max(map(len, COMMANDS))
    lines = [
        f"usage: {PROGRAM} COMMAND [ARGUMENTS]",
        f"       {PROGRAM} COMMAND --help",
        f"       {PROGRAM} --version",
        f"       {PROGRAM} --print-completion {{{','.join(SHELLS)}}}",
    ]
    for title, group in GROUPS.items():
        lines += ["", title, *(f"  {command.name:{width}}  {command.about}" for command in group)]
    return "\n".join(lines)


def split(words: Sequence[str]) -> tuple[Command, list[str]]:
    """The command of a command line and its arguments; `find_batch` is `find-batch`.

    Raises:
        InputError: there is no such command.
    """
    for length in (2, 1):
        name = " ".join(words[:length]).replace("_", "-")
        if name in COMMANDS:
            return COMMANDS[name], list(words[length:])
    second = [name for name in COMMANDS if name.startswith(f"{words[0]} ")]
    got = " ".join(words[:2]) if second else words[0]
    hint = did_you_mean(got, second or COMMANDS) or f"; {PROGRAM} --help lists the commands"
    raise InputError(f"{PROGRAM}: got {got!r}, wanted a command{hint}")


def completion(shell: str) -> str:
    """A script that completes command lines in a shell.

    Raises:
        InputError: the shell is unknown.
    """
    import shtab

    if shell not in SHELLS:
        raise InputError(f"--print-completion: got {shell!r}, wanted one of {', '.join(SHELLS)}")
    parser = argparse.ArgumentParser(PROGRAM)
    parser.add_argument("--version", action="store_true", help="version of the package")
    names = parser.add_subparsers()
    nested: dict[str, Any] = {}
    for command in COMMANDS.values():
        group, _, name = command.name.rpartition(" ")
        if group and group not in nested:
            nested[group] = names.add_parser(group, help=f"{group} …").add_subparsers()
        try:
            parents = [cli.parser_of(importlib.import_module(command.module).main)]
        except ModuleNotFoundError:  # of the extra [train]
            parents = []
        for action in (action for parent in parents for action in parent._actions):
            schemas = list(parts(getattr(action, "schema", {})))
            if any(schema.get("format") == "path" for schema in schemas):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            else:
                action.choices = [value for schema in schemas for value in schema.get("enum", [])] or None
        (nested[group] if group else names).add_parser(name, help=command.about, parents=parents, add_help=False)
    return shtab.complete(parser, shell)


def parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A JSON schema and the schemas of its alternatives and items."""
    yield schema
    for part in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        yield from parts(part)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a subcommand.

    Raises:
        InputError: there is no such command.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(help_text())
    elif words[0] == "--version":
        print(f"{PROGRAM} {importlib.metadata.version(PROGRAM)}")
    elif words[0] == "--print-completion":
        print(completion(words[1] if len(words) > 1 else ""))
    else:
        command, arguments = split(words)
        sys.argv[0] = f"{PROGRAM} {command.name}"  # argparse takes the name of the program in its help from here
        importlib.import_module(command.module).main(arguments)


def enter() -> None:
    """The console script."""
    cli.enter(main)


if __name__ == "__main__":
    enter()
