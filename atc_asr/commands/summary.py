"""summary: the results of the pipeline in five lines, which end `make repro`."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import cli
from atc_asr.core.config import Flags, load_section
from atc_asr.core.documents import read_json
from atc_asr.core.manifest import read_manifests
from atc_asr.training.params import TrainParams

# Outputs of dvc.yaml
METRICS = Path("metrics/test.json")
SCORECARD = Path("data/scores/test/scorecard.json")
PAGE = Path("data/report/report.html")
MANIFESTS = Path("data/corpus/*/test.csv")
RECOGNIZER = Path("models/recognizer")


class SummaryFlags(Flags):
    """Print the results of the pipeline in this folder in five lines.

    Word error rate and call signs on test, the report page, a command that transcribes a file, what to try next.
    """


def percent(value: float | None) -> str:
    """A rate with one decimal; null in a metrics file is a rate of nothing."""
    return "unknown" if value is None else f"{value:.1f} %"


def environment() -> tuple[str, str]:
    """The Python of this process for a shell in this folder, and the words that make `dvc` a command there."""
    bin_dir = Path(sys.executable).parent
    bin_dir = Path(os.path.relpath(bin_dir)) if bin_dir.is_relative_to(Path.cwd()) else bin_dir
    activate = bin_dir / "activate"
    return (
        shlex.quote(str(bin_dir / Path(sys.executable).name)),
        f". {shlex.quote(str(activate))}; " if activate.is_file() else "",
    )


def summarize() -> list[str]:
    """The five lines.

    Raises:
        InputError: an output of the pipeline is missing or damaged.
    """
    metrics, scorecard = read_json(METRICS), read_json(SCORECARD)
    wer = percent(metrics["wer"])
    if metrics["wer"] is not None:
        low, high = metrics["wer_low"], metrics["wer_high"]
        wer += f", {scorecard['confidence']:g} % interval {low:.1f} to {high:.1f}"
    if metrics.get("greedy_wer") is not None:
        wer += f"; without lexicon and language model {percent(metrics['greedy_wer'])}"
    callsigns = f"{percent(metrics['callsign'])} of {scorecard['callsign']['accuracy_population']} are right"
    wav = read_manifests([MANIFESTS])[0].wav
    python, activate = environment()
    epochs = 2 * load_section(TrainParams).epochs
    return [
        f"word error rate on test: {wer}",
        f"call signs on test: {callsigns}",
        f"page: {PAGE.resolve()}",
        f"transcribe a file: {python} -m atc_asr.commands.transcribe {RECOGNIZER} {shlex.quote(str(wav))}",
        f"try next: {activate}dvc exp run -S train.epochs={epochs}; README.md: your own corpus",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    cli.parse(argv, SummaryFlags)
    print("\n".join(summarize()))


if __name__ == "__main__":
    cli.enter(main)
