"""calibrate: learn on valid what a confidence is worth, and write both splits' hypotheses with it.

Reads   valid_manifest, valid_hyps, test_manifest, test_hyps  transcripts and raw hypotheses of both splits
Writes  out_file            slope and intercept (stages.decode and atc_asr.commands.transcribe: --calibration)
        valid_out_file, test_out_file  the hypotheses with calibrated word confidences
        metrics_file        expected calibration error before and after, area under the risk-coverage curve
        reliability_file    CSV for DVC's plots: accuracy over confidence on test
        risk_coverage_file  CSV for DVC's plots: error rate of the words kept over their share
"""

import csv
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from atc_asr.core.cli import Door, enter
from atc_asr.core.files import new_file
from atc_asr.core.manifest import read_manifests
from atc_asr.hypotheses import confidence
from atc_asr.hypotheses.confidence import Calibration, CalibrationParams
from atc_asr.hypotheses.hypotheses import Hypothesis, read_hypotheses, write_hypotheses
from atc_asr.tracking.record import write_metrics
from atc_asr.wer import wer

log = logging.getLogger(__name__)

SECTIONS = (CalibrationParams,)
UNCHANGED = Calibration(slope=1.0, intercept=0.0)


def rate_words(manifest: Sequence[Path], hypotheses: Sequence[Hypothesis], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and rightness of every hypothesis word, (N,) each; insertions are wrong.

    Raises:
        InputError: a file cannot be used, or an id has no partner.
    """
    references = {utterance.id: utterance.transcript for utterance in read_manifests(manifest)}
    values = confidence.confidences(hypotheses, where)
    pairs = wer.pair_by_id(references, {hypothesis.id: hypothesis.hyp for hypothesis in hypotheses})
    correct = [
        step.operation == "equal"
        for pair in pairs
        if len(values[pair.id])
        for step in wer.score_pair(pair).steps
        if step.hyp is not None
    ]
    return np.concatenate([values[pair.id] for pair in pairs]), np.array(correct, dtype=bool)


def learn(raw: np.ndarray, correct: np.ndarray) -> Calibration:
    """The calibration of valid; none, with a warning, when it has no right or no wrong word to learn from."""
    if correct.all() or not correct.any():
        log.warning("valid: %d right words of %d, confidences stay as they are", correct.sum(), len(correct))
        return UNCHANGED
    return confidence.fit(raw, correct)


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV file."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def run(
    params: CalibrationParams,
    *,
    valid_manifest: Sequence[Path],
    valid_hyps: Path,
    test_manifest: Sequence[Path],
    test_hyps: Path,
    out_file: Path,
    valid_out_file: Path,
    test_out_file: Path,
    metrics_file: Path,
    reliability_file: Path,
    risk_coverage_file: Path,
) -> None:
    """Learn on valid, measure on both splits, write everything or nothing.

    Raises:
        InputError: a file cannot be used.
    """
    valid, test = read_hypotheses(valid_hyps), read_hypotheses(test_hyps)
    splits = {
        "valid": rate_words(valid_manifest, valid, str(valid_hyps)),
        "test": rate_words(test_manifest, test, str(test_hyps)),
    }
    calibration = learn(*splits["valid"])
    metrics: dict[str, float | None] = {}
    reliability, curves = [("ideal", "0", "0"), ("ideal", "1", "1")], []
    for split, (raw, correct) in splits.items():
        for name, values in (("raw", raw), ("calibrated", confidence.apply(calibration, raw))):
            bins = confidence.reliability(values, correct, params.num_bins)
            metrics[f"{split}_ece_{name}"] = confidence.expected_calibration_error(bins)
            if split == "test":
                reliability += [(name, f"{one.confidence:.4f}", f"{one.accuracy:.4f}") for one in bins]
        curve = confidence.risk_coverage(raw, correct, params.curve_points)
        metrics |= {f"{split}_area_under_risk": confidence.area_under_risk(curve), f"{split}_words": len(raw)}
        curves += [(split, f"{coverage:.2f}", f"{risk:.4f}") for coverage, risk in curve]
    with ExitStack() as outputs:
        confidence.write_calibration(outputs.enter_context(new_file(out_file)), calibration)
        for path, hypotheses in ((valid_out_file, valid), (test_out_file, test)):
            rescaled = (confidence.recalibrate(calibration, one) for one in hypotheses)
            write_hypotheses(outputs.enter_context(new_file(path)), rescaled)
        header = ("split", "confidence", "accuracy")
        write_rows(outputs.enter_context(new_file(reliability_file)), header, reliability)
        header = ("split", "coverage", "risk")
        write_rows(outputs.enter_context(new_file(risk_coverage_file)), header, curves)
        write_metrics(outputs.enter_context(new_file(metrics_file)), metrics)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    for split in ("valid", "test"):
        door.path(f"--{split}_manifest", nargs="+", required=True, help=f"{split} manifests")
        door.path(f"--{split}_hyps", required=True, help=f"decode.jsonl of {split}")
        door.path(f"--{split}_out_file", required=True, help=f"decode.jsonl of {split} with calibrated confidences")
    door.path("--out_file", required=True, help="calibration, JSON")
    door.path("--metrics_file", required=True, help="metrics, JSON")
    door.path("--reliability_file", required=True, help="plot data, CSV")
    door.path("--risk_coverage_file", required=True, help="plot data, CSV")
    args = door.parse(argv)
    run(*args.sections, **vars(args.paths))


if __name__ == "__main__":
    enter(main)
