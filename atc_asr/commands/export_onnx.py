"""Command export_onnx: a trained recogniser -> one ONNX file, compared with the recogniser in onnxruntime."""

import logging
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import cli, messages
from atc_asr.core.config import Flags, argument
from atc_asr.core.outputs import check_file

log = logging.getLogger(__name__)


class ExportOnnxFlags(Flags):
    """Export a trained recogniser as one ONNX file, and compare it with the recogniser.

    The file has waveforms as input, log-probabilities as output, and tokens, sample rate and frame as metadata.
    """

    checkpoint_dir: Path = argument("run folder of stages.train, or a copy of it")
    trust: bool = argument("execute the run folder's hyperparams.yaml, which can run any code (read it as data)", False)
    out_file: Path = argument("the ONNX file", output=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Export a run folder.

    Raises:
        InputError: the folder cannot be used, or the outputs of onnxruntime differ.
    """
    (flags,) = cli.parse(argv, ExportOnnxFlags)
    # Imported here because --help needs neither torch nor onnx.
    from atc_asr.deploy import onnx_export
    from atc_asr.model.run_folder import load_recognizer

    check_file(flags.out_file, onnx_export.LIKE)
    recognizer = load_recognizer(flags.checkpoint_dir, device="cpu", trust=flags.trust)
    difference = onnx_export.export(recognizer, flags.out_file)
    log.info(messages.ONNX_DONE, flags.out_file, flags.out_file.stat().st_size / 1e6, difference)


if __name__ == "__main__":
    cli.enter(main)
