"""The stage export: any corpus -> validated 16 kHz mono WAVs and manifests."""

from collections.abc import Sequence

from atc_asr.core import cli, workers
from atc_asr.corpus.params import CheckParams, ExportFlags, ExportParams, SyntheticParams


def run(params: ExportParams, checks: CheckParams, synthetic: SyntheticParams, flags: ExportFlags) -> None:
    """Export every configuration to its folder under `flags.out_dir`.

    Raises:
        InputError: the corpus cannot be opened, or its data fail validation.
    """
    # Imported here because --help needs neither scipy nor soundfile.
    from atc_asr.corpus.exporter import export
    from atc_asr.corpus.readers import open_sources

    if flags.config is not None:
        params = params.model_copy(update={"configs": [flags.config]})
    processes = flags.processes or workers.available_cores()
    export(open_sources(params, synthetic), params, checks, out_dir=flags.out_dir, processes=processes)


def main(argv: Sequence[str] | None = None) -> None:
    run(*cli.parse(argv, ExportParams, CheckParams, SyntheticParams, ExportFlags))


if __name__ == "__main__":
    cli.enter(main)
