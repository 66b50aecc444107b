"""The recogniser folder of stages.package against the run folder in torch: texts, speed, memory.

    python -m benchmarks.recognizer                     # texts, recordings of one and of four hours
    python -m benchmarks.recognizer --hours 1 --runs 5

Requires a finished `dvc repro`. Prints the tables of RESULTS.md. Both ways transcribe the same recordings with the same
lexicon, n-gram and settings, in turn; times are from start to end of the process.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from atc_asr.core.config import load_section
from atc_asr.core.manifest import Utterance, read_manifests
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Job, SearchSources, decode_all
from atc_asr.deploy.recognizer_folder import open_folder
from atc_asr.hypotheses.hypotheses import read_hypotheses
from atc_asr.transcribe.onnx_network import OnnxNetwork
from benchmarks.decode import HOUR, make_recording, memory_of_children, run_module, table

TRANSCRIBE = "atc_asr.commands.transcribe"
RECOGNIZER = ("models/recognizer",)
RUN = ("--checkpoint_dir", "models/asr", "--lm_dir", "models/lm", "--calibration", "models/calibration.json")
WAYS = {"recogniser folder, onnxruntime": RECOGNIZER, "run folder, torch": RUN}


def searched(utterances: Sequence[Utterance]) -> list[str]:
    """Texts of whole utterances by the recogniser folder's network and search, without detection and cleaning."""
    folder = open_folder(Path(*RECOGNIZER))
    network = OnnxNetwork(folder)
    signals = [soundfile.read(one.wav, dtype="float32")[0] for one in utterances]
    names = [one.id for one in utterances]
    rows = map(Job, names, network.log_probs(signals, names))
    params = load_section(DecodeParams, folder.path / "params.yaml")
    sources = SearchSources(lm_dir=folder.lm_dir)
    return [one.hyp for one in decode_all(params, network.tokens, network.frame_seconds, sources, rows)]


def transcribed(utterances: Sequence[Utterance], work: Path, *more: str) -> list[str]:
    """Texts of utterances as recordings, by the command; the transmissions of a recording are joined."""
    (work / "clips").mkdir(parents=True)
    for one in utterances:
        (work / "clips" / f"{one.id}.wav").symlink_to(one.wav.resolve())
    run_module(TRANSCRIBE, *RECOGNIZER, work / "clips", "--out_dir", work / "texts", *more)
    files = [(work / "texts" / f"{one.id}.jsonl").read_text().splitlines() for one in utterances]
    return [" ".join(json.loads(line)["hyp"] for line in lines) for lines in files]


def texts(work: Path) -> None:
    """How many test utterances have the text of stages.decode."""
    utterances = read_manifests([Path("data/corpus/*/test.csv")])
    wanted = {one.id: one.hyp for one in read_hypotheses(Path("data/decoded/test.jsonl"))}
    rows = []
    found = {
        "network and search": searched(utterances),
        "transcribe --detector none": transcribed(utterances, work / "whole", "--detector", "none"),
        "transcribe": transcribed(utterances, work / "detected"),
    }
    for name, texts_found in found.items():
        same = sum(wanted[one.id] == text for one, text in zip(utterances, texts_found, strict=True))
        rows.append((name, f"{same} of {len(utterances)}"))
    table(("recogniser folder", "same text as stages.decode"), rows)


def cpu_seconds() -> float:
    """CPU time of all processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def recordings(work: Path, hours: Sequence[float], runs: int) -> None:
    """Speed and memory of both ways."""
    rows = []
    for length in hours:
        path = work / f"{length:g}h.wav"
        make_recording(path, read_manifests([Path("data/corpus/*/test.csv")]), length * HOUR)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        cpu: dict[str, list[float]] = {way: [] for way in WAYS}
        memory: dict[str, list[float]] = {way: [] for way in WAYS}
        lines: dict[str, list[str]] = {}
        for _ in range(runs):
            for way, arguments in WAYS.items():
                before = cpu_seconds()
                with memory_of_children() as peak:
                    started = time.perf_counter()
                    run_module(TRANSCRIBE, *arguments, path, "--out_dir", work / "out")
                    seconds[way].append(time.perf_counter() - started)
                cpu[way].append(cpu_seconds() - before)
                memory[way].append(peak[0])
                lines[way] = [json.loads(line)["hyp"] for line in (work / "out" / f"{path.stem}.jsonl").open()]
        ours, theirs = lines.values()
        same = f"{sum(map(str.__eq__, ours, theirs))} of {len(theirs)}"
        for way in WAYS:
            speed = length * HOUR / statistics.median(seconds[way])
            spread = f"{min(seconds[way]):.1f} to {max(seconds[way]):.1f}"
            used = f"{statistics.median(cpu[way]):.1f}"
            rows.append((f"{length:g}", way, spread, f"{speed:.0f}", used, f"{np.max(memory[way]):.0f}", same))
        path.unlink()
    times = ("seconds", "times real time (median)", "CPU seconds (median)")
    table(("hours", "way", *times, "peak MiB, all processes", "same texts"), rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="*", default=[1.0, 4.0], help="lengths of the recordings")
    parser.add_argument("--runs", type=int, default=3, help="of each way and length")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        texts(Path(name))
        recordings(Path(name), arguments.hours, arguments.runs)


if __name__ == "__main__":
    main()
