"""Several machines: a DVC remote in another folder, and the job arrays of the documents."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_pipeline import Project, project  # noqa: F401 (a fixture)

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "multi_gpu.md").read_text(), re.M | re.S)
ARRAYS = [script for script in SCRIPTS if "--array" in script]

pytestmark = pytest.mark.endurance


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_clone_transcribes_with_what_came_back(project, tmp_path):  # noqa: F811 (the fixture)
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    project.commit("Add a remote")
    project.run("dvc", "push")
    project.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.run("dvc", "pull", "models/recognizer")
    assert not (clone.folder / "models" / "asr").exists()
    recording = shutil.copy(next((project.folder / "spoken").glob("*.wav")), tmp_path / "recording.wav")
    command = [sys.executable, "-m", "atc_asr.commands.main", "transcribe", "models/recognizer", str(recording)]
    text = clone.run(*command)
    assert json.loads(text.splitlines()[0])["hyp"]
    assert text == project.run(*command)

    for folder in (tmp_path / "storage", clone.folder / ".dvc" / "cache", clone.folder / "models" / "recognizer"):
        shutil.rmtree(folder)
    pulled = subprocess.run(
        ["dvc", "pull", "models/recognizer"], cwd=clone.folder, env=clone.environment, capture_output=True, text=True
    )
    assert pulled.returncode != 0
    assert "models/recognizer" in pulled.stderr and "Traceback" not in pulled.stderr


@pytest.mark.parametrize(("script", "out"), [*zip(ARRAYS, ("transcripts", "data/corpus"), strict=True)])
def test_the_tasks_of_a_job_array_write_what_one_run_writes(project, tmp_path, script, out):  # noqa: F811
    for name in ("one", "array"):
        (tmp_path / name).mkdir()
        for link in ("models", "params.yaml", "spoken"):
            (tmp_path / name / link).symlink_to(project.folder / link)
        (tmp_path / name / "recordings").symlink_to("spoken")
    (command,) = re.findall("^atc-asr .*", script, re.M)
    program = f"{shlex.quote(sys.executable)} -m atc_asr.commands.main"
    environment = project.environment | {"PYTHONPATH": str(project.folder), "SLURM_ARRAY_TASK_COUNT": "2"}

    def run(words, folder, task):
        subprocess.run(
            ["bash", "-c", words.replace("atc-asr", program, 1)], cwd=folder, check=True,
            env=environment | {"SLURM_ARRAY_TASK_ID": task},
        )  # fmt: skip

    whole = command.partition(" --shard")[0]
    run(whole, tmp_path / "one", "0")
    for task in ("2", "1"):
        run(command, tmp_path / "array", task)
    if "atc-asr export" in script:
        assert not (tmp_path / "array" / out).exists()
        run(whole, tmp_path / "array", "0")
    assert contents(tmp_path / "array" / out) == contents(tmp_path / "one" / out) != {}
