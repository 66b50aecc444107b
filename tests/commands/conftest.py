"""A small git and DVC repository, for commands that need a real one."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from atc_asr.tracking.sweep_csv import SWEEP_COLUMNS

TRAIN = f"""
import json, os, sys, time
from pathlib import Path
from ruamel.yaml import YAML
params = YAML(typ="safe").load(Path("params.yaml").read_text())["train"]
hold = params["hold"]
Path("models").mkdir(exist_ok=True)
with open("models/curve.csv", "w") as curve:
    print("epoch,valid_wer", file=curve, flush=True)
    for epoch in range(params["epochs"]):
        wer = 100 * abs(params["lr"] - 0.3) + 10 / (epoch + 1)
        print(f"{{epoch}},{{wer}}", file=curve, flush=True)
        while hold and not (Path(hold).exists() or Path(f"{{hold}}-{{params['lr']}}").exists()):
            time.sleep(0.01)
if params["broken"]:
    sys.exit("broken")
row = dict.fromkeys({SWEEP_COLUMNS!r}) | {{
    "wer": wer, "learning_rate": params["lr"], "epochs": params["epochs"], "run_id": "20260101_000000",
    "device": "cpu", "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
}}
Path("models/metrics.json").write_text(json.dumps(row))
Path("models/valid.json").write_text(json.dumps({{"wer": wer, "deep": {{"er": wer / 2}}}}))
"""
DVC_YAML = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [train]
    outs:
      - models/metrics.json: {cache: false}
    metrics:
      - models/valid.json: {cache: false}
    plots:
      - models/curve.csv: {cache: false}
"""
PARAMS = """
train:
  lr: 0.1  # rate
  epochs: 2
  hold: ""
  broken: false
record:
  run_id: ""
  run_stage: coarse
sweep:
  method: grid
  space: [train.lr=0.1]
  num_trials: 6
  num_workers: 2
  seed: 1
  metric: wer
  direction: minimize
  max_retries: 1
  prune: false
"""


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory) -> Path:
    """The repository, to be copied."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    folder = tmp_path_factory.mktemp("template") / "project"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "dvc.yaml").write_text(textwrap.dedent(DVC_YAML))
    (folder / "params.yaml").write_text(PARAMS)
    (folder / ".gitignore").write_text("/sweeps\n*.csv\n!models/curve.csv\n")
    for command in (
        "git init -q",
        "git config user.name n",
        "git config user.email n@example.org",
        "git config commit.gpgsign false",
        "dvc init -q",
        "git add -A",
        "git commit -qm begin",
    ):
        subprocess.run(command.split(), cwd=folder, check=True, env=environment)
    return folder


@pytest.fixture
def tiny_repository(tmp_path, monkeypatch, tiny_template) -> Path:
    """A repository, the current folder, with one short stage whose best `train.lr` is 0.3.

    The stage waits after each epoch until the file `train.hold` or `<train.hold>-<train.lr>` exists, unless empty.
    """
    for key in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{key}_NAME", "n")
        monkeypatch.setenv(f"{key}_EMAIL", "n@example.org")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    folder = tmp_path / "project"
    shutil.copytree(tiny_template, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tiny_params() -> str:
    """Its params.yaml."""
    return PARAMS
