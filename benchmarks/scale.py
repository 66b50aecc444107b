"""benchmarks/scale: seconds, processor seconds and memory of stages.score and stages.lm on large corpora.

    python -m benchmarks.scale --work_dir DIR [--score 200000] [--lm 1000000]

Both read transmissions of the synthetic corpus's grammar. The hypotheses have 15 % of random errors and, as those of
stages.decode, times and confidences of their words; the stage writes all its files, with slices by duration, speaking
rate and 50 speakers and 10,000 resamples of every rate. Prints a Markdown table. Peak memory is the sum over the
processes of a stage.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from atc_asr.corpus import phraseology
from benchmarks.score import NUM_SPEAKERS, STYLE, damage

ERRORS = 0.15
WORD_SECONDS = 0.32
TARGETS = {"score": (60, 1000), "lm": (120, 1500)}  # seconds, MB


def transmissions(count: int, seed: int) -> Iterator[str]:
    """Texts of the grammar."""
    rng = np.random.default_rng(seed)
    return (phraseology.make_transmission("train", rng, STYLE).text.upper() for _ in range(count))


def write_manifest(path: Path, count: int, seed: int) -> None:
    """A manifest whose utterances share one empty audio file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "empty.wav").touch()
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "wav", "duration", "transcript", "speaker"])
        for number, text in enumerate(transmissions(count, seed)):
            seconds = f"{len(text) / 14:.2f}"
            writer.writerow([f"u{number:07d}", "empty.wav", seconds, text, f"s{number % NUM_SPEAKERS}"])


def write_hypotheses(path: Path, manifest: Path) -> None:
    """A decode.jsonl with random errors."""
    draw = random.Random(1)
    with open(manifest, encoding="utf-8", newline="") as source, open(path, "w", encoding="utf-8") as file:
        rows = csv.DictReader(source)
        vocabulary = sorted({word for text in transmissions(1000, seed=0) for word in text.split()})
        for row in rows:
            hyp = damage(row["transcript"].split(), vocabulary, ERRORS, draw)
            words = [
                {"word": word, "start": round(WORD_SECONDS * n, 3), "end": round(WORD_SECONDS * n + 0.3, 3),
                 "confidence": round(draw.random(), 4)}
                for n, word in enumerate(hyp)
            ]  # fmt: skip
            line = {"id": row["id"], "hyp": " ".join(hyp), "score": -1.2345, "words": words}
            file.write(json.dumps(line) + "\n")


def measure(command: list[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak MB of a command and the processes that it starts.

    Raises:
        SystemExit: it failed.
    """
    before, started, peak = os.times(), time.perf_counter(), 0
    process = psutil.Popen([sys.executable, "-m", *command])
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, used, peak / 1e6


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, required=True, help="folder for the corpora and the outputs")
    parser.add_argument("--score", type=int, default=200_000, help="utterances to score, 0 = none")
    parser.add_argument("--lm", type=int, default=1_000_000, help="transcripts of the language model, 0 = none")
    args = parser.parse_args()
    folder, out = args.work_dir, args.work_dir / "out"
    jobs: dict[str, tuple[int, list[str]]] = {}
    if args.score:
        test, hyps = folder / "test.csv", folder / "hyps.jsonl"
        write_manifest(test, args.score, seed=1)
        write_hypotheses(hyps, test)
        files = {"metrics": "json", "scorecard": "json", "alignments": "txt", "slices": "csv", "confusions": "csv"}
        flags = [word for name, end in files.items() for word in (f"--{name}_file", str(out / f"{name}.{end}"))]
        command = ["stages.score", "--ref_manifest", str(test), "--hyp_file", str(hyps), *flags]
        jobs["score"] = args.score, [*command, "--words_file", str(out / "words.csv"), "--estimate_snr", "false"]
    if args.lm:
        write_manifest(folder / "train.csv", args.lm, seed=2)
        write_manifest(folder / "valid.csv", 2000, seed=3)
        manifests = ["--train_manifest", str(folder / "train.csv"), "--valid_manifest", str(folder / "valid.csv")]
        results = ["--out_dir", str(out / "lm"), "--metrics_file", str(out / "lm.json")]
        jobs["lm"] = args.lm, ["stages.lm", *manifests, *results]
    print("| stage | rows | seconds | processor seconds | peak MB | target |\n|---|---|---|---|---|---|")
    for name, (count, command) in jobs.items():
        seconds, used, peak = measure(command)
        target = "{} s, {} MB".format(*TARGETS[name])
        print(f"| {name} | {count:,} | {seconds:.1f} | {used:.1f} | {peak:.0f} | {target} |", flush=True)


if __name__ == "__main__":
    main()
