"""export: any corpus -> 16 kHz mono WAVs and manifests, checked.

Reads   export.corpus    synthetic (built in), a Hub data set, or a local folder
Writes  out_dir/<config> wavs/, train.csv, valid.csv, test.csv, rejected.csv, stats.json, histograms/
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from asr.corpus import workers
from asr.corpus.checks import CheckParams
from asr.corpus.exporter import Cut, export
from asr.corpus.gate import Gate, Regroup
from asr.corpus.ids import read_ids
from asr.corpus.ldc import open_ldc
from asr.corpus.listed import open_listed
from asr.corpus.radio import RadioParams
from asr.corpus.source import Source
from asr.corpus.synthetic import SyntheticParams, SyntheticSource
from asr.door import Door, enter
from asr.errors import InputError
from asr.params import option

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class ExportParams:
    """Which corpus, how much of it, and how its columns and splits are called."""

    section: ClassVar[str] = "export"
    corpus: str = option("synthetic, a Hub data set (owner/name) or a local path")
    layout: str = option("how a corpus that is not synthetic is laid out", choices=("datasets", "manifests", "ldc"))
    configs: list[str] = option("configurations to export, each to its own folder")
    revision: str | None = option("commit or tag of a Hub data set; null = newest")
    train_split: str | None = option("the corpus's name for train, a+b joins two; null = none")
    valid_split: str | None = option("the corpus's name for valid; null = none")
    test_split: str | None = option("the corpus's name for test; null = none")
    audio_column: str = option("column with the audio")
    text_column: str = option("column with the transcript")
    id_column: str = option("column with the id; path = name of the audio file, content = a hash")
    id_pattern: str | None = option(
        "regular expression whose named groups in the corpus's ids become columns; null = off"
    )
    columns: list[str] = option("further columns to keep: speaker, tape, callsign …")
    train_fraction: float = option("first fraction of train to export", above=0, high=1)
    validation_samples: int = option("first rows of valid to export; 0 = all", low=0)
    split_by: str | None = option("column whose groups stay whole when valid or test is taken out of train; null = off")
    valid_share: float = option("share of train that becomes valid under split_by", low=0, high=0.9)
    test_share: float = option("share of train that becomes test under split_by", low=0, high=0.9)
    split_seed: int = option("of the draw of groups", low=0)
    max_rejected: float = option("share of a split that may be rejected", low=0, high=1)


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
        regroup = Regroup(params.split_by, {"valid": params.valid_share, "test": params.test_share}, params.split_seed)
    sources = open_sources(params, synthetic, radio)
    if params.id_pattern:
        sources = {config: read_ids(source, params.id_pattern) for config, source in sources.items()}
    export(
        sources,
        out_dir=out_dir,
        cut=Cut(params.train_fraction, params.validation_samples),
        gate=Gate(checks, params.max_rejected),
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
        from asr.corpus.hub import Columns, open_hub  # brings pyarrow, which the workers of other corpora can spare

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
