"""The documents: every command is parsed by its program, those that can run here run, and all that they name exists.

A command that is not in PARSED_ONLY is run, so a new command needs a decision.
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

from atc_asr.commands import main, preset, transcribe
from atc_asr.core import cli
from atc_asr.core.config import read_yaml
from atc_asr.core.errors import InputError
from atc_asr.scoring.score import METRICS
from atc_asr.tracking.sweep_csv import SWEEP_COLUMNS
from tests.test_pipeline import project  # noqa: F401 (a fixture)

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
}
SPECIFICATION = DOCUMENTS["docs/specification.md"]
ELLIPSIS = "…"

# Beginnings of commands that are only parsed, with the reason.
PARSED_ONLY = {
    "make ": "sets up a virtual environment of its own",
    "echo HF_TOKEN": "a secret",
    "atc-asr preset": "a gated corpus and the Hub; tests/commands/test_preset.py runs both kinds",
    "atc-asr sweep ": "twenty trainings; tests/commands/test_sweep.py runs it",
    "atc-asr find-batch": "many trainings; tests/commands/test_find_batch.py runs it",
    "python -m stages.": "a gated corpus; tests/stages run them",
    "torchrun ": "several processes; tests/training runs it",
    "arecord ": "a microphone; tests/commands/test_transcribe.py reads raw PCM",
    "dvc exp run -S lora.peft": "tests/training and tests/stages train adapters; the other experiments run here",
    "dvc exp run -S train.num_processes": "several devices; tests/training trains so",
    "dvc exp run --queue": "tests/test_pipeline.py runs two side by side",
    "dvc queue": "tests/test_pipeline.py runs it",
    "dvc plots show models/.training": "while a training runs",
    "dvc get": "another repository; tests/test_pipeline.py gets a run folder from a clone",
    "pip install": "an environment of its own; tests/commands/test_main.py reads the package",
    "dvc remote": "a remote; tests/test_machines.py uses one",
    "dvc push": "as dvc remote",
    "dvc pull": "as dvc remote",
    "dvc artifacts get": "another repository; tests/test_pipeline.py gets the recogniser folder from a clone",
    "hf ": "the Hub",
    "pytest -m gpu": "needs a GPU; tests/benchmarks/ runs the script that calls it",
    "dvc repro": "tests/test_pipeline.py runs it",
}


def shell_commands(document: str) -> list[str]:
    """Commands of the bash blocks, and those behind `$ ` in blocks of sessions, each on one line."""
    found = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENTS[document], re.MULTILINE | re.DOTALL):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        if language == "":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        if language in ("", "bash"):
            found += [line for line in lines if shlex.split(line, comments=True)]
    return found


COMMANDS = [(document, command) for document in DOCUMENTS for command in shell_commands(document)]


class ParsedError(Exception):
    """The command line was read."""


@pytest.fixture
def parse_only(monkeypatch):
    """Commands end when their command line is read."""
    parse = cli.parse

    def stop(*args):
        parse(*args)
        raise ParsedError

    monkeypatch.setattr(cli, "parse", stop)
    monkeypatch.setattr(transcribe, "find_params", lambda path: ROOT / "params.yaml")
    monkeypatch.chdir(ROOT)


def words_of(document: str, command: str) -> list[str]:
    """The words of the last command of a pipe; torchrun as python; an ellipsis as the document's previous example."""
    words = shlex.split(command, comments=True)
    if "|" in words:
        words = words[words.index("|") + 1 :]
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    if ELLIPSIS not in words:
        return words
    position = words.index(ELLIPSIS)
    commands = shell_commands(document)
    before = [words_of(document, one) for one in commands[: commands.index(command)] if ELLIPSIS not in one]
    example = next(one for one in reversed(before) if one[:position] == words[:position])
    return [*example, *words[position + 1 :]]


def check_python(words: list[str]) -> None:
    if words[0] == "atc-asr":
        words = ["python", "-m", main.__name__, *words[1:]]
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


def test_there_are_commands_of_every_kind():
    programs = {shlex.split(command, comments=True)[0] for _, command in COMMANDS}
    assert programs == {"python", "atc-asr", "dvc", "make", "echo", "cp", "torchrun", "arecord", "pytest", "hf", "pip"}
    assert len(COMMANDS) > 40
    for beginning in PARSED_ONLY:
        assert any(command.startswith(beginning) for _, command in COMMANDS), beginning


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_its_program_accepts_the_command(document, command, request, tmp_path):
    words = words_of(document, command)
    if words[0] in ("python", "atc-asr"):
        request.getfixturevalue("parse_only")
        check_python(words)
    elif words[0] == "dvc":
        check_dvc(words, tmp_path)
    elif words[0] == "make":
        check_make(words)


def test_an_unknown_flag_or_key_is_noticed(request, tmp_path, capsys):
    with pytest.raises(InputError, match="epoch"):
        check_dvc(["dvc", "exp", "run", "-S", "train.epoch=1"], tmp_path)
    with pytest.raises(DvcParserError):
        check_dvc(["dvc", "exp", "run", "--parameters", "train.epochs=1"], tmp_path)
    request.getfixturevalue("parse_only")
    with pytest.raises(InputError, match="checkpoint_folder"):
        check_python(["python", "-m", "stages.decode", "--checkpoint_dir", "x", "--checkpoint_folder", "x"])


def test_the_readme_is_short():
    assert len(DOCUMENTS["README.md"].split()) <= 1200


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", DOCUMENTS[document])
    assert not [link for link in links if not (ROOT / document).parent.joinpath(link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_and_modules_exist(document):
    code = re.findall(r"`([^`\n]+)`", DOCUMENTS[document])
    folders = "atc_asr|stages|benchmarks|docs|presets|tests"
    paths = [text for text in code if re.fullmatch(rf"(?:{folders})/[\w/]*(?:\.\w+)?", text)]
    assert not [path for path in paths if not (ROOT / path).exists()]
    modules = set(re.findall(r"\b(?:stages|atc_asr\.commands|benchmarks)\.[a-z_]+", " ".join(code)))
    modules |= set(re.findall(r"python -m ([a-z_]+\.[a-z_.]+)", DOCUMENTS[document]))
    assert not [module for module in modules if not importlib.util.find_spec(module)]


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_parameters_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    if document == "CHANGELOG.md":  # the new names of the renamed parameters
        text = "\n".join(re.findall(r"^\|[^|]+\| (`[^|]+) \|$", text, re.MULTILINE))
    content = read_yaml(ROOT / "params.yaml")
    files = ("ckpt", "csv", "jsonl", "json", "yaml", "txt", "py", "html", "md", "pdf", "png", "wer")
    named = re.findall(r"`([a-z]+)\.([a-z_]+|\*)(?:=[^`]*)?`", text)
    keys = [(section, key) for section, key in named if section in content and key not in files]
    assert not [f"{section}.{key}" for section, key in keys if key != "*" and key not in content[section]]
    assert keys or document in ("README.md", "CONTRIBUTING.md", "docs/sharing.md")


def test_the_python_of_the_documents_compiles():
    blocks = [
        block
        for text in DOCUMENTS.values()
        for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
    assert blocks
    for block in blocks:
        compile(block, "document", "exec")


@pytest.mark.parametrize("module", ["stages.export", "stages.train", "stages.decode"])
def test_the_flags_of_the_specification_exist(module, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    table = re.search(rf"^\| flag .*`{module}`.*\n((?:\|.*\n)+)", SPECIFICATION, re.MULTILINE)
    flags = [flag for row in table[1].splitlines() for flag in re.findall(r"`(--\w+)`", row.split("|")[1])]
    with pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    accepted = re.findall(r"--\w+", capsys.readouterr().out)
    assert flags
    assert not set(flags) - set(accepted)


def test_the_columns_of_the_specification_are_those_of_the_sweep_csv():
    table = re.search(r"^\| column .*\n\|[-|]+\n((?:\|.*\n)+)", SPECIFICATION, re.MULTILINE)
    assert tuple(re.findall(r"^\| `(\w+)`", table[1], re.MULTILINE)) == SWEEP_COLUMNS


def test_the_metrics_of_the_documents_are_those_of_the_stage():
    table = re.search(r"^\| metric .*\n\|[-|]+\n((?:\|.*\n)+)", DOCUMENTS["docs/scoring.md"], re.MULTILINE)
    assert [name for row in table[1].splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])] == [*METRICS]


@pytest.mark.endurance
def test_the_commands_that_can_run_here_do(project):  # noqa: F811 (the fixture)
    project.run("git", "branch", "-M", "main")
    wav = next((project.folder / "spoken").glob("*.wav"))
    for name in ("recording.wav", "tower.wav"):
        shutil.copy(wav, project.folder / name)
    for name in ("greedy.jsonl", "lexicon.jsonl", "old.jsonl", "new.jsonl"):
        shutil.copy(project.folder / "data" / "hyps" / "test.jsonl", project.folder / name)
    outputs: dict[str, str] = {}
    for command in dict.fromkeys(command for _, command in COMMANDS):
        if command.startswith(tuple(PARSED_ONLY)):
            continue
        if command.startswith("dvc exp run -S train."):
            project.restore()
            project.edit("epochs: 70", "epochs: 2")
        outputs[command] = project.run("bash", "-c", f"COLUMNS=160 {command}")

    def output(words: str) -> str:
        return next(text for command, text in outputs.items() if words in command)

    assert "Running stage 'decode@test'" in output("dvc exp run -n greedy")
    shown = output("dvc exp show")
    assert ELLIPSIS not in shown
    assert {"metrics/test.json:wer", "metrics/test.json:callsign", "decode.search"} <= set(shown.split())
    assert output("--format srt").startswith("1\n00:00:0")
    assert (project.folder / "transcripts" / "recording.vtt").read_text(encoding="utf-8").startswith("WEBVTT")
    assert "A and B make the same number of word errors" in output("compare greedy.jsonl")
    assert "-S" in output("tune-decoding")
    header = (project.folder / "sweep_master.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.split(",") == list(SWEEP_COLUMNS)
    assert (project.folder / "asr.onnx").stat().st_size > 0
    assert project.metrics("train.json")["utterances"] > 0
