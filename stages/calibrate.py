"""Stage calibrate: fit the calibration of word confidences on valid and apply it to valid and test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atc_asr.core import cli
from atc_asr.core.files import write_csv
from atc_asr.core.manifest import read_manifests
from atc_asr.core.outputs import together
from atc_asr.hypotheses import confidence
from atc_asr.hypotheses.hypotheses import Hypothesis, read_hypotheses, write_hypotheses
from atc_asr.hypotheses.params import CalibrateFlags
from atc_asr.tracking.record import rounded, write_metrics
from atc_asr.wer import wer


def score_words(
    manifest: Sequence[Path], hypotheses: Sequence[Hypothesis], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence (N,) and correctness (N,) of the listed words of a split; insertions are wrong.

    Raises:
        InputError: a manifest cannot be used, or the ids of manifest and hypotheses differ.
    """
    references = {utterance.id: utterance.transcript for utterance in read_manifests(manifest)}
    values = confidence.confidences(hypotheses, where)
    pairs = wer.pair_by_id(references, {hypothesis.id: hypothesis.hyp for hypothesis in hypotheses})
    correct = [
        step.operation == "equal"
        for pair in pairs
        if len(values[pair.id])
        for step in wer.align(pair.ref.split(), pair.hyp.split())
        if step.hyp is not None
    ]
    return np.concatenate([values[pair.id] for pair in pairs]), np.array(correct, dtype=bool)


def run(flags: CalibrateFlags) -> None:
    """Fit on valid, measure on valid and test, and write all outputs or none.

    Raises:
        InputError: a file cannot be used.
    """
    valid, test = read_hypotheses(flags.valid_hyps), read_hypotheses(flags.test_hyps)
    splits = {
        "valid": score_words(flags.valid_manifest, valid, str(flags.valid_hyps)),
        "test": score_words(flags.test_manifest, test, str(flags.test_hyps)),
    }
    calibration = confidence.fit(*splits["valid"])
    stats: dict[str, float | None] = {}
    ece: dict[str, float | None] = {}
    reliability, curves = [("ideal", "0", "0"), ("ideal", "1", "1")], []
    for split, (raw, correct) in splits.items():
        for name, values in (("raw", raw), ("calibrated", confidence.apply(calibration, raw))):
            bins = confidence.reliability(values, correct)
            ece[f"{split}_ece_{name}"] = confidence.expected_calibration_error(bins)
            if split == "test":
                reliability += [(name, f"{item.confidence:.4f}", f"{item.accuracy:.4f}") for item in bins]
        curve = confidence.risk_coverage(raw, correct)
        stats |= {f"{split}_words": len(raw), f"{split}_area_under_risk": confidence.area_under_risk(curve)}
        curves += [(split, f"{coverage:.2f}", f"{risk:.4f}") for coverage, risk in curve]
    with together():
        confidence.write_calibration(flags.out_file, calibration, stats | ece)
        for path, hypotheses in ((flags.valid_out_file, valid), (flags.test_out_file, test)):
            write_hypotheses(path, (confidence.recalibrate(calibration, hypothesis) for hypothesis in hypotheses))
        write_csv(flags.reliability_file, ("split", "confidence", "accuracy"), reliability)
        write_csv(flags.risk_coverage_file, ("split", "coverage", "risk"), curves)
        write_metrics(flags.metrics_file, {"ece": rounded(ece["test_ece_calibrated"])})


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, CalibrateFlags))


if __name__ == "__main__":
    cli.enter(main)
