"""Parameters and flags of the stage score."""

from pathlib import Path
from typing import ClassVar

from atc_asr.core.config import Flags, Section, argument, param


class ScoreParams(Section):
    """Comparison of hypotheses with references."""

    section: ClassVar[str] = "score"
    resamples: int = param("bootstrap resamples of the test set", ge=100)
    confidence: float = param("confidence level of an interval, per cent", gt=0, le=99.9)
    group_column: str | None = param("manifest column of groups to resample: speaker, tape; null = utterances")
    callsign_column: str | None = param("column with the true call sign in ICAO form; null = from the reference")
    operators: str | None = param("CSV (icao,telephony) of operators added to those of the package; null = none")
    normalize_hypotheses: bool = param("normalise another recogniser's texts; false refuses them")
    estimate_snr: bool = param("read the audio for slices by signal-to-noise ratio")
    slice_columns: list[str] = param("manifest columns to slice by, where present")


class ScoreFlags(Flags):
    """Compare hypotheses with references: rates with confidence intervals.

    Reads   ref_manifest     CSV or JSONL manifests with the references
            hyp_file         decode.jsonl
    Writes  metrics_file     a dozen numbers for `dvc metrics`, rates in per cent
            scorecard_file   all rates with intervals and populations, JSON
            alignments_file  every utterance, reference above hypothesis
    if given
            slices_file      CSV, WER by slice with intervals
            confusions_file  CSV, substitutions among the most confused words, one a row
            words_file       CSV, recall of every word and its confusions
            corpora_file     WER over all and of every corpus for `dvc metrics`, per cent
    """

    ref_manifest: list[Path] = argument("manifests with the references")
    hyp_file: Path = argument("hypotheses, decode.jsonl")
    metrics_file: Path = argument("metrics to write, JSON", output=True)
    scorecard_file: Path = argument("scorecard to write, JSON", output=True)
    alignments_file: Path = argument("alignments to write, text", output=True)
    slices_file: Path | None = argument("WER by slice to write, CSV", None, output=True)
    confusions_file: Path | None = argument("confused words to write, CSV", None, output=True)
    words_file: Path | None = argument("recall of words to write, CSV", None, output=True)
    corpora_file: Path | None = argument("WER of every corpus to write, JSON", None, output=True)
