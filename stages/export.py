"""The stage export: any corpus -> validated 16 kHz mono WAVs and manifests; several corpora -> joined manifests."""

from collections.abc import Sequence

from atc_asr.core import cli, workers
from atc_asr.core.errors import InputError
from atc_asr.core.params import CorporaParams, OperatorsParams
from atc_asr.corpus.named import check_corpora, sections_of
from atc_asr.corpus.params import CheckParams, ExportFlags, ExportParams, SyntheticParams


def run(
    params: ExportParams,
    checks: CheckParams,
    synthetic: SyntheticParams,
    corpora: CorporaParams,
    operators: OperatorsParams,
    flags: ExportFlags,
) -> None:
    """Export every configuration of a corpus to its folder under `flags.out_dir`, or join the exports of all corpora.

    Raises:
        InputError: the corpus cannot be opened, or its data fail validation.
    """
    # Imported here because --help needs neither scipy nor soundfile.
    from atc_asr.corpus.exporter import export
    from atc_asr.corpus.join import join
    from atc_asr.corpus.readers import open_sources

    if flags.name is not None:
        params, checks, synthetic = sections_of(flags.name, corpora, (params, checks, synthetic))
    if flags.config is not None:
        params = params.model_copy(update={"configs": [flags.config]})
    if params.corpus is None:
        if flags.shard is not None:
            raise InputError(f"--shard: got {flags.shard} for the join of all corpora, wanted one of them with --name")
        check_corpora(corpora, (params, checks, synthetic))
        if len(params.configs) != 1:
            raise InputError(f"export.configs: got {params.configs}, wanted one name for the joined corpora")
        join(
            corpora.by_name, corpora_dir=flags.corpora_dir, out_dir=flags.out_dir, config=params.configs[0],
            allow_leakage=checks.allow_leakage,
        )  # fmt: skip
        return
    processes = flags.processes or workers.available_cores()
    sources = open_sources(params, synthetic, flags.name, operators.operators)
    export(sources, params, checks, out_dir=flags.out_dir, processes=processes, shard=flags.shard)


def main(argv: Sequence[str] | None = None) -> None:
    run(*cli.parse(argv, ExportParams, CheckParams, SyntheticParams, CorporaParams, OperatorsParams, ExportFlags))


if __name__ == "__main__":
    cli.enter(main)
