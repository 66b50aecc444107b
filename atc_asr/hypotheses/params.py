"""Flags of the stage calibrate."""

from pathlib import Path

from atc_asr.core.config import Flags, argument


class CalibrateFlags(Flags):
    """Calibrate word confidences on valid, and write the hypotheses of both splits with calibrated confidences.

    Reads   valid_manifest, valid_hyps, test_manifest, test_hyps  transcripts and raw hypotheses of both splits
    Writes  out_file            slope, intercept and statistics (stages.decode and transcribe: --calibration)
            valid_out_file, test_out_file  hypotheses with calibrated word confidences
            metrics_file        expected calibration error on test
            reliability_file    CSV for DVC's plots: accuracy against confidence on test
            risk_coverage_file  CSV for DVC's plots: error rate of the kept words against their fraction
    """

    valid_manifest: list[Path] = argument("validation manifests")
    valid_hyps: Path = argument("decode.jsonl of valid")
    valid_out_file: Path = argument("decode.jsonl of valid to write, with calibrated confidences", output=True)
    test_manifest: list[Path] = argument("test manifests")
    test_hyps: Path = argument("decode.jsonl of test")
    test_out_file: Path = argument("decode.jsonl of test to write, with calibrated confidences", output=True)
    out_file: Path = argument("calibration to write, JSON", output=True)
    metrics_file: Path = argument("metrics to write, JSON", output=True)
    reliability_file: Path = argument("plot data to write, CSV", output=True)
    risk_coverage_file: Path = argument("plot data to write, CSV", output=True)
