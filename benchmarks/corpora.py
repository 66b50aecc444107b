"""benchmarks/corpora: training on two synthetic corpora by weight, resuming it, leakage, and adding a third corpus.

    python -m benchmarks.corpora DIR [--num_train 600] [--epochs 3] [--init_from RUN_FOLDER]

us has the phraseology of the FAA, American voices and numbers in groups; icao that of ICAO Doc 4444 (decimal, QNH,
climb to), British voices and digits one by one. The steps, of which --only selects some:

shares  fraction of the audio seconds of us in each of 20 epochs with weights 3:1
kill    a training with weights 3:1, killed and resumed, against an undisturbed one: largest difference of a weight
wer     WER of weights 3:1, of us alone and of icao alone on both test sets after the same number of updates
overlap 20 clips of train of us, copied into test of icao: number that is found
dvc     stages that `dvc repro export` runs in a clone for two corpora, a changed weight, and a third corpus
"""

import argparse
import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from atc_asr.commands import preset
from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import read_manifest
from atc_asr.core.params import CorporaParams
from atc_asr.core.workers import available_cores, map_unordered
from atc_asr.corpus import synthetic
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.phraseology import SpeakingStyle, Transmission, make_transmission
from atc_asr.corpus.source import SPLITS
from atc_asr.corpus.voices import split_voices
from atc_asr.training.mixture import WeightedDraw, audio_shares
from stages import decode, export, posteriors, score, tokenizer, train

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("shares", "kill", "wer", "overlap", "dvc")
NUM_HELD_OUT = 150  # utterances of valid and of test
NUM_PLANTED = 20
ICAO_PHRASES = (
    ("climb and maintain", "climb to"), ("descend and maintain", "descend to"), ("at and maintain", "at"),
    ("altimeter", "q n h"), ("point", "decimal"), ("center", "control"), ("takeoff", "take off"),
)  # fmt: skip
CORPORA = {"us": ("en-us", 1.0, ()), "icao": ("en-gb", 0.0, ICAO_PHRASES), "third": ("en-029", 0.5, ())}
WEIGHTS = {"3:1": (3, 1), "us alone": (1, 0), "icao alone": (0, 1)}


def transmission(split: str, rng: np.random.Generator, params: SyntheticParams, name: str) -> Transmission:
    """A transmission in the phraseology of a corpus."""
    _, groups, phrases = CORPORA[name]
    style = SpeakingStyle(pilot_fraction=params.pilot_fraction, group_fraction=groups)
    made = make_transmission(split, rng, style)
    clauses = made.clauses
    for old, new in phrases:
        clauses = tuple(clause.replace(old, new) for clause in clauses)
    return replace(made, clauses=clauses)


def speak(job: tuple[Path, str, str, int, SyntheticParams]) -> tuple[str, list[Any]]:
    """Writes the WAV of an utterance; its split and row."""
    folder, name, split, number, params = job
    rng = np.random.default_rng((list(CORPORA).index(name), SPLITS.index(split), number))
    said = transmission(split, rng, params, name)
    voices = [voice for voice in split_voices()[split] if voice.startswith(CORPORA[name][0])]
    samples = synthetic.record(said, synthetic.draw_voice(rng, voices), rng, params)
    wav = folder / f"{split}_{number:05d}.wav"
    soundfile.write(wav, samples, synthetic.SAMPLE_RATE, subtype="PCM_16")
    return split, [f"{number:05d}", wav.name, len(samples) / synthetic.SAMPLE_RATE, said.text]


def write_corpus(folder: Path, name: str, num_train: int) -> None:
    """Writes a corpus of manifests, unless it is there."""
    if folder.exists():
        return
    partial = folder.with_name(f"{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    params = load_section(SyntheticParams, ROOT / "params.yaml")
    sizes = {"train": num_train, "valid": NUM_HELD_OUT, "test": NUM_HELD_OUT}
    jobs = [(partial, name, split, number, params) for split in SPLITS for number in range(sizes[split])]
    rows: dict[str, list[list[Any]]] = {split: [] for split in SPLITS}
    for split, row in map_unordered(speak, jobs, available_cores()):
        rows[split].append(row)
    for split in SPLITS:
        write_list(partial / f"{split}.csv", sorted(rows[split]))
    partial.rename(folder)


def write_list(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Writes a manifest."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "wav", "duration", "transcript"], *rows])


def corpora_section(work: Path, weights: Mapping[str, float]) -> dict[str, Any]:
    """The section `corpora` for corpora of `write_corpus`."""
    found = {}
    for name, weight in weights.items():
        source = {"corpus": str(work / "source" / name), "layout": "manifests"}
        found[name] = {"weight": weight, "role": "train", "export": source}
    return found


def write_params(path: Path, corpora: dict[str, Any], template: Path = ROOT / "params.yaml") -> None:
    """Writes params.yaml with corpora."""
    if template != path:
        shutil.copy(template, path)
    preset.write({"export": {"corpus": None}, "corpora": corpora}, "corpora", path)


def join(work: Path, params: Path, out: str) -> Path:
    """Joins the exports; the folder of the manifests."""
    flags = ["--corpora_dir", str(work / "corpora"), "--out_dir", str(work / out), "--params", str(params)]
    export.main(flags)
    return work / out / "base"


def train_flags(work: Path, name: str, run_dir: Path, options: argparse.Namespace, epochs: int) -> list[str]:
    """The command line of a training with the weights of a name."""
    paths = {
        "train_manifest": work / name / "base" / "train.csv", "valid_manifest": work / name / "base" / "valid.csv",
        "tokenizer_dir": work / "tokenizer", "run_dir": run_dir, "params": work / f"{name}.yaml",
    }  # fmt: skip
    words = [word for flag, path in paths.items() for word in (f"--{flag}", str(path))]
    words += ["--epochs", str(epochs), "--num_processes", "1"]
    return [*words, *(["--init_from", str(options.init_from), "--lr", "5e-4"] if options.init_from else [])]


def measure_shares(work: Path) -> None:
    """Prints the smallest and largest share of us."""
    rows = read_manifest(work / "3:1" / "base" / "train.csv")
    corpora = load_section(CorporaParams, work / "3:1.yaml").by_name
    draw = WeightedDraw(rows, corpora, seed=1234)
    found = [100 * audio_shares(rows, draw(epoch))["us"] for epoch in range(1, 21)]
    whole = 100 * audio_shares(rows, range(len(rows)))["us"]
    print(f"shares: us has {whole:.2f} % of the seconds; of epochs {min(found):.2f} to {max(found):.2f} %, wanted 75")


def measure_kill(work: Path, options: argparse.Namespace) -> None:
    """Prints the largest difference between the weights of a killed training and of an undisturbed one."""
    for name in ("whole", "killed"):
        shutil.rmtree(work / name, ignore_errors=True)
        flags = train_flags(work, "3:1", work / name / "asr", options, epochs=1)
        flags += ["--train_subset", "200", "--checkpoint_minutes", "0.02"]
        command = [sys.executable, "-m", "stages.train", *flags]
        started = time.monotonic()
        if name == "killed":
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while not list((work / name).rglob("CKPT+*/files.json")) and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            print(f"kill: killed after {time.monotonic() - started:.1f} s, exit code {process.wait()}")
        subprocess.run(command, check=True)
    one, other = (torch.load(work / name / "asr" / "model.ckpt", weights_only=True) for name in ("whole", "killed"))
    print(f"kill: largest difference of a weight {max(float((one[key] - other[key]).abs().max()) for key in one):.1e}")


def measure_wer(work: Path, options: argparse.Namespace) -> None:
    """Prints a table of WERs, greedy, with intervals."""
    lines = []
    for name in WEIGHTS:
        run_dir = work / "runs" / name
        epochs = options.epochs if name == "3:1" else 2 * options.epochs  # a corpus has half of the seconds of both
        if not run_dir.exists():
            train.main(train_flags(work, name, run_dir, options, epochs))
        cells = [name, str(json.loads((run_dir / "metrics.json").read_text())["updates"])]
        for corpus in ("us", "icao"):
            manifest = work / "corpora" / corpus / "base" / "test.csv"
            out = work / "scores" / f"{name} {corpus}"
            run = ["--checkpoint_dir", str(run_dir)]
            posteriors.main([*run, "--manifest", str(manifest), "--out_file", f"{out}.npz"])
            files = ["--posteriors", f"{out}.npz", "--out_file", f"{out}.jsonl"]
            decode.main([*run, *files, "--search", "greedy"])
            scored = {"ref_manifest": manifest, "hyp_file": f"{out}.jsonl", "metrics_file": f"{out}.json"}
            scored |= {"scorecard_file": f"{out}.card.json", "alignments_file": f"{out}.txt"}
            score.main([word for flag, path in scored.items() for word in (f"--{flag}", str(path))])
            found = json.loads(Path(f"{out}.json").read_text())
            cells.append(f"{found['wer']:.1f} ({found['wer_low']:.1f} to {found['wer_high']:.1f})")
        lines.append(f"| {' | '.join(cells)} |")
    print("| weights | updates | us, WER % (95 % interval) | icao |", "|---|---|---|---|", *lines, sep="\n")


def measure_overlap(work: Path) -> None:
    """Prints how many planted clips are found."""
    folder = work / "overlap"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work / "source" / "icao", folder / "source" / "icao")
    shutil.copytree(work / "source" / "us", folder / "source" / "us")
    lists = {name: folder / "source" / name / split for name, split in (("us", "train.csv"), ("icao", "test.csv"))}
    rows = {name: list(csv.reader(path.open(encoding="utf-8")))[1:] for name, path in lists.items()}
    for number, (_, wav, seconds, text) in enumerate(rows["us"][:NUM_PLANTED]):
        copy = lists["icao"].with_name(f"planted_{number}.flac")
        samples, rate = soundfile.read(lists["us"].with_name(wav), dtype="int16")
        soundfile.write(copy, samples, rate)
        rows["icao"].append([f"9{number:04d}", copy.name, seconds, text])
    write_list(lists["icao"], rows["icao"])
    write_params(folder / "params.yaml", corpora_section(folder, {"us": 3, "icao": 1}))
    export_all(folder, folder / "params.yaml", ["us", "icao"])
    try:
        join(folder, folder / "params.yaml", "corpus")
        print("overlap: nothing found")
    except InputError as error:
        print(f"overlap: {NUM_PLANTED} planted; {error}")


def export_all(work: Path, params: Path, names: Sequence[str]) -> None:
    """Exports corpora, unless they are there."""
    for name in names:
        if not (work / "corpora" / name).exists():
            out = ["--name", name, "--out_dir", str(work / "corpora" / name), "--params", str(params)]
            export.main([*out, "--processes", str(available_cores())])


def measure_dvc(work: Path) -> None:
    """Prints the stages that DVC runs, and how long it takes."""
    clone = work / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)

    def repro(what: str, *command: str) -> None:
        started = time.monotonic()
        dvc = [sys.executable, "-m", "dvc", *command]
        answer = subprocess.run(dvc, cwd=clone, capture_output=True, text=True, check=False)
        ran = re.findall(r"Running stage '([^']+)'", answer.stdout)
        print(f"dvc: {what}: ran {', '.join(ran) or answer.stderr or 'nothing'} in {time.monotonic() - started:.1f} s")

    for what, weights in (
        ("two corpora", {"us": 3, "icao": 1}),
        ("a third one", {"us": 3, "icao": 1, "third": 1}),
        ("a weight", {"us": 2, "icao": 1, "third": 1}),
    ):
        write_params(clone / "params.yaml", corpora_section(work, weights), clone / "params.yaml")
        repro(what, "repro", "export")
    repro("a weight by an experiment", "exp", "run", "-S", "corpora.icao.weight=0.5", "export")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--num_train", type=int, default=600, help="utterances of each train split")
    parser.add_argument("--epochs", type=int, default=3, help="epochs over both corpora")
    parser.add_argument("--init_from", type=Path, help="run folder to start from")
    parser.add_argument("--only", nargs="*", default=STEPS, choices=STEPS)
    options = parser.parse_args()
    work = options.work_dir.resolve()
    (work / "scores").mkdir(parents=True, exist_ok=True)
    for name in CORPORA:
        write_corpus(work / "source" / name, name, options.num_train)
    for name, (us, icao) in WEIGHTS.items():
        params = work / f"{name}.yaml"
        write_params(params, corpora_section(work, {"us": us, "icao": icao}))
        export_all(work, params, ["us", "icao"])
        join(work, params, name)
    both = ["--train_manifest", str(work / "3:1" / "base" / "train.csv"), "--out_dir", str(work / "tokenizer")]
    tokenizer.main(both)
    steps = {
        "shares": lambda: measure_shares(work),
        "kill": lambda: measure_kill(work, options),
        "wer": lambda: measure_wer(work, options),
        "overlap": lambda: measure_overlap(work),
        "dvc": lambda: measure_dvc(work),
    }
    for name in options.only:
        steps[name]()


if __name__ == "__main__":
    main()
