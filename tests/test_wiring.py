"""dvc.yaml, params.yaml, parameter models and imports agree with each other."""

import ast
import functools
import importlib
import re
import typing
from pathlib import Path

import pytest

from atc_asr.commands.check_params import section_classes
from atc_asr.core.config import Section, read_yaml
from atc_asr.model import network
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tracking.params import RecordParams

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]
CODE = ("atc_asr/", "stages/")
LOG_LEVELS = ("debug", "info", "warning", "error", "exception")
IGNORED = [line.strip("/") for line in (ROOT / ".dvcignore").read_text().splitlines() if line.startswith("/atc_asr")]
# A package imports only packages on lines above its own.
LAYERS = """
core
tracking tokenizer wer atc/vocabulary hypotheses
atc/grammar model lm corpus
posteriors deploy training
decoding scoring readback
transcribe report sweep
commands
""".split("\n")[1:-1]


def module_file(name: str) -> Path | None:
    """The file of a module of this project, None for any other."""
    path = ROOT / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate.relative_to(ROOT)
    return None


@functools.cache
def imported_files(path: Path) -> set[Path]:
    """Files of this project that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = {module_file(name) for name in names}
    return {file for file in files if file is not None and (ROOT / file).stat().st_size}


@functools.cache
def closure(path: Path) -> set[Path]:
    """A file and all files that it imports, directly or not."""
    found, todo = set(), {path}
    while todo:
        file = todo.pop()
        found.add(file)
        todo |= imported_files(file) - found
    return found


def is_ignored(path: Path) -> bool:
    """Whether .dvcignore leaves a file out of the stages' dependencies."""
    return any(path.match(pattern) for pattern in IGNORED)


def body(name: str) -> dict:
    """A stage of dvc.yaml, the inner part of a `foreach` stage."""
    return PIPELINE[name].get("do", PIPELINE[name])


def stage_module(name: str) -> str:
    """The module that a stage runs; the check of params.yaml before it decides no output."""
    commands = body(name)["cmd"]
    (module,) = re.findall(r"-m (stages\.\w+)", commands if isinstance(commands, str) else " ".join(commands))
    return module


def code_dependencies(name: str) -> set[Path]:
    return {Path(dep) for dep in body(name)["deps"] if dep.startswith(CODE)}


@pytest.mark.parametrize("name", PIPELINE)
def test_the_import_closure_lies_in_the_listed_folders(name):
    listed = code_dependencies(name)
    needed = {file for file in closure(module_file(stage_module(name))) if not is_ignored(file)}
    outside = {file for file in needed if not any(file.is_relative_to(folder) for folder in listed)}
    assert not outside
    unused = {folder for folder in listed if not any(file.is_relative_to(folder) for file in needed)}
    assert not unused


@pytest.mark.parametrize("name", PIPELINE)
def test_dependencies_are_folders_and_the_stage_itself(name):
    files = {dep for dep in code_dependencies(name) if (ROOT / dep).is_file()}
    assert files == {module_file(stage_module(name))}


@pytest.mark.parametrize(
    ("changed", "reruns"),
    [
        ("atc_asr/decoding", {"decode"}),
        ("atc_asr/training", {"train"}),
        ("atc_asr/scoring", {"score", "report"}),
        ("atc_asr/atc/grammar", {"decode", "score"}),
        ("atc_asr/report", {"report"}),
        ("atc_asr/readback", {"report"}),
        ("atc_asr/lm", {"lm", "decode"}),
        ("atc_asr/deploy", {"package"}),
        ("atc_asr/corpus", {"corpora", "export"}),
        ("atc_asr/commands", set()),
        ("atc_asr/transcribe", set()),
        ("atc_asr/sweep", set()),
    ],
)
def test_a_changed_package_reruns_only_its_stages(changed, reruns):
    changed = Path(changed)
    touched = {
        name
        for name in PIPELINE
        if any(changed.is_relative_to(dep) or dep.is_relative_to(changed) for dep in code_dependencies(name))
    }
    assert touched == reruns


def test_messages_command_lines_and_help_texts_are_no_dependencies():
    models = list((ROOT / "atc_asr").glob("*/params.py"))
    core = [ROOT / "atc_asr" / "core" / name for name in ("cli.py", "config.py", "errors.py", "messages.py")]
    assert models
    for path in models + core:
        assert is_ignored(path.relative_to(ROOT)), path


@pytest.mark.parametrize("path", sorted((ROOT / "atc_asr").glob("*/params.py")), ids=lambda path: path.parent.name)
def test_parameter_models_import_only_the_core(path):
    """They are no dependency of a stage, so nothing in them may decide an output."""
    files = imported_files(path.relative_to(ROOT))
    assert files <= {Path("atc_asr/core/config.py"), Path("atc_asr/core/errors.py")}


@pytest.mark.parametrize("name", PIPELINE)
def test_log_messages_are_constants_of_the_messages_module(name):
    """Editing the text of a log message reruns no stage."""
    for path in closure(module_file(stage_module(name))):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"log.{level}" for level in LOG_LEVELS}:
                assert ast.unparse(node.args[0]).startswith("messages."), f"{path}:{node.lineno}"


def names_in_dvc(section: type[Section]) -> list[str]:
    """The section, or the keys of a class that reads a part of a section."""
    whole = section.model_config["extra"] != "ignore"
    return [section.section] if whole else [f"{section.section}.{key}" for key in section.model_fields]


@pytest.mark.parametrize("name", PIPELINE)
def test_params_are_the_sections_of_the_stage(name):

    hints = typing.get_type_hints(importlib.import_module(stage_module(name)).run)
    sections = {
        name
        for hint in hints.values()
        if isinstance(hint, type) and issubclass(hint, Section) and hint is not RecordParams  # labels rerun nothing
        for name in names_in_dvc(hint)
    }
    assert {param.removesuffix(".${key}.export") for param in body(name).get("params", [])} == sections


def test_params_yaml_has_every_section_and_key():
    content = read_yaml(ROOT / "params.yaml")
    assert {name: list(keys) for name, keys in content.items()} == {
        name: list(model.model_fields) for name, model in section_classes().items()
    }


def test_comments_of_params_yaml_are_the_help_texts():
    comments, section = {}, None
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"(\w+): (?:\{\})? +# (.*)", line):
            section = match[1]
            comments[section] = match[2]
        elif match := re.match(r"  (\w+): .*? +# (.*)", line):
            comments[f"{section}.{match[1]}"] = match[2]
    wanted = {}
    for name, model in section_classes().items():
        wanted[name] = model.__doc__.splitlines()[0]
        wanted |= {f"{name}.{key}": field.description for key, field in model.model_fields.items()}
    assert comments == wanted


def test_placeholders_are_the_keys_of_the_sections():
    text = network.HPARAMS_FILE.read_text(encoding="utf-8")
    content = read_yaml(ROOT / "params.yaml")
    model, specaugment = ModelParams(**content["model"]), SpecAugmentParams(**content["specaugment"])
    assert set(network.PLACEHOLDER.findall(text)) == set(network.hparams_values(model, specaugment, 30))


def layer(path: Path) -> tuple[int, str]:
    """Position of a file's package in LAYERS, and the package."""
    package = next(
        package for line in LAYERS for package in line.split() if path.is_relative_to(Path("atc_asr", package))
    )
    return next(index for index, line in enumerate(LAYERS) if package in line.split()), package


def modules() -> list[Path]:
    return [path.relative_to(ROOT) for path in sorted((ROOT / "atc_asr").rglob("*.py")) if path.stat().st_size]


@pytest.mark.parametrize("path", modules(), ids=str)
def test_no_import_goes_up(path):
    for file in imported_files(path):
        assert file.parts[0] == "atc_asr", f"{path} imports {file}"
        (here, package), (there, other) = layer(path), layer(file)
        assert there < here or other == package, f"{path} imports {file}"


@pytest.mark.parametrize("path", modules(), ids=str)
def test_no_import_circle(path):
    assert path not in set().union(set(), *(closure(file) for file in imported_files(path)))


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_no_stage_imports_a_stage_or_a_command(path):
    files = imported_files(path.relative_to(ROOT))
    assert not {file for file in files if file.parts[0] == "stages" or "commands" in file.parts}
