"""The pipeline through the real DVC, in a temporary clone whose path has a space: it overfits a few transmissions,
skips unchanged stages, and runs experiments."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from atc_asr.commands import preset
from atc_asr.core.config import load_section
from atc_asr.core.manifest import Utterance, read_manifest, write_manifest
from atc_asr.core.text import normalize
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.synthetic import SAMPLE_RATE, SyntheticSource
from tests.stages.test_package import WITHOUT_TORCH

ROOT = Path(__file__).resolve().parents[1]
NUM_UTTERANCES = 24
TOKEN = "hf_" + "s3cr3t" * 5

pytestmark = pytest.mark.slow

SMALL = """
export: {corpus: spoken, layout: manifests, train_split: spoken, valid_split: spoken, test_split: spoken}
checks: {allow_leakage: true}
model: {front_end_channels: [8, 8], num_layers: 2, d_model: 96, d_ffn: 192, kernel_size: 9, dropout: 0.0}
specaugment: {freq_masks: 0, time_masks: 0}
train: {epochs: 70, lr: 3.0e-3, batch_size: 3, warmup_epochs: 5, checkpoint_minutes: 0}
score: {resamples: 200}
"""


def speak(folder):
    """Write a manifest of short synthetic transmissions, used for train, valid and test."""
    source = SyntheticSource(load_section(SyntheticParams, ROOT / "params.yaml"))
    clips = (clip for shard in source.shards() for clip in source.read(shard))
    rows = []
    for clip in clips:
        if len(clip.audio) < 4 * SAMPLE_RATE:
            wav = folder / f"{clip.id}.wav"
            soundfile.write(wav, clip.audio, SAMPLE_RATE, subtype="PCM_16")
            rows.append(Utterance(clip.id, wav, len(clip.audio) / SAMPLE_RATE, normalize(clip.text)))
        if len(rows) == NUM_UTTERANCES:
            break
    write_manifest(folder / "spoken.csv", rows)


class Project:
    """A clone, and commands in it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost",
            "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost",
            "OMP_NUM_THREADS": "1",
            "HF_TOKEN": TOKEN,
        }  # fmt: skip

    def run(self, *command):
        answer = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
        return answer.stdout

    def commit(self, message):
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    def restore(self):
        """Return to the last commit, data and models too."""
        self.run("git", "checkout", "-q", ".")
        self.run("dvc", "checkout", "-q")

    def metrics(self, name):
        return json.loads((self.folder / "metrics" / name).read_text())

    def edit(self, old, new, file="params.yaml"):
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


def copy_checkout(folder):
    """Copy the files of this checkout without its results, to a folder that may be new."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, files):
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def reproduce(folder):
    """A small project after `dvc repro`, in a new folder."""
    copy_checkout(folder)
    (folder / "spoken").mkdir()
    speak(folder / "spoken")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    preset.run(folder / "small.yaml", folder / "params.yaml")
    made = Project(folder)
    made.run("git", "init", "-q")
    made.commit("Start")
    made.run("dvc", "repro")
    made.commit("Reproduce")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project after `dvc repro`: made once for all processes of the tests, a copy for each module."""
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with open(common / "reproduced.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (common / "reproduced").exists():
            shutil.rmtree(common / "being reproduced", ignore_errors=True)
            reproduce(common / "being reproduced")
            (common / "being reproduced").rename(common / "reproduced")
    folder = tmp_path_factory.mktemp("a path") / "my project"
    shutil.copytree(common / "reproduced", folder, symlinks=True)
    return Project(folder)


def stages_run(output):
    """Names of the stages DVC ran, `foreach` ones without their item."""
    return {name.split("@")[0] for name in re.findall(r"Running stage '([^']+)'", output)}


def test_overfits(project):
    assert project.metrics("test.json")["wer"] < 20
    assert project.metrics("train.json")["utterances"] == NUM_UTTERANCES


def test_a_second_repro_does_nothing(project):
    assert stages_run(project.run("dvc", "repro")) == set()
    assert "up to date" in project.run("dvc", "status")


def test_the_summary_prints_a_command_that_transcribes(project):
    lines = project.run(sys.executable, "-m", "atc_asr.commands.summary").splitlines()
    assert len(lines) == 5
    transmission = json.loads(project.run("sh", "-c", lines[3].partition(": ")[2]).splitlines()[0])
    assert transmission["file"].endswith(".wav") and transmission["hyp"]


def changed_stages(project):
    """Names of the stages that `dvc status` calls changed, `foreach` ones without their item."""
    return {name.split("@")[0] for name in json.loads(project.run("dvc", "status", "--json"))}


def test_labels_help_texts_and_messages_rerun_nothing(project):
    project.edit('notes: ""', 'notes: "a label"')
    project.edit("peak learning rate of AdamW", "highest learning rate of AdamW", "atc_asr/training/params.py")
    project.edit("utterances", "transmissions", "atc_asr/core/messages.py")
    project.edit("error: ", "mistake: ", "atc_asr/core/cli.py")
    assert changed_stages(project) == set()
    project.restore()


@pytest.mark.parametrize(
    ("folder", "stages"),
    [
        ("atc_asr/decoding", {"decode"}),
        ("atc_asr/training", {"train"}),
        ("atc_asr/scoring", {"score", "report"}),
    ],
)
def test_a_new_module_in_a_package_reruns_its_stages(project, folder, stages):
    new = project.folder / folder / "new_module.py"
    new.write_text("A_NUMBER = 1\n", encoding="utf-8")
    try:
        assert changed_stages(project) == stages
    finally:
        new.unlink()


def test_a_search_parameter_changes_the_search_only(project):
    project.edit("nbest: 0", "nbest: 3")
    assert changed_stages(project) == {"decode", "package"}
    project.restore()


@pytest.mark.endurance
def test_an_experiment_with_search_parameters_reruns_the_search(project):
    output = project.run("dvc", "exp", "run", "-S", "decode.search=beam", "-S", "decode.beam_size=4")
    assert stages_run(output) == {"decode", "calibrate", "score", "report", "package"}
    assert len(project.run("dvc", "metrics", "diff").splitlines()) <= 25
    assert max(map(len, project.run("dvc", "metrics", "show").splitlines())) <= 160
    project.restore()


def stages_of(project):
    return {name.split("@")[0] for name in project.run("dvc", "stage", "list", "--name-only").split()}


@pytest.mark.endurance
def test_the_corpus_reruns_everything(project):
    output = project.run("dvc", "exp", "run", "-S", "export.train_fraction=0.5", "-S", "train.epochs=1")
    assert stages_run(output) == stages_of(project)
    assert project.metrics("train.json")["utterances"] == NUM_UTTERANCES // 2
    project.restore()


@pytest.mark.endurance
def test_a_further_corpus_exports_only_itself(project):
    project.edit("corpora: {}", "corpora: {a: {weight: 3, role: train, export: {corpus: spoken}}}")
    project.edit("corpus: spoken ", "corpus: null   ")
    assert re.findall(r"Running stage '([^']+)'", project.run("dvc", "repro", "export")) == ["corpora@a", "export"]
    project.edit("corpora: {", "corpora: {b: {weight: 1, role: train, export: {corpus: spoken}}, ")
    assert re.findall(r"Running stage '([^']+)'", project.run("dvc", "repro", "export")) == ["corpora@b", "export"]
    output = project.run("dvc", "exp", "run", "-S", "corpora.b.weight=0.5", "-S", "train.epochs=1", "train")
    assert stages_run(output) == {"export", "tokenizer", "train"}
    shares = json.loads((project.folder / "models/asr/metrics.json").read_text())["corpus_shares"]
    assert shares["a"] == pytest.approx(6 / 7, abs=0.05)
    project.restore()
    project.run("git", "clean", "-fdxq", "data/corpora")


@pytest.mark.endurance
def test_two_queued_experiments_side_by_side(project):
    rates = {"slow": 1e-05, "fast": 2e-03}
    for name, rate in rates.items():
        project.run("dvc", "exp", "run", "--queue", "-n", name, "-S", f"train.lr={rate}", "-S", "train.epochs=2")
    project.run("dvc", "queue", "start", "-j", "2")
    states = []
    while not {"Queued", "Running"}.isdisjoint(states) or not states:  # pytest's time limit ends a queue that hangs
        states = re.findall(r"\b(Queued|Running|Success|Failed)\b", project.run("dvc", "queue", "status"))
        time.sleep(2)
    assert states == ["Success", "Success"]
    shown = {
        experiment["name"]: experiment["revs"][0]["data"]
        for baseline in json.loads(project.run("dvc", "exp", "show", "--json"))
        for experiment in baseline["experiments"] or []
    }
    for name, rate in rates.items():
        assert shown[name]["params"]["params.yaml"]["data"]["train"]["lr"] == rate
        assert shown[name]["metrics"]["metrics/train.json"]["data"]["utterances"] == NUM_UTTERANCES
    difference = json.loads(project.run("dvc", "metrics", "diff", "slow", "fast", "--json"))
    assert difference["metrics/train.json"]["loss"]["diff"] < 0


def test_curves_are_drawn(project):
    project.run("dvc", "plots", "show", "--out", "drawn")
    page = (project.folder / "drawn" / "index.html").read_text(encoding="utf-8")
    for words in ("CTC loss per label", "Word error rate on valid", "Error rate of the most confident words"):
        assert words in page


def test_dvc_get_brings_a_run_folder_that_stands_alone(project, tmp_path):
    elsewhere = Project(tmp_path)
    elsewhere.run("dvc", "get", str(project.folder), "models/asr", "-o", "brought")
    brought = ("--checkpoint_dir", str(tmp_path / "brought"))
    manifest = str(next((project.folder / "data" / "corpus").glob("*/test.csv")))
    out_file = tmp_path / "decode.jsonl"
    files = ("--manifest", manifest, "--lm_dir", "models/lm", "--out_file", str(out_file))
    project.run("python", "-m", "stages.decode", *brought, *files)
    decoded = project.folder / "data" / "decoded" / "test.jsonl"
    texts = [[json.loads(line)["hyp"] for line in path.read_text().splitlines()] for path in (out_file, decoded)]
    assert len(texts[0]) == NUM_UTTERANCES
    assert texts[0] == texts[1]
    wav = str(next((project.folder / "spoken").glob("*.wav")))
    assert json.loads(project.run("python", "-m", "atc_asr.commands.transcribe", *brought, wav).splitlines()[0])


def test_the_artifact_gives_the_texts_of_the_pipeline_elsewhere_and_without_torch(project, tmp_path):
    elsewhere = Project(tmp_path)
    elsewhere.environment["PYTHONPATH"] = str(ROOT)
    project.run("git", "tag", "-a", "recognizer@v1.0.0", "-m", "First")
    elsewhere.run("dvc", "artifacts", "get", str(project.folder), "recognizer")
    rows = read_manifest(next((project.folder / "data" / "corpus").glob("*/test.csv")))
    words = ("recognizer", *(str(row.wav) for row in rows), "--detector", "none")
    lines = elsewhere.run(sys.executable, "-c", f"{WITHOUT_TORCH}transcribe.main()", *words).splitlines()
    texts = {Path(row["file"]).stem: row["hyp"] for row in map(json.loads, lines)}
    decoded = (project.folder / "data" / "decoded" / "test.jsonl").read_text().splitlines()
    assert texts == {row["id"]: row["hyp"] for row in map(json.loads, decoded) if row["hyp"]}
    assert len(texts) == NUM_UTTERANCES


def test_a_token_reaches_no_file_of_the_project(project):
    # dvc.lock, metrics, manifests, run folder, caches, and the logs of the queue's workers
    written = [path for path in project.folder.rglob("*") if path.is_file()]
    assert {"dvc.lock", "train.json", "train.csv", "train_log.txt"} <= {path.name for path in written}
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
