"""Command deploy_sherpa: a trained recogniser -> the files that sherpa-onnx loads."""

import logging
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import cli, messages
from atc_asr.core.config import Flags, argument

log = logging.getLogger(__name__)


class DeploySherpaFlags(Flags):
    """Export a trained recogniser for sherpa-onnx, and compare it with the recogniser.

    Writes  out_dir/model.onnx, out_dir/tokens.txt

    OfflineRecognizer.from_omnilingual_asr_ctc(model=…, tokens=…) loads them in Python, the option
    --omnilingual-asr-model in other programs. The search there is greedy, without lexicon and language model.
    """

    checkpoint_dir: Path = argument("run folder of stages.train, or a copy of it", positional=True)
    out_dir: Path = argument("folder for model.onnx and tokens.txt", positional=True, output=True)
    trust: bool = argument("execute the run folder's hyperparams.yaml, which can run any code (read it as data)", False)


def main(argv: Sequence[str] | None = None) -> None:
    """Export a run folder.

    Raises:
        InputError: the folder cannot be used, or the outputs of onnxruntime differ.
    """
    (flags,) = cli.parse(argv, DeploySherpaFlags)
    # Imported here because --help needs neither torch nor onnx.
    from atc_asr.core.outputs import check_folder
    from atc_asr.deploy import sherpa
    from atc_asr.model.run_folder import load_recognizer

    check_folder(flags.out_dir, sherpa.NAMES)
    recognizer = load_recognizer(flags.checkpoint_dir, device="cpu", trust=flags.trust)
    difference = sherpa.export(recognizer, flags.out_dir)
    log.info(messages.SHERPA_DONE, flags.out_dir, difference)


if __name__ == "__main__":
    cli.enter(main)
