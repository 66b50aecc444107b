"""export: any corpus -> 16 kHz mono WAVs and manifests, checked.

Reads   export.corpus    synthetic (built in), a Hub data set, or a local folder
Writes  out_dir/<config> wavs/, train.csv, valid.csv, test.csv, rejected.csv, stats.json, histograms/
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import workers
from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.corpus.exporter import SubsetSpec, export
from atc_asr.corpus.ids import read_ids
from atc_asr.corpus.ldc import open_ldc
from atc_asr.corpus.manifest_source import open_listed
from atc_asr.corpus.params import CheckParams, ExportParams, SyntheticParams
from atc_asr.corpus.radio import RadioParams
from atc_asr.corpus.source import Source
from atc_asr.corpus.synthetic import SyntheticSource
from atc_asr.corpus.validation import SplitSpec, Validation

SYNTHETIC = "synthetic"


SECTIONS = (ExportParams, CheckParams, SyntheticParams, RadioParams)


def run(
    params: ExportParams,
    checks: CheckParams,
    synthetic: SyntheticParams,
    radio: RadioParams,
    *,
    out_dir: Path,
    processes: int | None = None,
) -> None:
    """Export every configuration to its folder under `out_dir`.

    Args:
        processes: None = one for each core.

    Raises:
        InputError: the corpus cannot be had, or its data break a rule.
    """
    if not params.configs or len(set(params.configs)) < len(params.configs):
        raise InputError(f"export.configs: got {params.configs}, wanted one or more different names")
    regroup = None
    if params.split_by:
        regroup = SplitSpec(
            params.split_by, {"valid": params.valid_fraction, "test": params.test_fraction}, params.split_seed
        )
    sources = open_sources(params, synthetic, radio)
    if params.id_pattern:
        sources = {config: read_ids(source, params.id_pattern) for config, source in sources.items()}
    export(
        sources,
        out_dir=out_dir,
        cut=SubsetSpec(params.train_fraction, params.validation_samples),
        gate=Validation(checks, params.max_rejected),
        regroup=regroup,
        processes=processes or workers.available_cores(),
    )


def open_sources(params: ExportParams, synthetic: SyntheticParams, radio: RadioParams) -> dict[str, Source]:
    """Configuration -> its source."""
    if params.corpus == SYNTHETIC:
        if len(params.configs) > 1:
            raise InputError(f"export.configs: got {params.configs}, wanted one name for the synthetic corpus")
        return {params.configs[0]: SyntheticSource(synthetic, radio)}
    splits = {"train": params.train_split, "valid": params.valid_split, "test": params.test_split}
    if params.layout == "datasets":
        from atc_asr.corpus.hub import Columns, open_hub

        columns = Columns(params.audio_column, params.text_column, params.id_column, tuple(params.columns))
        return {
            config: open_hub(params.corpus, config, revision=params.revision, splits=splits, columns=columns)
            for config in params.configs
        }
    if params.layout == "manifests":
        return {config: open_listed(params.corpus, config, splits=splits) for config in params.configs}
    return {config: open_ldc(params.corpus, config) for config in params.configs}


def main(argv: Sequence[str] | None = None) -> None:
    door = Door(__doc__, sections=SECTIONS)
    door.path("--out_dir", default=Path("data/atc0"), help="folder for the configurations' folders (data/atc0)")
    door.path("--config", type=str, help="one configuration: the same as --configs with one name")
    door.path("--processes", type=int, help="processes to work with; changes no output (one for each core)")
    args = door.parse(argv)
    params, *others = args.sections
    if args.paths.config is not None:
        params = dataclasses.replace(params, configs=[args.paths.config])
    if args.paths.processes is not None and args.paths.processes < 1:
        raise InputError(f"--processes: got {args.paths.processes}, wanted at least 1")
    run(params, *others, out_dir=args.paths.out_dir, processes=args.paths.processes)


if __name__ == "__main__":
    enter(main)
