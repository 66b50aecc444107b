"""benchmarks/guard: what fine-tuning on synthetic radio costs on the digits of real speakers, with and without replay.

    nice python -m benchmarks.guard --demo_dir . --real_speech ../shared/real_speech --work_dir /tmp/guard
        [--train_utterances 400] [--epochs 2]

DEMO_DIR is a project in which the demo has run. Its network is fine-tuned on the digits (config `base` of REAL_SPEECH),
and then on a synthetic corpus with a noisier radio channel, of which the digits are the guard corpus: with weight 0
(scored only) and with `WEIGHT` (replay of so many digits that both see the same seconds of radio).
Prints the greedy WERs of all three networks on both test sets, and the paired comparison of the last two. Files that
are already in WORK_DIR are used.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from atc_asr.core.config import PARAMS_FILE, load_section, read_yaml
from atc_asr.core.corpora import corpus_of
from atc_asr.core.manifest import read_manifest, write_manifest
from atc_asr.scoring.comparison import compare, format_comparison
from atc_asr.scoring.pairs import read_pairs
from atc_asr.scoring.params import ScoreParams

WEIGHT = 0.1  # of the digits, against 1 of the radio corpus
RADIO = {"seed": 77, "num_valid": 100, "num_test": 200, "snr_low": 6.0, "snr_high": 16.0}
COMMON = "--skip_test --lr 6e-4 --batch_size 4 --ema_decay 0.99"
ON_DIGITS = "--epochs 2"


def stage(name: str, out: Path, params: Path, *flags: str | Path) -> Path:
    """Run a stage whose output is `out`, unless that exists; returns `out`."""
    if not out.exists():
        subprocess.run([sys.executable, "-m", f"stages.{name}", "--params", params, *flags], check=True)
    return out


def write_params(path: Path, args: argparse.Namespace, weight: float) -> Path:
    """params.yaml with both corpora; `weight` is that of the digits."""
    content: dict[str, Any] = read_yaml(PARAMS_FILE)
    content["export"] |= {"corpus": None, "configs": ["base"]}
    synthetic = RADIO | {"num_train": args.train_utterances}
    content["corpora"] = {
        "radio": {"weight": 1.0, "role": "train", "export": {"corpus": "synthetic", "synthetic": synthetic}},
        "digits": {"weight": weight, "role": "guard", "export": {"corpus": str(args.real_speech.resolve())}},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def thin_out(data: Path) -> None:
    """Leaves digits with `WEIGHT` times the seconds of the radio corpus in a train manifest of both."""
    path = data / "train.csv"
    rows = read_manifest(path)
    seconds = {name: sum(row.duration for row in rows if corpus_of(row) == name) for name in ("digits", "radio")}
    step = max(1, round(seconds["digits"] / (WEIGHT * seconds["radio"])))
    digits = [row for row in rows if corpus_of(row) == "digits"][::step]
    write_manifest(path, [*digits, *(row for row in rows if corpus_of(row) == "radio")])


def train(run_dir: Path, params: Path, data: Path, source: Path, args: argparse.Namespace, flags: str) -> Path:
    """A run folder, fine-tuned from another one with the manifests of `data`."""
    manifests = ("--train_manifest", data / "train.csv", "--valid_manifest", data / "valid.csv")
    tokens = args.demo_dir / "models" / "tokenizer"
    folders = ("--tokenizer_dir", tokens, "--init_from", source, "--run_dir", run_dir)
    return stage("train", run_dir, params, *manifests, *folders, *COMMON.split(), *flags.split())


def score(run_dir: Path, params: Path, test: Path) -> dict[str, Any]:
    """The greedy scores of a network by corpus; the hypotheses are in its folder."""
    npz, hyps, card = (run_dir / name for name in ("test.npz", "test.jsonl", "scorecard.json"))
    network = ("--checkpoint_dir", run_dir)
    stage("posteriors", npz, params, *network, "--manifest", test, "--out_file", npz)
    stage("decode", hyps, params, *network, "--posteriors", npz, "--search", "greedy", "--out_file", hyps)
    outs = ("--metrics_file", run_dir / "test.json", "--alignments_file", run_dir / "alignments.txt")
    stage("score", card, params, "--ref_manifest", test, "--hyp_file", hyps, "--scorecard_file", card, *outs)
    return json.loads(card.read_text(encoding="utf-8"))["corpora"]


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("demo_dir", "real_speech", "work_dir"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--train_utterances", type=int, default=400, help="of the radio corpus")
    parser.add_argument("--epochs", type=int, default=2, help="of the training on the radio corpus")
    args = parser.parse_args()
    work: Path = args.work_dir
    work.mkdir(parents=True, exist_ok=True)
    params = {weight: write_params(work / f"params_{weight:g}.yaml", args, weight) for weight in (0.0, WEIGHT)}
    corpora = work / "corpora"
    for name in ("radio", "digits"):
        stage("export", corpora / name, params[WEIGHT], "--name", name, "--out_dir", corpora / name)
    data = {}
    for weight, path in params.items():
        joined = work / f"corpus_{weight:g}"
        is_new = not joined.exists()
        data[weight] = stage("export", joined, path, "--corpora_dir", corpora, "--out_dir", joined) / "base"
        if is_new:
            thin_out(data[weight])

    digits, demo = corpora / "digits" / "base", args.demo_dir / "models" / "asr"
    before = train(work / "before", PARAMS_FILE, digits, demo, args, ON_DIGITS)
    networks = {"before": before}
    for weight, path in params.items():
        run_dir = work / f"after_{weight:g}"
        networks[f"weight {weight:g}"] = train(run_dir, path, data[weight], before, args, f"--epochs {args.epochs}")

    test = data[0.0] / "test.csv"
    wers: dict[str, dict[str, float]] = {}
    for name, run_dir in networks.items():
        found = score(run_dir, params[0.0], test)
        wers[name] = {corpus: rates["wer"] for corpus, rates in found.items()}
        cells = [
            f"{corpus} {r['wer']:.2f} % ({r['wer_low']:.2f} to {r['wer_high']:.2f})" for corpus, r in found.items()
        ]
        updates = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))["updates"]
        print(f"{name}, {updates} updates: WER on {', on '.join(cells)}")
    first, second = "weight 0", f"weight {WEIGHT:g}"
    lost, with_replay = (wers[name]["digits"] - wers["before"]["digits"] for name in (first, second))
    print(
        f"digits: {lost:+.2f} points without replay, {with_replay:+.2f} with it: {with_replay / lost:.2f} of the loss"
    )
    print(f"radio: replay costs {wers[second]['radio'] - wers[first]['radio']:+.2f} points")
    pairs = [read_pairs([test], networks[name] / "test.jsonl", normalize_hypotheses=False) for name in (first, second)]
    print(f"\nA = {first}, B = {second}\n{format_comparison(compare(*pairs, load_section(ScoreParams)))}")


if __name__ == "__main__":
    main()
