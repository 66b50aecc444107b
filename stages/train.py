"""train: manifests and tokens -> a run folder with a trained recogniser."""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import cli, outputs
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, read_manifests
from atc_asr.core.params import CorporaParams
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.params import TokenizerParams
from atc_asr.tokenizer.tokens import Tokens, build_tokens
from atc_asr.tracking import sweep_csv
from atc_asr.tracking.params import RecordParams
from atc_asr.training.params import AugmentParams, LoraParams, TrainFlags, TrainParams


def load_tokens(params: TokenizerParams, flags: TrainFlags, train_set: Sequence[Utterance]) -> Tokens:
    """The tokens of `--tokenizer_dir`, else tokens built from the train set or `--spm_model`.

    Raises:
        InputError: both flags are given, or the tokens cannot be used.
    """
    if flags.tokenizer_dir is None:
        return build_tokens(params, [row.transcript for row in train_set], flags.spm_model)
    if flags.spm_model is not None:
        raise InputError("--spm_model: given with --tokenizer_dir, wanted one of them")
    return Tokens.load(flags.tokenizer_dir)


def run_name(labels: RecordParams, started: datetime.datetime) -> str:
    """Name of the run folder in `--output_dir`."""
    return f"{labels.model_name}_{started:%Y%m%d_%H%M%S}"


def run(
    train: TrainParams,
    model: ModelParams,
    specaugment: SpecAugmentParams,
    augment: AugmentParams,
    lora: LoraParams,
    tokenizer: TokenizerParams,
    corpora: CorporaParams,
    labels: RecordParams,
    flags: TrainFlags,
) -> None:
    """Trains, evaluates and writes the run folder.

    Raises:
        InputError: an input cannot be used.
    """
    # Imported here so that errors in flags are reported before torch is loaded.
    from atc_asr.model.network import HPARAMS_FILE
    from atc_asr.model.run_folder import load_recognizer
    from atc_asr.training import distributed, mixture, run_record, staging, training
    from atc_asr.training.config import TrainingConfig, select_train, training_key
    from atc_asr.training.evaluation import evaluate
    from atc_asr.training.guard import make_guard

    now = datetime.datetime.now()
    train = train.model_copy(update={"num_processes": distributed.check_num_processes(train.num_processes)})
    if distributed.launched_rank():  # of torchrun's processes the first one reads the inputs and writes the run folder
        training.train_process(None)
        return
    with distributed.broadcast_errors():
        if flags.lm_weight:
            raise InputError("--lm_weight: training decodes without a language model; wanted stages.decode --lm_weight")
        # Refuses what cannot be written or read before hours of training.
        if flags.metrics_csv is not None:
            sweep_csv.read_sweep(flags.metrics_csv)
        if flags.metrics_file is not None:
            outputs.check_file(flags.metrics_file, run_record.METRICS_LIKE)
        staging.check_run_dir(flags.run_dir or flags.output_dir / run_name(labels, now))
        export = run_record.export_limits(flags)
        train_set, valid_set, used = mixture.select(
            read_manifests(flags.train_manifest), read_manifests(flags.valid_manifest), corpora
        )
        train_set = select_train(train_set, train)
        sets = {"valid": mixture.without_guards(valid_set, used)}
        if flags.test_manifest and not flags.skip_test:
            test_set = read_manifests(flags.test_manifest)
            sets["test"] = mixture.without_guards(test_set, used) or test_set
        tokens = load_tokens(tokenizer, flags, train_set)
        hparams = flags.hparams_file or HPARAMS_FILE
        config = TrainingConfig(train, model, specaugment, augment, lora, tokens, train_set, valid_set, hparams, used)
        guard = make_guard(config)
        key = training_key(config)

    dvc_root = os.environ.get("DVC_ROOT")  # the project's folder, set by DVC for its commands
    parent = flags.run_dir.parent if flags.run_dir else flags.output_dir
    parent = staging.staging_parent(parent, Path(dvc_root) if dvc_root else None)
    with staging.locked_staging_dir(parent, key) as folder:
        started = staging.first_started(folder, now)
        run_dir = flags.run_dir or flags.output_dir / run_name(labels, started)
        if staging.can_finish(folder, run_dir):  # killed while it was published
            if distributed.launched():
                training.train_process(None)
        else:
            result = training.train(config, folder)
            recognizer = load_recognizer(folder, device=result.device, trust=True)  # written by this process
            seconds = result.stats["batch_seconds"]
            scores = {
                split: evaluate(recognizer, rows, beam_size=train.eval_beam_size, batch_seconds=seconds)
                for split, rows in sets.items()
            }
            guard_wers = guard.measure(recognizer, seconds)
            finished = run_record.Run(config, labels, export, result, scores, run_dir, started, guard_wers)
            run_record.write(folder, finished, metrics_file=flags.metrics_file, metrics_csv=flags.metrics_csv)
        staging.publish(folder, run_dir)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the stage's command line."""
    sections = (TrainParams, ModelParams, SpecAugmentParams, AugmentParams, LoraParams, TokenizerParams)
    run(*cli.parse(argv, *sections, CorporaParams, RecordParams, TrainFlags))


if __name__ == "__main__":
    cli.enter(main)
