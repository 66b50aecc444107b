"""Parameters and flags of the stage lm."""

from pathlib import Path
from typing import ClassVar

from atc_asr.core.config import Flags, Section, argument, param


class LmParams(Section):
    """N-gram language models."""

    section: ClassVar[str] = "lm"
    order: int = param("order of the word n-gram", ge=1)
    token_order: int = param("order of the token n-gram for decode.search: lexicon_free; 0 = none", ge=0)


class LmFlags(Flags):
    """Estimate a lexicon and n-gram language models from the train transcripts.

    Reads   train_manifest  manifests whose transcripts are counted
            extra_text      further text files, one sentence a line, normalised like transcripts
            valid_manifest  manifests on which perplexity is measured
            tokenizer_dir   tokens of stages.tokenizer (only for lm.token_order > 0)
    Writes  out_dir         word.arpa, words.txt (the lexicon), token.arpa if asked for, stats.json
            metrics_file    perplexity on valid

    The models are ARPA files: the kenlm wheel reads KenLM's binary format but cannot write it.
    """

    train_manifest: list[Path] = argument("train manifests, CSV or JSONL")
    valid_manifest: list[Path] = argument("validation manifests, CSV or JSONL")
    out_dir: Path = argument("output folder", output=True)
    metrics_file: Path = argument("metrics to write, JSON", output=True)
    extra_text: list[Path] = argument("further text files, one sentence a line", [])
    tokenizer_dir: Path | None = argument("folder of stages.tokenizer", None)
