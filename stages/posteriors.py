"""posteriors: run the network over a split once, so that search parameters rerun only the search.

Reads   checkpoint_dir  run folder of stages.train
        manifest        CSV or JSONL with id,wav,duration,transcript; several make one file
Writes  out_file        log-probabilities as float16, one file (asr.decoding.posteriors)
"""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from asr.corpus.manifest import read_manifests
from asr.decoding.posteriors import PosteriorsMeta, PosteriorsParams, compute_log_probs, write_posteriors
from asr.door import Door, enter

SECTIONS = (PosteriorsParams,)


def run(params: PosteriorsParams, *, checkpoint_dir: Path, manifest: Sequence[Path], out_file: Path) -> None:
    """Store the log-probabilities of every utterance of the manifests.

    Raises:
        InputError: the run folder, a manifest or an audio file cannot be used.
    """
    import torch

    from asr.model.run_folder import load_recognizer

    utterances = read_manifests(manifest)
    recognizer = load_recognizer(checkpoint_dir, device="cuda" if torch.cuda.is_available() else "cpu")
    meta = PosteriorsMeta(
        tuple(utterance.id for utterance in utterances),
        tuple(utterance.duration for utterance in utterances),
        recognizer.tokens.symbols,
        recognizer.frame_seconds,
    )
    rows = compute_log_probs(recognizer, utterances, params.batch_seconds)
    write_posteriors(out_file, meta, tqdm(rows, total=len(utterances), desc="posteriors", disable=None))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--checkpoint_dir", required=True, help="run folder of stages.train")
    door.path("--manifest", nargs="+", required=True, help="manifests, CSV or JSONL")
    door.path("--out_file", required=True, help="file of log-probabilities (.npz)")
    args = door.parse(argv)
    run(
        *args.sections,
        checkpoint_dir=args.paths.checkpoint_dir,
        manifest=args.paths.manifest,
        out_file=args.paths.out_file,
    )


if __name__ == "__main__":
    enter(main)
