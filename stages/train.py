"""train: manifests and output units -> a run folder with a trained recogniser.

Reads   train_manifest, valid_manifest, test_manifest   CSV or JSONL; train and the others may be several
        tokenizer_dir   units of stages.tokenizer; not given: made here, from the train manifest or --spm_model
        hparams_file    HyperPyYAML of the network (atc_asr/model/conformer_ctc.yaml)
Writes  run_dir         the run folder (atc_asr/model/run_folder.py);
                        not given: <output_dir>/<model_name>_<YYYYmmdd_HHMMSS>
        metrics_file    the numbers alone, for `dvc metrics`
        metrics_csv     one row appended, in the 32 columns of the Whisper sweeps

A killed training goes on from its last checkpoint when the same training is asked for again.
"""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, read_manifests
from atc_asr.model.network import HPARAMS_FILE
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.model.run_folder import load_recognizer
from atc_asr.tokenizer.params import TokenizerParams
from atc_asr.tokenizer.tokens import Tokens, build_tokens
from atc_asr.tracking import record
from atc_asr.tracking.params import RecordParams
from atc_asr.training import distributed, run_record, staging, training
from atc_asr.training.evaluation import evaluate
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams

SECTIONS = (TrainParams, ModelParams, SpecAugmentParams, AugmentParams, LoraParams, TokenizerParams, RecordParams)


@dataclass(frozen=True)
class Places:
    """Where a training reads and writes."""

    train_manifest: Sequence[Path]
    valid_manifest: Sequence[Path]
    test_manifest: Sequence[Path] | None
    tokenizer_dir: Path | None
    spm_model: Path | None
    hparams_file: Path
    output_dir: Path
    run_dir: Path | None
    metrics_file: Path | None
    metrics_csv: Path | None
    dvc_root: Path | None


def load_tokens(params: TokenizerParams, places: Places, train_set: Sequence[Utterance]) -> Tokens:
    """The units of the tokenizer stage, or units made here."""
    if places.tokenizer_dir is None:
        return build_tokens(params, [row.transcript for row in train_set], places.spm_model)
    if places.spm_model is not None:
        raise InputError("--spm_model: given with --tokenizer_dir, wanted one of them")
    return Tokens.load(places.tokenizer_dir)


def work_home(parent: Path, dvc_root: Path | None) -> Path:
    """Where unfinished trainings lie: beside the run folder, in `parent`; for a queued experiment, whose copy of the
    project is gone with its worker, in the same folder of the project that queued it."""
    parent = parent.absolute()
    if dvc_root is None or not parent.is_relative_to(Path.cwd()):
        return parent
    return dvc_root / parent.relative_to(Path.cwd())


def run(
    train: TrainParams,
    model: ModelParams,
    specaugment: SpecAugmentParams,
    augment: AugmentParams,
    lora: LoraParams,
    tokenizer: TokenizerParams,
    labels: RecordParams,
    *,
    places: Places,
    slicing: run_record.Slicing,
) -> Path:
    """Train, evaluate and write the run folder; returns it.

    Raises:
        InputError: an input cannot be used.
    """
    now = datetime.datetime.now()
    if places.metrics_csv is not None:
        record.read_sweep(places.metrics_csv)  # another header is refused before hours of training
    train_set = training.select_train(read_manifests(places.train_manifest), train)
    valid_set = read_manifests(places.valid_manifest)
    test_set = read_manifests(places.test_manifest) if places.test_manifest else []
    tokens = load_tokens(tokenizer, places, train_set)
    setup = training.Setup(train, model, specaugment, augment, lora, tokens, train_set, valid_set, places.hparams_file)

    home = work_home(places.run_dir.parent if places.run_dir else places.output_dir, places.dvc_root)
    with staging.locked_staging_dir(home, training.training_key(setup)) as work_dir:
        started = staging.first_started(work_dir, now)
        run_dir = places.run_dir or places.output_dir / f"{labels.model_name}_{started:%Y%m%d_%H%M%S}"
        outcome = training.train(setup, work_dir)
        recognizer = load_recognizer(work_dir, device=outcome.device)
        scores = {
            split: evaluate(recognizer, rows, beam_size=train.beam_size, batch_seconds=outcome.stats["batch_seconds"])
            for split, rows in (("valid", valid_set), ("test", test_set))
            if rows
        }
        run_record.write(
            work_dir,
            run_record.Run(
                setup, labels, run_record.sliced(slicing, places.train_manifest[0]), outcome, scores, run_dir, started
            ),
            metrics_file=places.metrics_file,
            metrics_csv=places.metrics_csv,
        )
        staging.publish(work_dir, run_dir)
    return run_dir


@distributed.under_torchrun()
def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--train_manifest", nargs="+", required=True, help="train manifests, CSV or JSONL")
    door.path("--valid_manifest", nargs="+", required=True, help="validation manifests, CSV or JSONL")
    door.path("--test_manifest", nargs="+", help="test manifests, CSV or JSONL")
    door.path("--skip_test", action="store_true", help="compute only the validation WER")
    door.path("--tokenizer_dir", help="units of stages.tokenizer (made from the train manifest)")
    door.path("--spm_model", help="SentencePiece model, with --tokenizer_type spm")
    door.path("--hparams_file", default=HPARAMS_FILE, help="HyperPyYAML of the network (conformer_ctc.yaml)")
    door.path("--output_dir", default=Path("models"), help="folder for run folders (models)")
    door.path("--run_dir", help="the run folder itself (<output_dir>/<model_name>_<YYYYmmdd_HHMMSS>)")
    door.path("--metrics_file", help="numbers of the run for `dvc metrics`")
    door.path("--metrics_csv", help="CSV of a sweep to append the run to")
    door.path("--train_fraction", type=float, help="recorded: share of train that the export kept (its stats.json)")
    door.path("--validation_samples", type=int, help="recorded: cap of the export on valid (its stats.json)")
    door.path("--lm_weight", type=float, help="reserved by the specification: only 0; see stages.decode --lm_weight")
    args = door.parse(argv)
    train_params, *others = args.sections
    train_params = replace(train_params, num_processes=distributed.number_of(train_params.num_processes))
    if distributed.launched_rank():  # torchrun: the first process has the rest to do
        training.train_together(None)
        return
    paths = vars(args.paths)
    if paths.pop("lm_weight"):
        raise InputError("--lm_weight: training decodes without a language model; wanted stages.decode --lm_weight")
    slicing = run_record.Slicing(paths.pop("train_fraction"), paths.pop("validation_samples"))
    if paths.pop("skip_test"):
        paths["test_manifest"] = None
    dvc_root = os.environ.get("DVC_ROOT")  # set by DVC for its commands: the project, not an experiment's copy of it
    places = Places(**paths, dvc_root=Path(dvc_root) if dvc_root else None)
    run(train_params, *others, places=places, slicing=slicing)


if __name__ == "__main__":
    enter(main)
