"""Flags of the stage package."""

from pathlib import Path

from atc_asr.core.config import Flags, argument


class PackageFlags(Flags):
    """Put all that a transcription needs into one folder, which runs without torch and without this repository.

    Reads   checkpoint_dir  run folder of stages.train
            lm_dir          lexicon and n-gram of stages.lm
            calibration     calibration of stages.calibrate
            metrics_file    metrics of stages.score on test, for the model card
    Writes  out_dir         recogniser folder (atc_asr/deploy/recognizer_folder.py): transcribe OUT_DIR recording.wav
    """

    checkpoint_dir: Path = argument("run folder of stages.train, or a copy of it")
    trust: bool = argument("execute the run folder's hyperparams.yaml, which can run any code (read it as data)", False)
    lm_dir: Path | None = argument("language model folder of stages.lm", None)
    calibration: Path | None = argument("calibration of stages.calibrate for the word confidences", None)
    metrics_file: Path | None = argument("metrics of stages.score on test, JSON", None)
    out_dir: Path = argument("recogniser folder", output=True)
