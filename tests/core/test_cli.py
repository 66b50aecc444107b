"""Doors: flags made from sections, exit codes, nothing half-written."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from atc_asr.core import cli
from atc_asr.core.cli import Door
from atc_asr.core.config import option
from atc_asr.core.errors import InputError


@dataclass(frozen=True)
class Example:
    section: ClassVar[str] = "example"
    count: int = option("how many", low=1)
    rate: float = option("how fast, in %", above=0)
    flag: bool = option("whether")
    names: list[str] = option("who")
    place: str | None = option("where")


@pytest.fixture
def params_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("example: {count: 1, rate: 0.5, flag: true, names: [a], place: here}\n", encoding="utf-8")
    return path


def parse(params_file, *argv):
    made = Door("doc", sections=[Example])
    made.path("--out_dir")
    return made.parse(["--params", str(params_file), *argv])


def test_params_yaml_fills_what_no_flag_gives(params_file):
    args = parse(params_file, "--count", "3")
    assert args.sections == [Example(count=3, rate=0.5, flag=True, names=["a"], place="here")]
    assert args.paths.out_dir is None


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--rate", "1e-5"], "rate", 1e-5),
        (["--rate", "2"], "rate", 2.0),
        (["--flag", "False"], "flag", False),
        (["--flag"], "flag", True),
        (["--names", "x", "y"], "names", ["x", "y"]),
        (["--names"], "names", []),
        (["--place", "null"], "place", None),
    ],
)
def test_flags_have_the_fields_types(params_file, argv, field, value):
    assert getattr(parse(params_file, *argv).sections[0], field) == value


@pytest.mark.parametrize("argv", [["--count", "0"], ["--count", "1.5"], ["--rate", "x"], ["--flag", "perhaps"]])
def test_a_wrong_flag_is_named(params_file, argv):
    with pytest.raises(InputError, match=f"^{argv[0]}: got "):
        parse(params_file, *argv)


def test_paths_are_paths(params_file):
    assert parse(params_file, "--out_dir", "a b").paths.out_dir == Path("a b")


def test_help_shows_hints_with_per_cent_signs(params_file, capsys):
    with pytest.raises(SystemExit):
        parse(params_file, "--help")
    assert "how fast, in %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (InputError("p: x"), 2, "error: p: x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "full", "f.wav"), 2, "error: f.wav: No space left on device"),
        (FileExistsError(errno.EEXIST, "a file", "out"), 2, "error: out: File exists"),
    ],
)
def test_a_users_mistake_is_one_line(raised, code, said, capsys):
    def main():
        raise raised

    with pytest.raises(SystemExit) as exit_:
        cli.enter(main)
    assert exit_.value.code == code
    shown = capsys.readouterr().err
    assert shown.startswith(said)
    assert shown.count("\n") == 1


def test_our_own_mistakes_keep_their_traceback():
    def main():
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        cli.enter(main)
