"""Command lines: generated flags, exit codes, one-line errors."""

import errno
import logging
import shlex
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from atc_asr.core import cli
from atc_asr.core.config import Flags, Section, argument, param
from atc_asr.core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


class Example(Section):
    section: ClassVar[str] = "example"
    count: int = param("a count", ge=1)
    rate: float = param("a rate, in %", gt=0)
    flag: bool = param("a switch")
    names: list[str] = param("some names")
    place: str | None = param("a place")
    eval_size: int = param("a size", ge=1, flag="size")


class ExampleFlags(Flags):
    """Does something."""

    inputs: list[Path] = argument("input files", positional=True)
    out_dir: Path | None = argument("output folder", None)
    skip: bool = argument("leave something out", False)
    number: int | None = argument("a number", None)
    mode: str = argument("a mode (plain)", "plain")


VALUES = "{count: 1, rate: 0.5, flag: true, names: [a], place: here, eval_size: 1}"


@pytest.fixture
def parse(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(f"example: {VALUES}\n", encoding="utf-8")
    return lambda *argv: cli.parse(["--params", str(path), "x.wav", *argv], Example, ExampleFlags)


def test_params_yaml_gives_the_values_that_no_flag_gives(parse):
    section, flags = parse("--count", "3")
    assert section == Example(count=3, rate=0.5, flag=True, names=["a"], place="here", eval_size=1)
    assert flags == ExampleFlags(inputs=[Path("x.wav")])


def test_a_switch_does_not_swallow_an_input(parse):
    for argv in (("--flag", "y.wav"), ("--flag", "true", "y.wav"), ("y.wav", "--flag")):
        section, flags = parse("--skip", *argv)
        assert (section.flag, flags.skip, flags.inputs) == (True, True, [Path("x.wav"), Path("y.wav")])


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--rate", "1e-5"], "rate", 1e-5),
        (["--rate", "2"], "rate", 2.0),
        (["--rate=-1e-5"], "rate", None),
        (["--flag", "False"], "flag", False),
        (["--flag"], "flag", True),
        (["--names", "x", "y"], "names", ["x", "y"]),
        (["--names"], "names", []),
        (["--place", "null"], "place", None),
        (["--size", "4"], "eval_size", 4),
    ],
)
def test_flags_have_the_fields_types(parse, argv, field, value):
    if field == "rate" and value is None:
        with pytest.raises(InputError, match=r"^--rate: got -1e-05, wanted float > 0"):
            parse(*argv)
    else:
        assert getattr(parse(*argv)[0], field) == value


def test_inputs_may_stand_around_flags(parse):
    assert parse("--count", "3", "y.wav")[1].inputs == [Path("x.wav"), Path("y.wav")]


@pytest.mark.parametrize("argv", [["--out-dir", "a b"], ["--out_dir", "a b"], ["--out-dir=a b"]])
def test_dashes_and_underscores_are_the_same_flag(parse, argv):
    assert parse(*argv)[1].out_dir == Path("a b")


def test_a_value_keeps_its_dashes(parse):
    assert parse("--mode=a-b", "--place", "c-d")[1].mode == "a-b"
    assert parse("--mode=a-b", "--place", "c-d")[0].place == "c-d"


def test_path_flags_have_their_types(parse):
    flags = parse("--number", "3", "--skip")[1]
    assert (flags.number, flags.skip) == (3, True)
    with pytest.raises(InputError, match=r"^--number: got 'x', wanted int or null$"):
        parse("--number", "x")


@pytest.mark.parametrize("argv", [["--count", "0"], ["--count", "1.5"], ["--rate", "x"], ["--flag=perhaps"]])
def test_a_wrong_flag_is_named(parse, argv):
    with pytest.raises(InputError, match=f"^{argv[0].partition('=')[0]}: got "):
        parse(*argv)


def test_an_unknown_flag_is_one_line_with_a_suggestion(parse):
    with pytest.raises(InputError, match=r"unrecognized arguments: --cuont.*did you mean --count\?"):
        parse("--cuont", "3")


def test_a_missing_flag_is_one_line(tmp_path):
    with pytest.raises(InputError, match="inputs"):
        cli.parse([], ExampleFlags)


def test_help_shows_descriptions_with_per_cent_signs(parse, capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    assert "a rate, in %; float > 0" in shown
    assert "Does something." in shown


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (InputError("p: x"), 2, "error: p: x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "full", "f.wav"), 2, "error: f.wav: No space left on device"),
        (FileExistsError(errno.EEXIST, "a file", "out"), 2, "error: out: File exists"),
        (FileNotFoundError(errno.ENOENT, "gone"), 2, "error: input or output: No such file or directory"),
        (OSError(errno.ENAMETOOLONG, "long", "x" * 300), 2, "error: xxx"),
        (OSError("of a library"), 2, "error: input or output: of a library"),
        (UnicodeEncodeError("utf-8", "caf\udce9.wav", 3, 4, "surrogate"), 2, "error: a file name or text: got 'caf"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "start"), 2, "error: a file name or text: got b'"),
        (InputError("two\nlines \x1b[31m"), 2, r"error: two\nlines \x1b[31m"),
    ],
)
def test_a_users_error_is_one_line(raised, code, said, capsys):
    def main():
        raise raised

    with pytest.raises(SystemExit) as exit_:
        cli.enter(main)
    assert exit_.value.code == code
    shown = capsys.readouterr().err
    assert shown.startswith(said)
    assert shown.count("\n") == 1


def test_a_closed_standard_output_ends_a_command_without_words():
    code = "from atc_asr.core import cli\ncli.enter(lambda: print('x' * 1_000_000))"
    command = f'{shlex.quote(sys.executable)} -c "{code}" | head -c 1; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (141, "x", "")


def test_log_messages_are_one_line_that_a_terminal_can_show(capsys):
    formatter = cli.LineFormatter("%(levelname)s: %(message)s")
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "%s: bad", ("a\n\x1b[2J",), None)
    assert formatter.format(record) == r"WARNING: a\n\x1b[2J: bad"


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("atc_asr.training.brain", logging.INFO, True),
        ("__main__", logging.INFO, True),
        ("atc_asr_other", logging.INFO, False),
        ("matplotlib.font_manager", logging.INFO, False),
        ("speechbrain.core", logging.WARNING, True),
        ("speechbrain.utils.train_logger", logging.WARNING, False),
    ],
)
def test_libraries_log_only_warnings(name, level, shown):
    assert cli.is_shown(logging.LogRecord(name, level, "x.py", 1, "text", (), None)) == shown


def test_a_bug_keeps_its_traceback():
    def main():
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        cli.enter(main)
