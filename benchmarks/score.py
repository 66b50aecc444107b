"""Benchmark of scoring: speed, memory, coverage of intervals, counts against jiwer, SpeechBrain and sclite, grammar.

    python -m benchmarks.score --work_dir /tmp/score_benchmark
    python -m benchmarks.score --work_dir … --ref_manifest data/corpus/*/test.csv --hyp_files a.jsonl b.jsonl c.jsonl

Without `--hyp_files` the counts are those of three files of random errors. `--sclite` names the program sclite
(github.com/usnistgov/SCTK); without it only `atc_asr.scoring.sclite` counts by its rules, which the tests compare with
counts of the program. Prints Markdown for RESULTS.md.
"""

import argparse
import contextlib
import csv
import json
import random
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import psutil
from speechbrain.utils.metric_stats import ErrorRateStats

from atc_asr.atc.grammar.slots import read_slots
from atc_asr.core.text import normalize
from atc_asr.corpus import phraseology
from atc_asr.scoring import bootstrap, pairs, sclite
from atc_asr.scoring.bootstrap import Rate, Resampling
from atc_asr.wer import wer

UTTERANCES = Path(__file__).resolve().parents[1] / "tests" / "atc" / "grammar" / "atc_utterances.txt"
STYLE = phraseology.SpeakingStyle(pilot_fraction=0.5, group_fraction=0.6)
NUM_SPEAKERS = 50


def make_corpus(folder: Path, count: int, seed: int) -> list[Path]:
    """A manifest of transmissions and three decode.jsonl with 5, 15 and 40 % of random errors.

    Returns:
        The decode.jsonl files; the manifest is `test.csv` beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty.wav").touch()
    rng = np.random.default_rng(seed)
    texts = [phraseology.make_transmission("train", rng, STYLE).text.upper() for _ in range(count)]
    with open(folder / "test.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "wav", "duration", "transcript", "speaker"])
        for number, text in enumerate(texts):
            seconds = f"{len(text) / 14:.2f}"
            writer.writerow([f"u{number:06d}", "empty.wav", seconds, text, f"s{number % NUM_SPEAKERS}"])
    vocabulary = sorted({word for text in texts for word in text.split()})
    made = []
    for fraction in (0.05, 0.15, 0.4):
        made.append(folder / f"random_{fraction:g}.jsonl")
        draw = random.Random(seed)
        with open(made[-1], "w", encoding="utf-8") as file:
            for number, text in enumerate(texts):
                hyp = damage(text.split(), vocabulary, fraction, draw)
                file.write(json.dumps({"id": f"u{number:06d}", "hyp": " ".join(hyp)}) + "\n")
    return made


def damage(words: Sequence[str], vocabulary: Sequence[str], fraction: float, draw: random.Random) -> list[str]:
    """Words with random errors: a quarter deletions, a quarter insertions, half substitutions."""
    hyp: list[str] = []
    for word in words:
        kind = draw.random() / fraction
        if kind < 0.25:
            continue
        hyp.append(draw.choice(vocabulary) if kind < 0.75 else word)
        if 0.75 <= kind < 1:
            hyp.append(draw.choice(vocabulary))
    return hyp


def time_stage(folder: Path, hyp_file: Path) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak MiB of stages.score with all outputs, started as DVC starts it."""
    command = [sys.executable, "-m", "stages.score", "--ref_manifest", str(folder / "test.csv")]
    command += ["--hyp_file", str(hyp_file), "--estimate_snr", "false"]
    for name in ("metrics.json", "scorecard.json", "alignments.txt", "slices.csv", "confusions.csv", "words.csv"):
        command += [f"--{name.split('.')[0]}_file", str(folder / "out" / name)]
    started, peak = time.perf_counter(), 0
    process = psutil.Popen(command)
    # ru_maxrss of a child would include this process, of which it is a copy until it starts.
    with contextlib.suppress(psutil.Error):
        while process.poll() is None:
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.05)
    if process.wait():
        raise SystemExit("stages.score failed")
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, used.ru_utime + used.ru_stime, peak / 2**20


def make_rates(size: int, seed: int, count: int = 1) -> list[Rate]:
    """WERs of `count` equally good recognisers on one test set of `size` utterances from one population, 15 % WER."""
    rng = np.random.default_rng(seed)
    words = rng.integers(3, 25, size)
    hardness = rng.beta(1.5, 8.5, size)
    return [Rate("wer", rng.binomial(words, hardness), words) for _ in range(count)]


def time_bootstrap(size: int) -> float:
    """Seconds of 10,000 resamples of `size` utterances, one rate."""
    [rate] = make_rates(size, seed=1)
    started = time.perf_counter()
    bootstrap.intervals([rate], Resampling(10_000, 95.0))
    return time.perf_counter() - started


def measure_coverage(num_sets: int, size: int) -> float:
    """Per cent of 95 % intervals that contain the true rate, over test sets drawn from one population."""
    covered = 0
    for number in range(num_sets):
        found = bootstrap.intervals(make_rates(size, number), Resampling(1000, 95.0, seed=number))["wer"]
        assert found.low is not None and found.high is not None  # the test set has words
        covered += found.low <= 15.0 <= found.high
    return 100 * covered / num_sets


def measure_paired_error(num_sets: int, size: int) -> float:
    """Per cent of pairs of equally good recognisers whose difference is significant by the paired interval."""
    significant = 0
    for number in range(num_sets):
        a, b = make_rates(size, number, count=2)
        found = bootstrap.paired_difference(a, b, Resampling(1000, 95.0, seed=number))
        significant += not found.low <= 0 <= found.high
    return 100 * significant / num_sets


def compare_counts(ref_manifest: Sequence[Path], hyp_file: Path, program: str | None, folder: Path) -> list[str]:
    """Table rows of one hypothesis file: insertions, deletions and substitutions of every program."""
    found = pairs.read_pairs(ref_manifest, hyp_file, normalize_hypotheses=True).pairs
    scored = [wer.score_pair(pair) for pair in found]
    ours = wer.total(item.words for item in scored)
    theirs = jiwer.process_words([pair.ref for pair in found], [pair.hyp for pair in found])
    stats = ErrorRateStats()
    stats.append([p.id for p in found], [p.hyp.split() for p in found], [p.ref.split() for p in found])
    rules = sclite.count_corpus(scored)
    names = ("insertions", "deletions", "substitutions")
    counters = {
        "atc_asr.wer.wer": tuple(getattr(ours, name) for name in names),
        "jiwer": tuple(getattr(theirs, name) for name in names),
        "SpeechBrain": tuple(int(stats.summarize()[name]) for name in names),
        "atc_asr.scoring.sclite": tuple(getattr(rules, name) for name in names),
    }
    if program:
        counters["sclite"] = run_sclite(program, found, folder)
    label = f"{hyp_file.name} ({len(found):,})"
    return [
        f"| {label} | {name} | {' | '.join(f'{count:,}' for count in [*counts, sum(counts)])} |"
        for name, counts in counters.items()
    ]


def run_sclite(program: str, found: Sequence[wer.Pair], folder: Path) -> tuple[int, int, int]:
    """(insertions, deletions, substitutions) that the program prints."""
    for side in ("ref", "hyp"):
        lines = [f"{getattr(pair, side)} (a_{number})\n" for number, pair in enumerate(found)]
        (folder / f"{side}.trn").write_text("".join(lines), encoding="utf-8")
    command = [program, "-r", str(folder / "ref.trn"), "trn", "-h", str(folder / "hyp.trn"), "trn", "-i", "rm"]
    answer = subprocess.run([*command, "-o", "rsum", "stdout"], capture_output=True, text=True, check=True).stdout
    [sums] = re.findall(r"\| Sum.*", answer)
    _, _, _, substitutions, deletions, insertions, _, _ = map(int, re.findall(r"\d+", sums))
    return insertions, deletions, substitutions


def measure_grammar() -> tuple[int, int, int, int, int]:
    """Counts over tests/atc/grammar/atc_utterances.txt: utterances, slots, exact, invented, wrong call signs."""
    lines = [line for line in UTTERANCES.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    slots = exact = invented = wrong = 0
    for line in lines:
        text, _, wanted_text = line.partition("|")
        wanted = Counter(wanted_text.split())
        found = Counter(
            f"{slot.kind}={(slot.value or '?').replace(' ', '_')}" for slot in read_slots(normalize(text).split())
        )
        slots += wanted.total()
        exact += (wanted & found).total()
        invented += (found - wanted).total()
        wrong += sum(slot.startswith("callsign=") and slot != "callsign=?" for slot in found - wanted)
    return len(lines), slots, exact, invented, wrong


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, required=True, help="folder for the corpus and the scores")
    parser.add_argument("--ref_manifest", type=Path, nargs="+", help="references of --hyp_files")
    parser.add_argument("--hyp_files", type=Path, nargs="+", help="real decode.jsonl files to count errors in")
    parser.add_argument("--sclite", help="the sclite program")
    args = parser.parse_args()

    made = make_corpus(args.work_dir, 30_000, seed=1)
    seconds, processor, peak = time_stage(args.work_dir, made[1])
    paired_error = measure_paired_error(1000, 500)
    utterances, slots, exact, invented, wrong = measure_grammar()
    figures = [
        ("30,000 utterances with scorecard, slices and intervals", "under 30 s", f"{seconds:.1f} s"),
        ("processor seconds of that", "", f"{processor:.1f} s"),
        ("peak memory of that", "under 1 GB", f"{peak:.0f} MiB"),
        ("10,000 resamples of 5,000 utterances", "under 10 s", f"{time_bootstrap(5000):.2f} s"),
        ("coverage of 95 % intervals, 2,000 test sets of 500", "93-97 %", f"{measure_coverage(2000, 500):.1f} %"),
        ("significant differences of equal recognisers, 1,000 pairs", "about 5 %", f"{paired_error:.1f} %"),
        (f"slots of {utterances} utterances exact", "95 %", f"{100 * exact / slots:.1f} % ({exact} / {slots})"),
        ("slots invented", "", f"{invented}"),
        ("wrong call signs", "0", f"{wrong}"),
    ]
    print("| measurement | target | result |\n|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in figures))
    print("\n| hypotheses (utterances) | counter | insertions | deletions | substitutions | errors |")
    print("|---|---|---|---|---|---|")
    manifests = args.ref_manifest if args.hyp_files else [args.work_dir / "test.csv"]
    for hyp_file in args.hyp_files or made:
        print("\n".join(compare_counts(manifests, hyp_file, args.sclite, args.work_dir)))


if __name__ == "__main__":
    main()
