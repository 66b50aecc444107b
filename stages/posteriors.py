"""Stage posteriors: run the network over a split once, so that another search setting reruns only the search."""

from collections.abc import Sequence

from tqdm import tqdm

from atc_asr.core import cli
from atc_asr.core.outputs import check_file
from atc_asr.posteriors.params import PosteriorsFlags, PosteriorsParams
from atc_asr.posteriors.store import LIKE, write_posteriors


def run(params: PosteriorsParams, flags: PosteriorsFlags) -> None:
    """Store the log-probabilities of every utterance of the manifests.

    Raises:
        InputError: the run folder, a manifest or an audio file cannot be used.
    """
    check_file(flags.out_file, LIKE)
    # Imported here so that errors in flags are reported before torch is loaded.
    from atc_asr.posteriors.forward import run_network

    meta, _, rows = run_network(
        flags.checkpoint_dir, flags.manifest, batch_seconds=params.batch_seconds, trust=flags.trust
    )
    write_posteriors(flags.out_file, meta, tqdm(rows, total=len(meta.ids), desc="posteriors", disable=None))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, PosteriorsParams, PosteriorsFlags))


if __name__ == "__main__":
    cli.enter(main)
