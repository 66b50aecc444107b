"""Benchmark of the export: speed, memory, kills, and what DVC adds.

    python -m benchmarks.export                  # speed and memory against a user's own loop
    python -m benchmarks.export --kills 20       # kill -9 at random moments, run again, compare every byte
    python -m benchmarks.export --damaged 300    # damaged inputs
    python -m benchmarks.export --dvc            # repro, status and a queued experiment over 22,500 WAVs

The corpus, 22,500 rows of 8 kHz speech in parquet files (about 20 h), is made once in `--work` and used again. Each
mode prints a Markdown table for RESULTS.md.
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
from atc_asr.corpus.radio import RadioParams
from atc_asr.corpus.source import Shard
from atc_asr.corpus.synthetic import SyntheticSource

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"train": 20_000, "validation": 1_250, "test": 1_250}
POOL = 900  # different utterances; every row is one of them at its own level, with its own noise
LONGEST = 4.2  # seconds; 3.2 s in the mean, as in 20 h of 22,500 rows
NATIVE_RATE = 8_000
FILE_ROWS = 5_000
GROUP_ROWS = 100  # as the Hub writes them
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
NAIVE = """
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
class Run:
    """What one command took.

    Attributes:
        seconds: wall time, start to end.
        cpu_seconds: of all its processes; the same on a busy machine and on a quiet one.
        megabytes: largest sum of the resident memory of all its processes.
        output: standard output.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float
    output: str


def measure(command: list[str], cwd: Path = ROOT, **environment: str) -> Run:
    """Run a command; its memory is sampled 20 times a second."""
    os.sync()  # what the run before wrote is not to be paid for by this one
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
    return Run(seconds, _cpu_seconds() - cpu_before, peak[0], output)


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
    params = replace(load_section(SyntheticParams), num_train=size, max_words=14, shard_size=50)
    source = SyntheticSource(params, load_section(RadioParams))
    tasks = [(source, shard) for shard in source.shards() if shard.split == "train"]
    pool = [pair for pairs in workers.map_unordered(_speak, tasks, workers.available_cores()) for pair in pairs]
    return [pair for pair in pool if len(pair[0]) <= LONGEST * NATIVE_RATE]


def _speak(task: tuple[SyntheticSource, Shard]) -> list[tuple[np.ndarray, str]]:
    source, shard = task
    return [(soxr.resample(clip.audio, clip.sample_rate, NATIVE_RATE), clip.text) for clip in source.read(shard)]


def make_corpus(folder: Path, sizes: dict[str, int], config: str = "base") -> float:
    """Write a data set in the Hub's schema, once; returns its hours."""
    hours_file = folder / "hours"
    if hours_file.is_file():
        return float(hours_file.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    (folder / config).mkdir(parents=True)
    pool = make_pool(POOL)
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
    """The export as a user types it."""
    words = ["-m", "stages.export", "--corpus", str(corpus), "--config", "base", "--out_dir", str(out_dir)]
    return [sys.executable, *words, "--processes", str(processes)]


def compare_speed(work: Path) -> None:
    """Ours with one and two processes, and the loop a user would write, in one run."""
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
    naive = measure([sys.executable, "-c", NAIVE, str(corpus), str(out)], HF_HOME=str(work / "hf"), HF_HUB_OFFLINE="1")
    seconds, cpu_seconds = map(float, naive.output.split())
    loop = replace(naive, seconds=seconds, cpu_seconds=cpu_seconds)
    shutil.rmtree(out)
    runs["a user's loop, one process, without loading the data set"] = loop
    runs["a user's loop, one process, all of it"] = naive
    print(f"{sum(SIZES.values())} rows, {hours:.1f} h\n")
    print("| what | seconds | CPU seconds | times real time | against the loop alone | memory, MB |")
    print("|---|---|---|---|---|---|")
    for name, run in runs.items():
        speed, ratio = hours * 3600 / run.seconds, loop.seconds / run.seconds
        print(
            f"| {name} | {run.seconds:.1f} | {run.cpu_seconds:.1f} | {speed:.0f} | {ratio:.2f} | {run.megabytes:.0f} |"
        )


def folder_digest(folder: Path) -> str:
    """One hash over the names and bytes of all files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def kill_and_resume(work: Path, kills: int) -> None:
    """Kill the export at random moments, run it again each time, and compare with an undisturbed run."""
    corpus = work / "small"
    make_corpus(corpus, {"train": 2_000, "validation": 200, "test": 200})
    whole = work / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    undisturbed = measure(export_command(corpus, whole, 2)).seconds
    wanted = folder_digest(whole)
    draw = random.Random(1)
    same = again = 0
    for number in range(kills):
        out = work / f"killed{number}"
        shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen(
            export_command(corpus, out, 2), cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0.2, 1.0) * undisturbed)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = len(list((work / f".{out.name}.partial" / "base").glob("*-[0-9][0-9][0-9][0-9][0-9]")))
        again += done
        measure(export_command(corpus, out, 2))
        same += folder_digest(out) == wanted and not (work / f".{out.name}.partial").exists()
        shutil.rmtree(out)
    print(f"kill -9 at {kills} random moments, then the same command: {same} of {kills} byte-identical; ", end="")
    print(f"{again / kills:.1f} finished shards taken over on average")


def export_damaged(work: Path, count: int) -> None:
    """Export damaged inputs; count crashes, writes outside and reasons."""
    from benchmarks import damaged

    found = damaged.export_damaged(work / "damaged", count, seed=1)
    print(f"{count} damaged inputs: {found.kept} kept, {sum(found.rejected.values())} rejected, ", end="")
    print(f"{len(found.wrong)} judged wrongly, {len(found.outside)} files outside")
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
    """What DVC adds to an export of 22,500 WAVs: first repro, no-op repro, status, workspace and queued experiments."""
    corpus, repo = work / "corpus", work / "dvc"
    make_corpus(corpus, SIZES)
    shutil.rmtree(repo, ignore_errors=True)
    repo.mkdir()
    command = " ".join(export_command(corpus, Path("data/corpus"), 2))
    command += f" --params {ROOT / 'params.yaml'}"
    for name, content in DVC_FILES.items():
        (repo / name).write_text(content.format(command=command))
    # a queue's worker calls `dvc` by its name
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
    print("| what | seconds |\n|---|---|")
    for name, words in {
        "first `dvc repro` (the export itself included)": [*dvc, "repro"],
        "`dvc repro` with nothing to do": [*dvc, "repro"],
        "`dvc status`": [*dvc, "status"],
        "`dvc exp run`, nothing changed": [*dvc, "exp", "run"],
        "`dvc exp run --queue`, a parameter of a later stage changed": experiment,
        "that experiment, from the start of the queue to its end": [*dvc, "exp", "run", "--run-all"],
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
