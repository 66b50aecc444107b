"""benchmarks/kill_events: stages that are killed just before every change of the file system, then run again.

    python -m benchmarks.kill_events --work_dir DIR [--stages score calibrate ...] [--step 1]

Every stage has outputs of an earlier run with other data. After a kill, its outputs must be of one age, or each of one
where they do not belong together; after the second run they must be those of an undisturbed one, without hidden files.
A training must have one row in its CSV, and must not train again if it was finished.
"""

import argparse
import csv
import importlib
import json
import multiprocessing
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from atc_asr.core.cli import enter
from atc_asr.core.manifest import read_manifests
from atc_asr.hypotheses.hypotheses import Hypothesis, Word, write_hypotheses
from atc_asr.model import run_folder
from benchmarks import kills
from benchmarks.onnx_export import random_recognizer
from stages import score

TINY = Path(__file__).with_name("tiny.yaml")
TRAIN = [*kills.FLAGS, "--epochs", "1", "--checkpoint_minutes", "0"]
MEASURED = (run_folder.METRICS, run_folder.CURVES, run_folder.README, run_folder.TRAIN_LOG)  # files with times
SIGKILLED = -9


@dataclass(frozen=True)
class Case:
    """A stage or command: its module, and arguments with {data}, its {number}, and {out}."""

    module: str
    arguments: str
    has_old: bool = True  # whether there are outputs of an earlier run
    separate: bool = False  # whether its outputs do not belong together


SPLITS = " ".join(
    f"--{split}_manifest {{data}}/{split}.csv --{split}_hyps {{data}}/{split}.jsonl" for split in ("valid", "test")
)
MANIFESTS = "--train_manifest {data}/train.csv --valid_manifest {data}/valid.csv"
CASES = {
    "tokenizer": Case("stages.tokenizer", "--train_manifest {data}/train.csv --out_dir {out}/tokens"),
    "lm": Case("stages.lm", f"{MANIFESTS} --order 2 --out_dir {{out}}/lm --metrics_file {{out}}/lm.json"),
    "calibrate": Case(
        "stages.calibrate",
        f"{SPLITS} --valid_out_file {{out}}/valid.jsonl --test_out_file {{out}}/test.jsonl --out_file {{out}}/c.json "
        "--metrics_file {out}/m.json --reliability_file {out}/r.csv --risk_coverage_file {out}/rc.csv",
    ),
    "score": Case(
        "stages.score",
        "--ref_manifest {data}/test.csv --hyp_file {data}/test.jsonl --estimate_snr false --resamples 100 "
        "--metrics_file {out}/m.json --scorecard_file {out}/s.json --alignments_file {out}/a.txt "
        "--slices_file {out}/slices.csv --confusions_file {out}/c.csv --words_file {out}/w.csv",
    ),
    "report": Case(
        "stages.report",
        "--ref_manifest {data}/test.csv --hyp_file {data}/test.jsonl --scorecard_file {data}/scorecard.json "
        "--out_dir {out}/report",
    ),
    "transcribe": Case(
        "atc_asr.commands.transcribe",
        "{data}/recordings --checkpoint_dir {data}/run --search greedy --num_processes 1 --out_dir {out}/transcripts",
        separate=True,
    ),
    "package": Case("stages.package", "--checkpoint_dir {data}/run --beam_size 1{number} --out_dir {out}/recognizer"),
    "export": Case(
        "stages.export",
        "--corpus {data} --layout manifests --configs base --processes 1 --max_rejected 1 --split_by null "
        "--out_dir {out}/corpus",
    ),
    "train, new run folder": Case("stages.train", f"{MANIFESTS} --run_dir {{out}}/run", has_old=False),
    "train, existing run folder": Case("stages.train", f"{MANIFESTS} --run_dir {{out}}/run"),
    "train, output_dir": Case("stages.train", f"{MANIFESTS} --output_dir {{out}}/models", has_old=False),
}


def write_data(folder: Path, keep: int) -> None:
    """Manifests of tones, hypotheses of which every `keep`-th word is right, their scorecard, recordings, a network."""
    kills.write_corpus(folder, {"train": 12, "valid": 4, "test": 4 + keep})
    for split in ("valid", "test"):
        hypotheses = []
        for row in read_manifests([folder / f"{split}.csv"]):
            texts = [word if number % keep else f"{word}A" for number, word in enumerate(row.transcript.split())]
            words = tuple(Word(text, 0.0, 0.1, 0.5 + 0.1 * len(text) / 8) for text in texts)
            hypotheses.append(Hypothesis(row.id, " ".join(texts), words=words))
        write_hypotheses(folder / f"{split}.jsonl", hypotheses)
    score.main(
        f"--ref_manifest {folder}/test.csv --hyp_file {folder}/test.jsonl --estimate_snr false --resamples 100 "
        f"--metrics_file {folder}/m.json --scorecard_file {folder}/scorecard.json "
        f"--alignments_file {folder}/a.txt".split()
    )
    (folder / "recordings").mkdir(exist_ok=True)
    quiet = np.zeros(kills.RATE)
    for number in range(2):
        speech = [soundfile.read(folder / f"test{keep + one}.wav")[0] for one in range(number, number + 2)]
        samples = np.concatenate([quiet, speech[0], quiet, speech[1], quiet])
        soundfile.write(folder / "recordings" / f"{number}.wav", samples, kills.RATE)
    (folder / "run").mkdir(exist_ok=True)
    random_recognizer(TINY, folder / "run")


def call(module: str, argv: Sequence[str], log_file: Path, events_file: Path, kill_at: int | None) -> None:
    """Runs a stage in this process and writes the changes that it made."""
    import torch

    sys.stderr = open(log_file, "a", encoding="utf-8")  # noqa: SIM115
    torch.set_num_threads(1)
    main = importlib.import_module(module).main
    events = kills.file_system_events(lambda: enter(lambda: main(argv)), kill_at)
    events_file.write_text(json.dumps(events))


def run(case: Case, data: Path, out: Path, log_file: Path, kill_at: int | None = None) -> list[str] | None:
    """The changes of a stage that finished, None if it was killed.

    Raises:
        RuntimeError: it failed.
    """
    number = data.name.removeprefix("data")
    argv = case.arguments.format(data=data, out=out, number=number).split()
    if case.module == "stages.train":  # without the seed, both would give the same weights
        argv += [*TRAIN, "--seed", number, "--metrics_csv", f"{out}/sweep.csv"]
    events_file = log_file.with_suffix(".json")
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=call, args=(case.module, argv, log_file, events_file, kill_at))
    process.start()
    process.join()
    if process.exitcode == SIGKILLED:
        return None
    if process.exitcode:
        raise RuntimeError(f"{case.module}: exit {process.exitcode}\n{log_file.read_text()}")
    return json.loads(events_file.read_text())


def contents(folder: Path, *, hidden: bool) -> dict[str, bytes]:
    """Relative path -> content of all files; of those that hold times of a training only that they exist."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == "sweep.csv" or name == ".sweep.csv.lock":
            continue
        if not hidden and any(part.startswith(".") for part in Path(name).parts):
            continue
        timed = path.name in MEASURED or "CKPT+" in name
        parts = ["run" if "_20" in part else "CKPT" if part.startswith("CKPT+") else part for part in Path(name).parts]
        found["/".join(parts)] = b"" if timed else path.read_bytes()
    return found


def of_one_age(found: dict[str, bytes], old: dict[str, bytes], new: dict[str, bytes]) -> bool:
    """Whether no output of the earlier run is beside one of this run."""
    is_old = any(old.get(name) == content != new.get(name) for name, content in found.items())
    is_new = any(new.get(name) == content != old.get(name) for name, content in found.items())
    return not (is_old and is_new)


def kill_everywhere(case: Case, work: Path, step: int, last: int | None) -> tuple[int, list[str]]:
    """Kills a stage at its changes, or at the `last`; returns the number of kills and what was wrong after them."""
    old, whole, out, log_file = work / "old", work / "whole", work / "out", work / "log.txt"
    shutil.rmtree(work, ignore_errors=True)
    for folder in (old, whole, out):
        folder.mkdir(parents=True)
    is_train = case.module == "stages.train"
    if case.has_old:
        run(case, work.parent / "data1", old, log_file)
        shutil.copytree(old, whole, dirs_exist_ok=True)
    data = work.parent / "data2"
    events = run(case, data, whole, log_file) or []
    before, wanted = contents(old, hidden=True), contents(whole, hidden=True)
    wrong = ["the outputs of the earlier run are the same"] if case.has_old and before == wanted else []
    kills_at = range(max(0, len(events) - last) if last else 0, len(events), step)
    for kill_at in kills_at:
        shutil.rmtree(out)
        shutil.copytree(old, out)
        if run(case, data, out, log_file, kill_at) is not None:
            wrong.append(f"{kill_at}: was not killed")
            continue
        found = contents(out, hidden=False)
        groups = [{name: found[name]} for name in found] if case.separate else [found]
        if not is_train and not all(of_one_age(group, before, wanted) for group in groups):
            wrong.append(f"{kill_at}: outputs of two ages")
        trained = any(out.rglob(f"{run_folder.CHECKPOINTS}/CKPT+*/files.json")) and any(out.rglob(".training-*.lock"))
        again = run(case, data, out, log_file) or []
        if trained and not case.has_old and any("os.mkdir" in event and "CKPT+" in event for event in again):
            wrong.append(f"{kill_at}: trained again")
        if contents(out, hidden=True) != wanted:
            wrong.append(f"{kill_at}: other outputs")
        if is_train:
            with open(out / "sweep.csv", encoding="utf-8") as file:
                rows = len(list(csv.DictReader(file)))
            if rows != 1 + case.has_old:
                wrong.append(f"{kill_at}: {rows} rows")
    return len(kills_at), wrong


def preload() -> None:
    """Lets the fork server import the stages once."""
    modules = ["speechbrain.inference", "torch._dynamo", "atc_asr.training.training"]
    modules += {case.module for case in CASES.values()}
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, required=True)
    parser.add_argument("--stages", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--step", type=int, default=1, help="kill at every step-th change")
    parser.add_argument("--last", type=int, help="kill only at this number of changes at the end")
    args = parser.parse_args()
    preload()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    for keep in (1, 2):
        write_data(args.work_dir / f"data{keep}", keep)
    failed = False
    for name in args.stages:
        count, wrong = kill_everywhere(CASES[name], args.work_dir / name.replace(" ", "_"), args.step, args.last)
        print(f"{name}: {count} kills, {len(wrong)} wrong", *wrong, sep="\n  ", flush=True)
        failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
