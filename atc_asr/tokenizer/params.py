"""Parameters and flags of the stage tokenizer."""

from pathlib import Path
from typing import ClassVar, Literal

from atc_asr.core.config import Flags, Section, argument, param


class TokenizerParams(Section):
    """Output tokens."""

    section: ClassVar[str] = "tokenizer"
    tokenizer_type: Literal["char", "spm"] = param("char or spm (SentencePiece)")
    vocab_size: int = param("SentencePiece vocabulary size, blank included; spm only", ge=8)


class TokenizerFlags(Flags):
    """Build the output tokens from the train transcripts.

    Reads   train_manifest  CSV or JSONL, one or several
            spm_model       an existing SentencePiece model (tokenizer.tokenizer_type: spm)
    Writes  out_dir         tokens.txt, one token a line, the CTC blank first; spm.model for SentencePiece
    """

    train_manifest: list[Path] = argument("train manifests, CSV or JSONL")
    out_dir: Path = argument("output folder", output=True)
    spm_model: Path | None = argument("existing SentencePiece model to use", None)
