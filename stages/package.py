"""Stage package: run folder, language model, calibration and settings -> one folder that transcribes without torch."""

import logging
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import cli, messages
from atc_asr.core.documents import read_json
from atc_asr.core.files import read_text
from atc_asr.core.outputs import check_folder, new_folder
from atc_asr.core.params import OperatorsParams
from atc_asr.decoding.params import DecodeParams
from atc_asr.deploy import recognizer_folder
from atc_asr.deploy.params import PackageFlags
from atc_asr.posteriors.params import PosteriorsParams
from atc_asr.transcribe.params import SegmentParams

log = logging.getLogger(__name__)

USE = """
## Use

```bash
atc-asr transcribe THIS_FOLDER recording.wav
```

The program and its installation: the project that wrote this folder. Nothing in the folder is executed: `network.onnx`
has waveforms as input and log-probabilities as output, `lm/` holds lexicon and n-gram, `params.yaml` the settings.
"""


def make_card(run_card: Path, params: DecodeParams, metrics_file: Path | None) -> str:
    """README.md: the run's card with the search, its error rate on test, and the use of this folder."""
    card = read_text(run_card).partition("\n## Use\n")[0] if run_card.is_file() else "# Recogniser\n"
    card = card.replace("library_name: speechbrain", "library_name: onnx", 1)
    card += f"\n## Search\n\n`{params.search}`, beam width {params.beam_size}, n-gram weight {params.lm_weight:g}."
    if metrics_file is not None:
        metrics = read_json(metrics_file)
        names = {"wer": "word error rate", "wer_low": "low", "wer_high": "high", "callsign": "call signs correct"}
        rates = {name: f"{metrics[key]:.1f} %" for key, name in names.items() if metrics.get(key) is not None}
        card += " On test: " + ", ".join(f"{name} {rate}" for name, rate in rates.items()) + "."
    return card + "\n" + USE


def run(
    decode: DecodeParams,
    posteriors: PosteriorsParams,
    segment: SegmentParams,
    operators: OperatorsParams,
    flags: PackageFlags,
) -> None:
    """Write the recogniser folder.

    Raises:
        InputError: a file cannot be used, or the ONNX file has other outputs than the network.
    """
    check_folder(flags.out_dir, recognizer_folder.NAMES)
    # Imported here so that errors in flags are reported before torch is loaded.
    from atc_asr.deploy.onnx_export import export
    from atc_asr.model.run_folder import README, load_recognizer

    recognizer = load_recognizer(flags.checkpoint_dir, device="cpu", trust=flags.trust)
    card = make_card(flags.checkpoint_dir / README, decode, flags.metrics_file)
    inside = operators.model_copy(update={"operators": None})
    with new_folder(flags.out_dir, recognizer_folder.NAMES) as folder:
        if flags.lm_dir is not None:
            recognizer_folder.copy_lm(flags.lm_dir, folder)
        if flags.calibration is not None:
            recognizer_folder.copy(flags.calibration, folder / recognizer_folder.CALIBRATION)
        if operators.operators is not None:
            recognizer_folder.copy(Path(operators.operators), folder / recognizer_folder.OPERATORS)
        recognizer.tokens.save(folder)
        difference = export(recognizer, folder / recognizer_folder.NETWORK)
        recognizer_folder.finish(folder, (decode, posteriors, segment, inside), card)
        recognizer_folder.open_folder(folder)
    log.info(messages.PACKAGE_DONE, flags.out_dir, difference)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, DecodeParams, PosteriorsParams, SegmentParams, OperatorsParams, PackageFlags))


if __name__ == "__main__":
    cli.enter(main)
