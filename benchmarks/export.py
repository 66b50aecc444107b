"""Benchmark of the export: speed, memory, kills, and the overhead of DVC.

    python -m benchmarks.export                  # speed and memory compared with a plain loop
    python -m benchmarks.export --kills 20       # kill -9 at random moments, resume, compare all bytes
    python -m benchmarks.export --damaged 300    # damaged inputs
    python -m benchmarks.export --dvc            # repro, status and a queued experiment over 22,500 WAVs

The corpus, 22,500 rows of 8 kHz speech in parquet files (about 20 h), is made once in `--work` and reused. Each mode
prints a Markdown table for RESULTS.md.
"""

import argparse
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf
import soxr

from atc_asr.core import workers
from atc_asr.core.config import load_section
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.source import Shard
from atc_asr.corpus.synthetic import SyntheticSource

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"train": 20_000, "validation": 1_250, "test": 1_250}
POOL_SIZE = 2500  # utterances to choose short ones from; each row is one of them at its own level with its own noise
MAX_SECONDS = 3.7  # the mean is then 3.2 s, as in 20 h of 22,500 rows
NATIVE_RATE = 8_000
FILE_ROWS = 5_000
GROUP_ROWS = 100  # as in the Hub's parquet files
README = """---
configs:
- config_name: {config}
  data_files:
  - {{split: train, path: {config}/train-*.parquet}}
  - {{split: validation, path: {config}/validation-*.parquet}}
  - {{split: test, path: {config}/test-*.parquet}}
---
"""
FEATURES = {"info": {"features": {"audio": {"_type": "Audio"}, "text": {"dtype": "string", "_type": "Value"}}}}
PLAIN_LOOP = """
import csv, io, sys, time, pathlib
import datasets, soundfile as sf, torch, torchaudio
corpus, out = sys.argv[1], pathlib.Path(sys.argv[2])
start = time.perf_counter()
data = datasets.load_dataset(corpus, "base").cast_column("audio", datasets.Audio(decode=False))
loaded, cpu = time.perf_counter(), time.process_time()
for split, rows in data.items():
    (out / split).mkdir(parents=True)
    with open(out / f"{split}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "wav", "duration", "transcript"])
        for number, row in enumerate(rows):
            samples, rate = sf.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
            samples = torchaudio.functional.resample(torch.from_numpy(samples), rate, 16000).numpy()
            name = f"{split}/{number:06d}.wav"
            sf.write(out / name, samples, 16000, subtype="PCM_16")
            writer.writerow([number, name, len(samples) / 16000, row["text"].strip().upper()])
print(time.perf_counter() - loaded, time.process_time() - cpu)
"""


@dataclass(frozen=True)
class Usage:
    """Resources used by one command.

    Attributes:
        seconds: wall time.
        cpu_seconds: of all its processes; hardly depends on the load of the machine.
        megabytes: peak of the summed resident memory of all its processes.
        output: standard output.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float
    output: str


def measure(command: list[str], cwd: Path = ROOT, **environment: str) -> Usage:
    """Run a command and sample its memory 20 times a second."""
    os.sync()  # so that writes of the run before do not slow this one
    start, cpu_before = time.perf_counter(), _cpu_seconds()
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    peak = [0.0]
    watcher = threading.Thread(target=_watch_memory, args=(process.pid, peak), daemon=True)
    watcher.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{errors}")
    return Usage(seconds, _cpu_seconds() - cpu_before, peak[0], output)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch_memory(pid: int, peak: list[float]) -> None:
    try:
        parent = psutil.Process(pid)
        while True:
            total = sum(_resident(process) for process in [parent, *parent.children(recursive=True)])
            peak[0] = max(peak[0], total / 1e6)
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        return


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def make_pool(size: int) -> list[tuple[np.ndarray, str]]:
    """Short synthetic utterances at 8 kHz: (num_samples,) float32, and their texts."""
    source = SyntheticSource(load_section(SyntheticParams).model_copy(update={"num_train": size}))
    tasks = [(source, shard) for shard in source.shards() if shard.split == "train"]
    pool = [pair for pairs in workers.map_unordered(_speak, tasks, workers.available_cores()) for pair in pairs]
    return [pair for pair in pool if len(pair[0]) <= MAX_SECONDS * NATIVE_RATE]


def _speak(task: tuple[SyntheticSource, Shard]) -> list[tuple[np.ndarray, str]]:
    source, shard = task
    return [(soxr.resample(clip.audio, clip.sample_rate, NATIVE_RATE), clip.text) for clip in source.read(shard)]


def make_corpus(folder: Path, sizes: dict[str, int], config: str = "base") -> float:
    """Write a dataset in the Hub's schema unless it exists; returns its hours."""
    hours_file = folder / "hours"
    if hours_file.is_file():
        return float(hours_file.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    (folder / config).mkdir(parents=True)
    pool = make_pool(POOL_SIZE)
    rng = np.random.default_rng(1)
    seconds = 0.0
    for split, size in sizes.items():
        for start in range(0, size, FILE_ROWS):
            rows = list(_rows(pool, min(FILE_ROWS, size - start), rng))
            seconds += sum(row["seconds"] for row in rows)
            _write_parquet(folder / config / f"{split}-{start:05d}.parquet", rows, f"{split}_{start}")
    (folder / "README.md").write_text(README.format(config=config))
    hours_file.write_text(str(seconds / 3600))
    return seconds / 3600


def _rows(pool: list[tuple[np.ndarray, str]], count: int, rng: np.random.Generator) -> Iterator[dict]:
    for _ in range(count):
        samples, text = pool[rng.integers(len(pool))]
        noise = rng.standard_normal(len(samples), dtype=np.float32) * np.float32(1e-3)
        file = io.BytesIO()
        sf.write(file, samples * rng.uniform(0.5, 1.0) + noise, NATIVE_RATE, format="WAV", subtype="PCM_16")
        yield {"bytes": file.getvalue(), "text": text.lower() + "\n", "seconds": len(samples) / NATIVE_RATE}


def _write_parquet(path: Path, rows: list[dict], prefix: str) -> None:
    audio = [{"bytes": row["bytes"], "path": f"{prefix}_{number:05d}.wav"} for number, row in enumerate(rows)]
    table = pa.table(
        {
            "audio": pa.array(audio, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
            "text": [row["text"] for row in rows],
        }
    ).replace_schema_metadata({"huggingface": json.dumps(FEATURES)})
    pq.write_table(table, path, row_group_size=GROUP_ROWS)


def export_command(corpus: Path, out_dir: Path, processes: int) -> list[str]:
    """The command line of the export."""
    words = ["-m", "stages.export", "--corpus", str(corpus), "--config", "base", "--out_dir", str(out_dir)]
    return [sys.executable, *words, "--processes", str(processes)]


def compare_speed(work: Path) -> None:
    """Compare the export with one and two processes with a plain loop."""
    corpus = work / "corpus"
    hours = make_corpus(corpus, SIZES)
    out = work / "out"
    runs = {}
    for processes in (2, 1):
        shutil.rmtree(out, ignore_errors=True)
        runs[f"stages.export, {processes} process{'es' * (processes > 1)}"] = measure(
            export_command(corpus, out, processes), HF_HOME=str(work / "hf"), HF_HUB_OFFLINE="1"
        )
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(work / "hf", ignore_errors=True)
    whole_loop = measure(
        [sys.executable, "-c", PLAIN_LOOP, str(corpus), str(out)], HF_HOME=str(work / "hf"), HF_HUB_OFFLINE="1"
    )
    seconds, cpu_seconds = map(float, whole_loop.output.split())
    loop = replace(whole_loop, seconds=seconds, cpu_seconds=cpu_seconds)
    shutil.rmtree(out)
    runs["plain loop, one process, without loading the dataset"] = loop
    runs["plain loop, one process, in total"] = whole_loop
    print(f"{sum(SIZES.values())} rows, {hours:.1f} h\n")
    print("| run | seconds | CPU seconds | times real time | speed relative to the loop alone | memory, MB |")
    print("|---|---|---|---|---|---|")
    for name, run in runs.items():
        speed, ratio = hours * 3600 / run.seconds, loop.seconds / run.seconds
        print(
            f"| {name} | {run.seconds:.1f} | {run.cpu_seconds:.1f} | {speed:.0f} | {ratio:.2f} | {run.megabytes:.0f} |"
        )


def folder_digest(folder: Path) -> str:
    """Hash of the names and contents of all files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def kill_and_resume(work: Path, kills: int) -> None:
    """Kill the export at random moments, resume it, and compare with an undisturbed run."""
    corpus = work / "small"
    make_corpus(corpus, {"train": 2_000, "validation": 200, "test": 200})
    whole = work / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    undisturbed = measure(export_command(corpus, whole, 2)).seconds
    wanted = folder_digest(whole)
    rng = random.Random(1)
    same = reused = 0
    for number in range(kills):
        out = work / f"killed{number}"
        shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen(
            export_command(corpus, out, 2), cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.2, 1.0) * undisturbed)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = len(list((work / f".{out.name}.partial" / "base").glob("*-[0-9][0-9][0-9][0-9][0-9]")))
        reused += done
        measure(export_command(corpus, out, 2))
        same += folder_digest(out) == wanted and not (work / f".{out.name}.partial").exists()
        shutil.rmtree(out)
    print(f"kill -9 at {kills} random moments, then the same command: {same} of {kills} byte-identical; ", end="")
    print(f"{reused / kills:.1f} finished shards reused on average")


def export_damaged(work: Path, count: int) -> None:
    """Export damaged inputs; count rejections by reason, wrong decisions and files outside the output folder."""
    from benchmarks import damaged

    found = damaged.export_damaged(work / "damaged", count, seed=1)
    print(f"{count} damaged inputs: {found.accepted} accepted, {sum(found.rejected.values())} rejected, ", end="")
    print(f"{len(found.wrong)} wrong decisions, {len(found.outside)} files outside")
    print(", ".join(f"{reason} {number}" for reason, number in sorted(found.rejected.items())))


DVC_FILES = {
    "dvc.yaml": """stages:
  export:
    cmd: {command}
    params: [export]
    outs: [data/corpus]
  train:
    cmd: ls data/corpus/base/wavs | wc -l > trained
    params: [train]
    deps: [data/corpus]
    outs: [trained]
""",
    "params.yaml": "export: 1\ntrain: 1\n",
    ".gitignore": ".*.partial\n",
}


def dvc_overhead(work: Path) -> None:
    """Time of DVC commands on an export of 22,500 WAVs: first and no-op repro, status, experiments."""
    corpus, repo = work / "corpus", work / "dvc"
    make_corpus(corpus, SIZES)
    shutil.rmtree(repo, ignore_errors=True)
    repo.mkdir()
    command = " ".join(export_command(corpus, Path("data/corpus"), 2))
    command += f" --params {ROOT / 'params.yaml'}"
    for name, content in DVC_FILES.items():
        (repo / name).write_text(content.format(command=command))
    # The worker of DVC's queue finds `dvc` on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1", "PATH": path}
    dvc = [sys.executable, "-m", "dvc"]
    for words in (
        ["git", "init", "-q"],
        [*dvc, "init", "-q"],
        [*dvc, "config", "cache.type", "reflink,hardlink,symlink,copy"],
        ["git", "add", "-A"],
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "x"],
    ):
        subprocess.run(words, cwd=repo, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    experiment = [*dvc, "exp", "run", "--queue", "--set-param", "train=2"]
    print("| command | seconds |\n|---|---|")
    for name, words in {
        "first `dvc repro`, including the export": [*dvc, "repro"],
        "`dvc repro` with nothing to do": [*dvc, "repro"],
        "`dvc status`": [*dvc, "status"],
        "`dvc exp run`, nothing changed": [*dvc, "exp", "run"],
        "`dvc exp run --queue`, a parameter of a later stage changed": experiment,
        "running that experiment from the queue": [*dvc, "exp", "run", "--run-all"],
    }.items():
        print(f"| {name} | {measure(words, repo, **environment).seconds:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "export_benchmark")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--damaged", type=int)
    parser.add_argument("--dvc", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.kills:
        kill_and_resume(args.work, args.kills)
    elif args.damaged:
        export_damaged(args.work, args.damaged)
    elif args.dvc:
        dvc_overhead(args.work)
    else:
        compare_speed(args.work)


if __name__ == "__main__":
    main()
