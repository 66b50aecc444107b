"""export_onnx: a trained recogniser -> one ONNX file, tried in onnxruntime.

Reads   checkpoint_dir  run folder of stages.train, or one brought by `dvc get`
Writes  out_file        waveforms in, log-probabilities out; units, rate and frame in its metadata
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core.cli import Door, enter
from atc_asr.deploy import onnx_export
from atc_asr.model.run_folder import load_recognizer

SECTIONS = ()

log = logging.getLogger(__name__)


def run(*, checkpoint_dir: Path, out_file: Path) -> None:
    """Export a run folder.

    Raises:
        InputError: the folder cannot be used, or onnxruntime disagrees with it.
    """
    difference = onnx_export.export(load_recognizer(checkpoint_dir, device="cpu"), out_file)
    size = out_file.stat().st_size / 1e6
    log.info("%s: %.1f MB, log-probabilities within %.1e of the recogniser's", out_file, size, difference)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the tool."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--checkpoint_dir", required=True, help="run folder")
    door.path("--out_file", required=True, help="the ONNX file")
    args = door.parse(argv)
    run(checkpoint_dir=args.paths.checkpoint_dir, out_file=args.paths.out_file)


if __name__ == "__main__":
    enter(main)
