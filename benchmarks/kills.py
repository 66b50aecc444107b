"""benchmarks/kills: whether trainings that are killed at random moments resume to the weights of an undisturbed one.

    python -m benchmarks.kills --work_dir DIR [--kills 20] [--seed 1]

A tiny network learns tones with a checkpoint after every update, so that most kills happen while a checkpoint is being
written or deleted. Each training is killed at a random moment of the undisturbed training's duration, then run again.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from atc_asr.core.manifest import Utterance, write_manifest
from atc_asr.model import run_folder
from atc_asr.training.checkpoints import find_corruption

RATE = 16_000  # Hz
PITCH = {"A": 300.0, "B": 700.0, "C": 1500.0, "D": 2800.0}  # Hz
LETTER_SAMPLES = 2_400
TOLERANCE = 1e-6
FLAGS = (
    "--front_end_channels 4 4 --n_mels 20 --num_layers 1 --d_model 16 --num_heads 2 --d_ffn 32 --kernel_size 3 "
    "--dropout 0.1 --epochs 4 --batch_size 6 --grad_accum 2 --num_workers 0 --init_from null "
    "--checkpoint_minutes 1e-9 --skip_test"
).split()


CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def file_system_events(call: Callable[[], object], kill_at: int | None = None) -> list[str]:
    """Calls a function and lists the changes of the file system that Python makes; only in a process of its own.

    The process is killed just before the change of number `kill_at`.
    """
    events: list[str] = []

    def hook(name: str, args: tuple) -> None:
        if name not in CHANGES and not (name == "open" and args[2] & WRITES):
            return
        path = args[0]
        if isinstance(path, int) or os.fsdecode(path).startswith(("/dev/", "/proc/")) or "__pycache__" in str(path):
            return
        if len(events) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        events.append(f"{name} {os.fsdecode(path)}")

    sys.addaudithook(hook)
    call()
    return events


def write_corpus(folder: Path, sizes: dict[str, int]) -> None:
    """Writes manifests of random letters; each letter is a tone of 150 ms."""
    rng = np.random.default_rng(7)
    clock = np.arange(LETTER_SAMPLES) / RATE
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in sizes.items():
        rows = []
        for number in range(size):
            text = "".join(rng.choice(list(PITCH), size=rng.integers(2, 6)))
            tones = [0.3 * np.sin(2 * np.pi * PITCH.get(letter, 0.0) * clock) for letter in f" {text} "]
            samples = np.concatenate(tones) + rng.normal(0, 0.003, LETTER_SAMPLES * len(tones))
            path = folder / f"{split}{number}.wav"
            soundfile.write(path, samples, RATE, subtype="PCM_16")
            rows.append(Utterance(path.stem, path, len(samples) / RATE, text))
        write_manifest(folder / f"{split}.csv", rows)


def flags_for(corpus: Path, run_dir: Path, extra: Sequence[str] = ()) -> list[str]:
    """Command line of the training."""
    manifests = ["--train_manifest", str(corpus / "train.csv"), "--valid_manifest", str(corpus / "valid.csv")]
    return [*manifests, "--run_dir", str(run_dir), *FLAGS, *extra]


def train(argv: list[str], log_file: Path) -> None:
    """Runs `python -m stages.train` in this process, a fork of one that has imported it."""
    from atc_asr.core.cli import enter
    from stages import train as stage

    sys.stderr = open(log_file, "a", encoding="utf-8")  # noqa: SIM115
    torch.set_num_threads(1)
    enter(lambda: stage.main(argv))


def run_for(argv: list[str], log_file: Path, seconds: float | None) -> int:
    """Starts a training and kills it after `seconds` (None = never); returns its exit code, -9 if killed."""
    process = multiprocessing.get_context("forkserver").Process(target=train, args=(argv, log_file))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def distance(left: Path, right: Path) -> float:
    """Largest difference between the weights of two run folders."""
    states = [torch.load(folder / run_folder.MODEL, weights_only=True) for folder in (left, right)]
    if states[0].keys() != states[1].keys():
        return float("inf")
    return max(float((states[0][name] - states[1][name]).abs().max()) for name in states[0])


def corrupt_checkpoints(folder: Path) -> int:
    """Number of incomplete checkpoints in the staging folder of a killed training."""
    return sum(find_corruption(checkpoint) is not None for checkpoint in folder.glob(".training-*/checkpoints/CKPT+*"))


def kill_and_resume(
    corpus: Path, folder: Path, whole: Path, seconds: float, extra: Sequence[str]
) -> tuple[int, bool] | None:
    """Kills a training and runs it again.

    Returns:
        The number of corrupt checkpoints and whether the weights are the same; None if it ended before the kill.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    argv, log_file = flags_for(corpus, folder / "run", extra), folder / "log"
    if run_for(argv, log_file, seconds) == 0:
        return None
    corrupt = corrupt_checkpoints(folder)
    resumed = run_for(argv, log_file, None)
    off = distance(folder / "run", whole) if resumed == 0 else float("inf")
    print(f"killed after {seconds:.2f} s, {corrupt} corrupt, exit {resumed}, weights off by {off:.1e}")
    return corrupt, off <= TOLERANCE


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    parser.add_argument("extra", nargs="*", help="after --: further flags of stages.train")
    args = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload(["stages.train", "speechbrain.inference"])
    shutil.rmtree(args.work_dir, ignore_errors=True)
    corpus = args.work_dir / "corpus"
    write_corpus(corpus, {"train": 60, "valid": 8})
    whole = args.work_dir / "whole" / "run"
    whole.parent.mkdir()
    for _ in range(2):  # the first call also starts the fork server
        shutil.rmtree(whole, ignore_errors=True)
        started = time.monotonic()
        if run_for(flags_for(corpus, whole, args.extra), whole.parent / "log", None):
            sys.exit((whole.parent / "log").read_text())
        seconds = time.monotonic() - started
    print(f"undisturbed: {seconds:.1f} s")
    moments = random.Random(args.seed)
    found = []
    while len(found) < args.kills:
        folder = args.work_dir / str(len(found))
        one = kill_and_resume(corpus, folder, whole, moments.uniform(0, seconds), args.extra)
        found += [one] if one else []
    print(f"{sum(same for _, same in found)} of {args.kills} resumed to the undisturbed weights; ", end="")
    print(f"{sum(corrupt > 0 for corrupt, _ in found)} kills corrupted a checkpoint")
    sys.exit(not all(same for _, same in found))


if __name__ == "__main__":
    main()
