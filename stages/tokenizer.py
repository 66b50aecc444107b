"""tokenizer: the output units, from the train transcripts.

Reads   train_manifest  CSV or JSONL, one or several
        spm_model       an existing SentencePiece model instead of a learnt one (tokenizer.tokenizer_type: spm)
Writes  out_dir         tokens.txt, a unit a line, the CTC blank first; spm.model for SentencePiece
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core.cli import Door, enter
from atc_asr.core.files import new_folder
from atc_asr.core.manifest import read_manifests
from atc_asr.tokenizer.params import TokenizerParams
from atc_asr.tokenizer.tokens import build_tokens

log = logging.getLogger(__name__)

SECTIONS = (TokenizerParams,)


def run(
    params: TokenizerParams, *, train_manifest: Sequence[Path], out_dir: Path, spm_model: Path | None = None
) -> None:
    """Write the output units of the train transcripts.

    Raises:
        InputError: a manifest or the SentencePiece model cannot be used.
    """
    tokens = build_tokens(params, [row.transcript for row in read_manifests(train_manifest)], spm_model)
    with new_folder(out_dir) as folder:
        tokens.save(folder)
    log.info("%s: %d %s units, blank included", out_dir, len(tokens), tokens.kind)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--train_manifest", nargs="+", required=True, help="train manifests, CSV or JSONL")
    door.path("--out_dir", required=True, help="folder for the units")
    door.path("--spm_model", help="SentencePiece model to use as it is")
    args = door.parse(argv)
    paths = args.paths
    run(*args.sections, train_manifest=paths.train_manifest, out_dir=paths.out_dir, spm_model=paths.spm_model)


if __name__ == "__main__":
    enter(main)
