"""posteriors: run the network over a split once, so that search parameters rerun only the search.

Reads   checkpoint_dir  run folder of stages.train
        manifest        CSV or JSONL with id,wav,duration,transcript; several make one file
Writes  out_file        log-probabilities as float16, one file (atc_asr.posteriors.store)
"""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from atc_asr.core.cli import Door, enter
from atc_asr.posteriors.params import PosteriorsParams
from atc_asr.posteriors.store import write_posteriors

SECTIONS = (PosteriorsParams,)


def run(params: PosteriorsParams, *, checkpoint_dir: Path, manifest: Sequence[Path], out_file: Path) -> None:
    """Store the log-probabilities of every utterance of the manifests.

    Raises:
        InputError: the run folder, a manifest or an audio file cannot be used.
    """
    # Here and not above: the flags are checked before torch is loaded.
    from atc_asr.posteriors.forward import run_network

    meta, _, rows = run_network(checkpoint_dir, manifest, hparams_file=None, batch_seconds=params.batch_seconds)
    write_posteriors(out_file, meta, tqdm(rows, total=len(meta.ids), desc="posteriors", disable=None))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--checkpoint_dir", required=True, help="run folder of stages.train")
    door.path("--manifest", nargs="+", required=True, help="manifests, CSV or JSONL")
    door.path("--out_file", required=True, help="file of log-probabilities (.npz)")
    args = door.parse(argv)
    run(*args.sections, **vars(args.paths))


if __name__ == "__main__":
    enter(main)
