"""dvc.yaml, params.yaml, the doors and the imports agree with each other."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from atc_asr.commands.check_params import section_classes
from atc_asr.core.config import read_yaml
from atc_asr.model import network
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tracking.params import RecordParams

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]
WINGS = ("corpus", "model", "decoding", "scoring")  # from left to right


def module_file(name: str) -> Path | None:
    """The file of a module of this project, None for any other."""
    path = ROOT / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate.relative_to(ROOT)
    return None


def imported_modules(path: Path) -> set[str]:
    """Names of the modules a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def neighbours(path: Path) -> set[Path]:
    """Files of this project that a file needs: the modules it imports and the data files it names."""
    modules = {module_file(name) for name in imported_modules(path)} - {None}
    text = (ROOT / path).read_text(encoding="utf-8")
    named = {ROOT / path.parent / name for name in re.findall(r'"([\w/]+(?:\.(?!py")\w+)?)"', text)}
    named = {file for name in named for file in (name.iterdir() if name.is_dir() else [name])}
    data = {file.relative_to(ROOT) for file in named if file.is_file() and "asr" in file.parts and file.suffix != ".py"}
    return {file for file in modules | data if (ROOT / file).stat().st_size}


def closure(path: Path) -> set[Path]:
    """A file and everything it needs, through all its imports."""
    found, todo = set(), {path}
    while todo:
        file = todo.pop()
        found.add(file)
        if file.suffix == ".py":
            todo |= neighbours(file) - found
    return found


def commands(stage: dict) -> list[str]:
    """The command lines of a stage, `foreach` ones too."""
    body = stage.get("do", stage)
    return body["cmd"] if isinstance(body["cmd"], list) else [body["cmd"]]


def doors(stage: dict) -> list[str]:
    """Modules in `stages` that a stage runs; the check of params.yaml is a guard and decides no output."""
    return re.findall(r"python -m (stages\.\w+)", " ".join(commands(stage)))


@pytest.mark.parametrize("name", PIPELINE)
def test_deps_are_the_import_closure(name):
    body = PIPELINE[name].get("do", PIPELINE[name])
    code = {Path(dep) for dep in body["deps"] if dep.startswith(("asr/", "stages/", "tools/"))}
    wanted = set().union(*(closure(module_file(door)) for door in doors(PIPELINE[name])))
    assert sorted(map(str, code)) == sorted(map(str, wanted))


@pytest.mark.parametrize("name", PIPELINE)
def test_params_are_the_sections_of_the_door(name):
    body = PIPELINE[name].get("do", PIPELINE[name])
    sections = {
        section_class.section
        for door in doors(PIPELINE[name])
        for section_class in importlib.import_module(door).SECTIONS
        if section_class is not RecordParams  # labels never rerun anything
    }
    assert set(body.get("params", [])) == sections


def test_params_yaml_holds_every_section_and_no_other():
    assert set(read_yaml(ROOT / "params.yaml")) == set(section_classes())


def test_every_key_of_params_yaml_has_its_hint_on_its_line():
    section = None
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines():
        section = line.split(":")[0] if re.match(r"\w+:", line) else section
        if re.match(r"  \w+:", line):
            assert " # " in line, f"{section}: {line.strip()} has no hint"


def test_placeholders_are_the_fields_of_the_sections():
    text = network.HPARAMS_FILE.read_text(encoding="utf-8")
    content = read_yaml(ROOT / "params.yaml")
    model = ModelParams(**content["model"])
    specaugment = SpecAugmentParams(**content["specaugment"])
    assert set(network.PLACEHOLDER.findall(text)) == set(network.hparams_values(model, specaugment, 30))


def wing(path: Path) -> int | None:
    """Position of a file's wing on the data's way; None for plumbing."""
    return WINGS.index(path.parts[1]) if len(path.parts) > 2 and path.parts[1] in WINGS else None


@pytest.mark.parametrize("path", sorted((ROOT / "asr").rglob("*.py")), ids=lambda path: path.stem)
def test_imports_only_go_down_and_left(path):
    path = path.relative_to(ROOT)
    for name in imported_modules(path):
        target = module_file(name)
        if target is None:
            continue
        assert target.parts[0] == "asr", f"{path} imports the door {name}"
        if wing(path) is not None and wing(target) is not None:
            assert wing(target) <= wing(path), f"{path} imports {name}, which lies to its right"
        if len(path.parts) == 2:
            assert len(target.parts) == 2, f"{path} is plumbing and imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_no_stage_imports_a_stage(path):
    assert not {name for name in imported_modules(path) if name.startswith(("stages", "tools"))}
