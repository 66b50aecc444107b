"""Stage tokenizer: train transcripts -> output tokens."""

import logging
from collections.abc import Sequence

from atc_asr.core import cli, messages
from atc_asr.core.manifest import read_manifests
from atc_asr.core.outputs import new_folder
from atc_asr.tokenizer.params import TokenizerFlags, TokenizerParams
from atc_asr.tokenizer.tokens import SPM_FILE, TOKENS_FILE, build_tokens

log = logging.getLogger(__name__)


def run(params: TokenizerParams, flags: TokenizerFlags) -> None:
    """Write the output tokens of the train transcripts.

    Raises:
        InputError: a manifest or the SentencePiece model cannot be used.
    """
    tokens = build_tokens(params, [row.transcript for row in read_manifests(flags.train_manifest)], flags.spm_model)
    with new_folder(flags.out_dir, (TOKENS_FILE, SPM_FILE)) as folder:
        tokens.save(folder)
    log.info(messages.TOKENIZER_DONE, flags.out_dir, len(tokens), tokens.kind)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, TokenizerParams, TokenizerFlags))


if __name__ == "__main__":
    cli.enter(main)
