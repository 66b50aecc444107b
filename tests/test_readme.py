"""The README's commands: every one is parsed as its program parses it, and those that can run here do.

A command that is in neither list below fails, so that a new one is given a place.
"""

import importlib
import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser

from atc_asr.commands import preset
from atc_asr.core.cli import Door
from atc_asr.core.config import read_yaml
from atc_asr.core.errors import InputError
from atc_asr.tracking.record import SWEEP_COLUMNS
from tests.test_pipeline import project  # noqa: F401 (a fixture)

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELLIPSIS = "…"

# What is only parsed, by its beginning, and why.
PARSED_ONLY = {
    "make ": "sets up a virtual environment of its own",
    "echo HF_TOKEN": "a secret",
    "python -m atc_asr.commands.preset": "of a gated corpus, and from the Hub; tests/tools/test_preset.py runs both kinds",
    "torchrun ": "two processes; tests/model/test_processes.py trains with it",
    "dvc exp run -S train.num_processes": "two devices; tests/model/test_processes.py trains so",
    "python -m stages.": "on a gated corpus; tests/stages run them",
    "python -m atc_asr.commands.sweep ": "twenty trainings; tests/tools/test_sweep.py runs it",
    "dvc exp run --queue": "tests/test_pipeline.py runs two side by side",
    "dvc plots show models/.training": "while a training runs",
    "dvc get": "from a repository somewhere else; tests/test_pipeline.py brings one out of a clone",
    "dvc queue": "tests/test_pipeline.py runs it",
}


def shell_commands() -> list[str]:
    """Commands of the README's bash blocks, and of its shown sessions those behind `$ `; on one line each."""
    found = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        if language == "":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        if language in ("", "bash"):
            found += [" ".join(shlex.quote(word) for word in words_of(line)) for line in lines if words_of(line)]
    return found


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return words[1:] if words[:1] == ["time"] else words


def is_parsed_only(command: str) -> bool:
    return command.replace("'", "").startswith(tuple(PARSED_ONLY))


class ParsedError(Exception):
    """A door has read its flags."""


@pytest.fixture
def parse_only(monkeypatch):
    """Doors end where their flags are read."""
    parse = Door.parse

    def stop(self, argv=None):
        parse(self, argv)
        raise ParsedError

    monkeypatch.setattr(Door, "parse", stop)
    monkeypatch.chdir(ROOT)


def python_of(words: list[str]) -> list[str]:
    """What torchrun starts, as Python would be called; other commands as they are."""
    return ["python", *words[words.index("-m") :]] if words[0] == "torchrun" else words


def whole(command: str) -> list[str]:
    """The command's words, an ellipsis replaced by what the README gave the same module before."""
    words = python_of(shlex.split(command))
    if ELLIPSIS not in words:
        return words
    place = words.index(ELLIPSIS)
    before = [python_of(shlex.split(one)) for one in SHELL_COMMANDS[: SHELL_COMMANDS.index(command)]]
    example = next(one for one in reversed(before) if one[:place] == words[:place] and ELLIPSIS not in one)
    return [*example, *words[place + 1 :]]


def check_python(words: list[str]) -> None:
    assert words[1] == "-m"
    with pytest.raises(ParsedError):
        importlib.import_module(words[2]).main(words[3:])


def check_dvc(words: list[str], folder: Path) -> None:
    args = get_main_parser().parse_args(words[1:])
    overrides = dict(one.split("=", 1) for one in getattr(args, "set_param", None) or [])
    sections: dict[str, list[str]] = {}
    for key, value in overrides.items():
        section, name = key.split(".")
        sections.setdefault(section, []).append(f"{name}: {value}")
    if sections:
        lines = [f"{section}: {{{', '.join(values)}}}\n" for section, values in sections.items()]
        (folder / "override.yaml").write_text("".join(lines), encoding="utf-8")
        preset.run(folder / "override.yaml", Path(shutil.copy(ROOT / "params.yaml", folder)))


def check_make(words: list[str]) -> None:
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


SHELL_COMMANDS = shell_commands()


def test_the_readme_has_commands_of_every_kind():
    programs = {command.split()[0] for command in SHELL_COMMANDS}
    assert {"python", "dvc", "make"} <= programs <= {"python", "dvc", "make", "echo", "cp", "torchrun"}
    assert len(SHELL_COMMANDS) > 20
    for beginning in PARSED_ONLY:
        assert any(command.replace("'", "").startswith(beginning) for command in SHELL_COMMANDS), beginning


@pytest.mark.parametrize("command", SHELL_COMMANDS)
def test_its_program_understands_the_command(command, parse_only, tmp_path):
    words = whole(command)
    if words[0] == "python":
        check_python(words)
    elif words[0] == "dvc":
        check_dvc(words, tmp_path)
    elif words[0] == "make":
        check_make(words)


def test_a_flag_that_is_gone_would_be_noticed(parse_only, tmp_path, capsys):
    with pytest.raises(SystemExit):
        check_python(["python", "-m", "stages.decode", "--checkpoint_folder", "x"])
    with pytest.raises(InputError, match="epoch"):
        check_dvc(["dvc", "exp", "run", "-S", "train.epoch=1"], tmp_path)
    with pytest.raises(DvcParserError):
        check_dvc(["dvc", "exp", "run", "--parameters", "train.epochs=1"], tmp_path)


def test_every_module_path_and_link_of_the_text_is_there():
    for module in re.findall(r"python -m ([a-z_]+(?:\.[a-z_]+)+)", README):
        assert importlib.util.find_spec(module), module
    tracked = r"(?:asr|stages|tools|benchmarks|docs|presets|tests)/[\w/]+(?:\.\w+)?"
    paths = re.findall(rf"`({tracked})`", README) + re.findall(r"\]\((?!http)([^)]+)\)", README)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists(), path


def test_every_key_of_params_that_the_text_names_is_there():
    content = read_yaml(ROOT / "params.yaml")
    named = re.findall(r"`([a-z]+)\.([a-z_]+)(?:=[^`]*)?`", README)
    keys = {(section, name) for section, name in named if section in content and name not in ("ckpt", "csv", "jsonl")}
    assert len(keys) > 5
    for section, name in keys:
        assert name in content[section], f"{section}.{name}"


def test_the_python_of_the_text_compiles():
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


@pytest.mark.slow
def test_the_commands_that_can_run_here_do(project):  # noqa: F811 (the fixture)
    project.run("git", "branch", "-M", "main")
    wav = next((project.folder / "spoken").glob("*.wav"))
    shutil.copy(wav, project.folder / "recording.wav")
    for name in ("greedy.jsonl", "lexicon.jsonl"):
        shutil.copy(project.folder / "data" / "hyps" / "test.jsonl", project.folder / name)
    said = {}
    for command in SHELL_COMMANDS:
        if is_parsed_only(command):
            continue
        if command.startswith("dvc exp run") and "train." in command:
            project.restore()
            project.edit("epochs: 70", "epochs: 2")
        # the shell opens data/corpus/*/test.csv, and shlex has quoted it
        said[command] = project.run("bash", "-c", command.replace("'", ""))
    assert "Running stage 'decode@test'" in outcome(said, "dvc exp run -n lexicon")
    assert outcome(said, "atc_asr.commands.transcribe").startswith("1\n00:00:0")
    assert "A and B make the same number of word errors" in outcome(said, "atc_asr.commands.compare greedy.jsonl")
    assert "-S" in outcome(said, "atc_asr.commands.tune_decoding")
    header = (project.folder / "sweep_master.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.split(",") == list(SWEEP_COLUMNS)
    assert (project.folder / "asr.onnx").stat().st_size > 0
    assert project.metrics("train.json")["train_utterances"] > 0


def outcome(said: dict[str, str], words: str) -> str:
    return next(text for command, text in said.items() if words in command)
