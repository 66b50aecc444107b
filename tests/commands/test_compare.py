"""Command compare: two files, or two revisions of one file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from atc_asr.commands import compare
from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.core.text import normalize
from atc_asr.scoring.params import ScoreParams

ROOT = Path(__file__).resolve().parents[2]
PARAMS = load_section(ScoreParams, ROOT / "params.yaml")
REFS = [normalize(f"united six heading two {digit} zero") for digit in ("one", "two", "three", "four")]


def write_hypotheses(path: Path, hyps: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": f"u{number}", "hyp": hyp}) + "\n" for number, hyp in enumerate(hyps)]
    path.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "a.wav").touch()
    rows = [f"u{number},a.wav,2.0,{ref}\n" for number, ref in enumerate(REFS)]
    (tmp_path / "test.csv").write_text("id,wav,duration,transcript\n" + "".join(rows), encoding="utf-8")
    write_hypotheses(tmp_path / "hyps" / "perfect.jsonl", REFS)
    write_hypotheses(tmp_path / "hyps" / "poor.jsonl", ["UNITED"] * 4)
    return tmp_path


def run(folder: Path, a: str, b: str, hyp_path: Path | None = None) -> compare.Comparison:
    flags = compare.CompareFlags(a=a, b=b, ref_manifest=[folder / "test.csv"], hyp_path=hyp_path)
    return compare.run(PARAMS, flags, root=folder)


def test_two_files(corpus):
    found = run(corpus, str(corpus / "hyps" / "poor.jsonl"), str(corpus / "hyps" / "perfect.jsonl"))
    assert (found.wins, found.losses) == (4, 0)
    assert (found.differences[0].a, found.differences[0].b) == (pytest.approx(100 * 5 / 6), 0.0)


def test_a_revision_needs_hyp_path(corpus):
    with pytest.raises(InputError, match="main: no such file; to compare revisions, name the hypotheses"):
        run(corpus, "main", str(corpus / "hyps" / "poor.jsonl"))


def test_hypotheses_of_another_corpus_are_an_error(corpus):
    write_hypotheses(corpus / "other.jsonl", ["UNITED"] * 3)
    with pytest.raises(InputError, match=r"1 without a hypothesis \(u3\)"):
        run(corpus, str(corpus / "hyps" / "poor.jsonl"), str(corpus / "other.jsonl"))


def test_an_unknown_revision_is_an_error(corpus):
    call(corpus, "git", "init", "-q")
    with pytest.raises(InputError, match=r"nowhere: not a file, and as a revision it has no hyps/poor") as caught:
        run(corpus, "nowhere", "workspace", Path("hyps/poor.jsonl"))
    assert "\n" not in str(caught.value)


def call(folder: Path, *command: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    words = ["git", *identity, *command[1:]] if command[0] == "git" else command
    subprocess.run(words, cwd=folder, check=True, capture_output=True)


@pytest.mark.slow
def test_two_revisions_of_a_file_that_dvc_tracks(corpus):
    dvc = (sys.executable, "-m", "dvc")
    hyps = Path("hyps/test.jsonl")
    call(corpus, "git", "init", "-q")
    call(corpus, *dvc, "init", "-q")
    for name, source in (("old", "poor"), ("new", "perfect")):
        (corpus / hyps).unlink(missing_ok=True)
        (corpus / hyps).write_bytes((corpus / "hyps" / f"{source}.jsonl").read_bytes())
        call(corpus, *dvc, "add", "-q", str(hyps))
        call(corpus, "git", "add", "hyps/test.jsonl.dvc")
        call(corpus, "git", "commit", "-q", "-m", name)
        call(corpus, "git", "tag", name)
    found = run(corpus, "old", "new", hyps)
    assert (found.wins, found.losses) == (4, 0)
    assert run(corpus, "new", "workspace", hyps).wins == 0


def test_the_command_prints_the_verdict(corpus, capsys, monkeypatch):
    monkeypatch.chdir(corpus)
    poor, perfect = "hyps/poor.jsonl", "hyps/perfect.jsonl"
    compare.main([poor, perfect, "--ref_manifest", "test.csv", "--params", str(ROOT / "params.yaml")])
    assert "B is better than A: WER 0.00 % against 83.33 %" in capsys.readouterr().out
