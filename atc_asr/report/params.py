"""Parameters and flags of the stage report."""

from pathlib import Path
from typing import ClassVar

from atc_asr.core.config import Flags, Section, argument, param


class ReportParams(Section):
    """The report page."""

    section: ClassVar[str] = "report"
    title: str = param("heading of the page")


class ReportFlags(Flags):
    """Write a page, a summary sheet and a model card from scores and utterances.

    Reads   ref_manifest (CSV or JSONL), hyp_file (decode.jsonl), scorecard_file (all rates with intervals)
            if given: slices_file (WER by slice), curves_file (training curves), run_metrics (the run's metrics.json),
            readback_file (exchanges of the command readback)
    Writes  out_dir/report.html              one page: numbers, curves, slices, every utterance with its audio
            out_dir/summary.pdf, summary.png one sheet
            out_dir/model_card.md
    """

    ref_manifest: list[Path] = argument("manifests with the references")
    hyp_file: Path = argument("hypotheses, decode.jsonl")
    scorecard_file: Path = argument("scorecard of stages.score, JSON")
    slices_file: Path | None = argument("WER by slice, CSV", None)
    curves_file: Path | None = argument("training curves, CSV", None)
    run_metrics: Path | None = argument("metrics.json of the run", None)
    readback_file: Path | None = argument("exchanges of the command readback, JSON Lines", None)
    out_dir: Path = argument("output folder", output=True)
