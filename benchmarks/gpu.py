"""benchmarks/gpu: what differs on a GPU, measured unattended; started by benchmarks/gpu.sh, which describes it.

    python -m benchmarks.gpu --out_dir DIR [--device cpu]

Every part is a process with a log of its own and a limit of seconds; a part that fails or exceeds its limit is a row of
the table, and the next one runs. `--device cpu` runs the same parts with tiny sizes, two at a time.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "torchaudio", "speechbrain", "hyperpyyaml", "numpy", "pydantic", "espeakng-loader", "onnxruntime")
MIN_FREE_MB = 8000  # the specification's network with batches four times as large
RATE = 16_000  # Hz
MEAN_SECONDS, WORDS_PER_SECOND = 4.5, 2.6  # of the transmissions of ATC0
WORDS = "ALFA BRAVO CLIMB DESCEND EIGHT FIVE HEADING LEVEL MAINTAIN NINER ROGER SEVEN THOUSAND TURN LEFT".split()
PRESET = ROOT / "presets" / "atc0.yaml"


@dataclass(frozen=True)
class Sizes:
    """How much the parts do: flags of the demo's stages, utterances of noise, what is measured of the speed."""

    export: str
    train: str
    preset: Path
    utterances: int
    blocks: int
    updates: int
    variants: str
    limit: float  # multiplies the seconds of the parts
    at_a_time: int  # parts; a measurement needs the machine for itself


FULL = Sizes(
    "",
    "",
    PRESET,
    utterances=3000,
    blocks=4,
    updates=15,
    variants="plain no_graphs batch4 batch16 bf16 channels_last sdpa no_graphs+compile no_graphs+batch16",
    limit=1.0,
    at_a_time=1,
)
TINY_NETWORK = (
    "--front_end_channels 4 4 --n_mels 20 --num_layers 1 --d_model 16 --num_heads 2 --d_ffn 32 --kernel_size 3"
)
TINY = Sizes(
    "--num_train 12 --num_valid 4 --num_test 4 --processes 1",
    f"--epochs 1 {TINY_NETWORK}",
    ROOT / "benchmarks" / "tiny.yaml",
    utterances=30,
    blocks=2,
    updates=1,
    variants="plain no_graphs+batch4 bf16 channels_last sdpa compile",
    limit=20.0,
    at_a_time=2,
)


def device_fault(device: str) -> str | None:
    """Why a device cannot be used, in one line; None if it can."""
    try:
        import torch
    except Exception as error:  # besides ImportError, a library that does not fit raises OSError and others
        return f"torch cannot be imported: {_line(error)}; wanted a torch for this machine, for instance by WHEELS"
    if device == "cpu":
        return None
    try:
        torch.cuda.init()
        free, whole = (size // 10**6 for size in torch.cuda.mem_get_info())
        if free < MIN_FREE_MB:
            return f"{torch.cuda.get_device_name()}: {free} of {whole} MB are free, wanted {MIN_FREE_MB}: who uses it?"
        torch.ones(8, 8, device="cuda").matmul(torch.ones(8, 8, device="cuda")).sum().item()
    except Exception as error:  # no GPU, an old driver, a GPU that this torch has no code for
        return f"no GPU that torch {torch.__version__} (CUDA {torch.version.cuda}) can use: {_line(error)}"
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def versions(device: str) -> dict[str, str]:
    """Versions of Python, the driver and packages, and the card's name."""
    import torch

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    found["torch"] = torch.__version__  # with the CUDA that it was built for
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found["GPU"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        found["CUDA"], found["cuDNN"] = str(torch.version.cuda), str(torch.backends.cudnn.version())
    return found


class Table:
    """A Markdown table that is complete after every row."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115 (open until the end of the program)
        self._write("| part | result | seconds |\n|---|---|---|\n")

    def add(self, part: str, result: str, seconds: float | None = None) -> None:
        """Writes a row, and shows it."""
        cell = result.strip().replace("|", "/").replace("\n", "<br>")
        self._write(f"| {part} | {cell} | {'' if seconds is None else f'{seconds:.0f}'} |\n")

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
        print(text, end="", flush=True)


def run_part(table: Table, name: str, command: list[str], log: Path, limit: float) -> bool:
    """Runs a command and adds its last lines to the table; whether it succeeded within `limit` seconds."""
    started = time.monotonic()
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=file, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=limit)
            result = output.decode(errors="replace")
            problem = None if process.returncode == 0 else f"FAILED with exit code {process.returncode}, see {log.name}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            result, problem = process.communicate()[0].decode(errors="replace"), f"STOPPED after {limit:.0f} s"
        file.write(result)
    rows = [line for line in result.splitlines() if line.strip()][-24:]
    table.add(name, "\n".join([problem, *rows] if problem else rows), time.monotonic() - started)
    return problem is None


def write_noise(folder: Path, count: int) -> None:
    """A manifest of noise with the durations and text lengths of transmissions, each followed by quiet."""
    import soundfile

    from atc_asr.core.manifest import Utterance, write_manifest

    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        seconds = float(np.clip(rng.gamma(4.0, MEAN_SECONDS / 4), 1.0, 20.0))
        samples = rng.normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
        path = folder / f"{number:05d}.wav"
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        text = " ".join(rng.choice(WORDS, size=max(1, round(seconds * WORDS_PER_SECOND))))
        rows.append(Utterance(path.stem, path, len(samples) / RATE, text))
    write_manifest(folder / "train.csv", rows)


def demo(out_dir: Path, sizes: Sizes) -> None:
    """The demo pipeline from corpus to scores; prints the WER beside the CPU's, and seconds."""
    from stages import decode, export, posteriors, score, tokenizer, train

    data, run_dir, seconds = out_dir / "corpus", out_dir / "asr", {}
    manifest = {split: str(data / "base" / f"{split}.csv") for split in ("train", "valid", "test")}

    def stage(module, **flags: object) -> None:
        extra = str(flags.pop("extra", "")).split()
        started = time.monotonic()
        module.main([*(word for name, value in flags.items() for word in (f"--{name}", str(value))), *extra])
        seconds[module.__name__.split(".")[1]] = time.monotonic() - started

    stage(export, out_dir=data, extra=f"--corpus synthetic --configs base {sizes.export}")
    stage(tokenizer, train_manifest=manifest["train"], out_dir=out_dir / "tokens")
    stage(
        train, train_manifest=manifest["train"], valid_manifest=manifest["valid"], tokenizer_dir=out_dir / "tokens",
        run_dir=run_dir, extra=sizes.train,
    )  # fmt: skip
    stage(posteriors, checkpoint_dir=run_dir, manifest=manifest["test"], out_file=out_dir / "test.npz")
    stage(
        decode, checkpoint_dir=run_dir, posteriors=out_dir / "test.npz", out_file=out_dir / "test.jsonl",
        extra="--search greedy --num_processes 1",
    )  # fmt: skip
    stage(
        score, ref_manifest=manifest["test"], hyp_file=out_dir / "test.jsonl", metrics_file=out_dir / "test.json",
        scorecard_file=out_dir / "scorecard.json", alignments_file=out_dir / "alignments.txt",
    )  # fmt: skip
    test, run, cpu = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (out_dir / "test.json", run_dir / "metrics.json", ROOT / "metrics" / "train.json")
    )
    print(f"greedy WER: valid {run['valid_wer']:.2f} % (on the CPU {cpu['wer']:.2f} %, metrics/train.json), ", end="")
    print(f"test {test['wer']:.2f} % ({test['wer_low']:.2f} to {test['wer_high']:.2f})")
    print(f"trained on {run['device']} ({run['gpu']}), peak {run['peak_memory_mb']:.0f} MiB")
    print("seconds: " + ", ".join(f"{name} {taken:.1f}" for name, taken in seconds.items()))


def inference(out_dir: Path, noise: Path, preset: Path) -> None:
    """Prints hours of audio per minute of posteriors and of transcription, with the preset's untrained network."""
    import logging

    import soundfile

    from atc_asr.commands import transcribe
    from atc_asr.core.manifest import read_manifests
    from atc_asr.model import network, run_folder
    from atc_asr.posteriors.forward import compute_log_probs
    from benchmarks.onnx_export import random_recognizer

    run_dir = out_dir / "asr"
    run_dir.mkdir(parents=True, exist_ok=True)
    random_recognizer(preset, run_dir)
    utterances = read_manifests([noise])
    recognizer = run_folder.load_recognizer(run_dir, device=network.pick_device())
    for batch_seconds in (60.0, 240.0, 960.0):
        for rows in (utterances[:40], utterances):  # the first call warms up
            started = time.monotonic()
            list(compute_log_probs(recognizer, rows, batch_seconds))  # the results are on the CPU
            taken = time.monotonic() - started
        _speed(f"posteriors, batches of {batch_seconds:.0f} s", sum(row.duration for row in utterances), taken)
    parts = [soundfile.read(row.wav, dtype="float32")[0] for row in utterances[:1000]]
    samples = np.concatenate([np.concatenate([part, np.full(RATE, 1e-4, np.float32)]) for part in parts])
    soundfile.write(out_dir / "recording.wav", samples, RATE, subtype="PCM_16")
    logging.disable(logging.INFO)
    started = time.monotonic()
    transcribe.main(
        [str(out_dir / "recording.wav"), "--checkpoint_dir", str(run_dir), "--out_dir", str(out_dir / "transcripts"),
         "--search", "greedy", "--num_processes", "1"]
    )  # fmt: skip
    _speed("transcription, greedy, loading included", len(samples) / RATE, time.monotonic() - started)
    lines = (out_dir / "transcripts" / "recording.jsonl").read_text(encoding="utf-8").splitlines()
    print(f"transmissions found: {len(lines)} of {len(parts)}")


def _speed(name: str, audio_seconds: float, taken: float) -> None:
    print(f"{name}: {audio_seconds / taken / 60:.1f} hours of audio a minute ({audio_seconds / taken:.0f} x real time)")


def main() -> int:
    """Runs all parts, or the one that `--part` names; the exit code is described in gpu.sh."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out_dir", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--part", choices=("demo", "noise", "inference"))
    args = parser.parse_args()
    sizes = FULL if args.device == "cuda" else TINY
    out, noise = args.out_dir, args.out_dir / "noise" / "train.csv"
    parts: dict[str, Callable[[], None]] = {
        "demo": lambda: demo(out / "demo", sizes),
        "noise": lambda: write_noise(noise.parent, sizes.utterances),
        "inference": lambda: inference(out / "inference", noise, sizes.preset),
    }
    if args.part:
        parts[args.part]()
        return 0
    if fault := device_fault(args.device):
        print(f"error: {fault}", file=sys.stderr)
        return 2

    python = [sys.executable, "-m"]
    own = [*python, "benchmarks.gpu", "--out_dir", str(out), "--device", args.device, "--part"]
    chosen = "gpu" if args.device == "cuda" else "not gpu and not endurance"
    tests = [*python, "pytest", "-q", "-p", "no:cacheprovider", "-m", chosen, "tests/training/test_gpu.py"]
    speed = [*python, "benchmarks.train", "--train_manifest", str(noise), "--preset", str(sizes.preset)]
    speed += ["--train_subset", str(sizes.utterances), "--blocks", str(sizes.blocks), "--updates", str(sizes.updates)]
    variants = ["--variants", *sizes.variants.split()]
    commands = {  # with the seconds that they may take
        "synthetic audio": ([*own, "noise"], 20),
        "tests of the GPU": (tests, 100),
        "training beside the recipe, then in variants": ([*speed, *variants], 240),
        "demo": ([*own, "demo"], 120),
        "inference": ([*own, "inference"], 60),
    }
    out.mkdir(parents=True, exist_ok=True)
    table = Table(out / "table.md")
    for name, version in versions(args.device).items():
        table.add(name, version)

    def run(name: str) -> bool:
        command, seconds = commands[name]
        log = out / f"{re.sub(r'[^a-z]+', '_', name.lower())}.log"
        return run_part(table, name, command, log, seconds * sizes.limit)

    first, *others = commands  # some of the others read the audio that the first writes
    passed = [run(first)]
    with ThreadPoolExecutor(sizes.at_a_time) as pool:
        passed += pool.map(run, others)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
