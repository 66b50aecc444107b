"""Output tokens: text <-> token numbers. Number 0 is the CTC blank.

Characters: all characters of the train transcripts, with the space written as `▁` in tokens.txt.
SentencePiece: the numbers of the model's pieces. The blank replaces piece 0, which must be `<unk>` or a control piece.
Text with unknown pieces is refused, because their number would be the blank's.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from atc_asr.core import files, outputs
from atc_asr.core.errors import InputError
from atc_asr.tokenizer.params import TokenizerParams

if TYPE_CHECKING:
    import sentencepiece  # imported where SentencePiece is used: tokens that are characters do not need it

BLANK = "<blank>"
SPACE = "▁"  # the word-boundary character of SentencePiece, U+2581
TOKENS_FILE = "tokens.txt"
SPM_FILE = "spm.model"


@dataclass(frozen=True)
class Tokens:
    """A list of output tokens, numbered by their index.

    Attributes:
        symbols: the tokens; the first is `<blank>`, and `▁` is a space.
        spm_model: the serialised SentencePiece model of the tokens, None for characters.
    """

    symbols: tuple[str, ...]
    spm_model: bytes | None = None

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def kind(self) -> str:
        """`char` or `spm`, as in `tokenizer.tokenizer_type`."""
        return "char" if self.spm_model is None else "spm"

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    @cached_property
    def _spm(self) -> "sentencepiece.SentencePieceProcessor":
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_proto=self.spm_model)

    def _split(self, text: str) -> list[str]:
        return list(text.replace(" ", SPACE)) if self.spm_model is None else self._spm.encode(text, out_type=str)

    def unknown(self, text: str) -> set[str]:
        """Characters or pieces of a text that are no tokens."""
        return {symbol for symbol in self._split(text) if self._numbers.get(symbol, 0) == 0}

    def encode(self, text: str) -> list[int]:
        """Token numbers of a normalised text, none of them 0.

        Raises:
            InputError: the text has characters or pieces that are no tokens.
        """
        missing = self.unknown(text)
        if missing:
            raise InputError(f"text {text!r}: {sorted(missing)} is not in the {self.kind} tokens")
        return [self._numbers[symbol] for symbol in self._split(text)]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of token numbers without blanks and repetitions."""
        return "".join(self.symbols[number] for number in numbers).replace(SPACE, " ").strip()

    def save(self, folder: Path) -> None:
        """Write tokens.txt (one token a line) and, for SentencePiece, spm.model into an existing folder."""
        files.write_text(folder / TOKENS_FILE, "".join(f"{symbol}\n" for symbol in self.symbols), outputs.ANY)
        if self.spm_model is not None:
            with outputs.new_file(folder / SPM_FILE, outputs.ANY) as partial:
                partial.write_bytes(self.spm_model)

    @classmethod
    def load(cls, folder: Path) -> "Tokens":
        """Read the files that `save` writes.

        Raises:
            InputError: tokens.txt is missing, does not start with the blank, or has a token twice; spm.model differs.
        """
        path, spm_path = folder / TOKENS_FILE, folder / SPM_FILE
        if not path.is_file():
            raise InputError(f"{folder}: has no {TOKENS_FILE}, wanted a tokenizer or run folder")
        symbols = tuple(files.read_text(path).split("\n")[:-1])
        if len(symbols) < 2 or symbols[0] != BLANK or len(set(symbols)) != len(symbols) or "" in symbols:
            raise InputError(f"{path}: wanted {BLANK} on line 1 and one token a line, each once")
        if not spm_path.is_file():
            return cls(symbols)
        tokens = spm_tokens(spm_path.read_bytes(), str(spm_path))
        if tokens.symbols != symbols:
            raise InputError(f"{spm_path}: its pieces are not the tokens of {TOKENS_FILE}")
        return tokens


def char_tokens(transcripts: Iterable[str]) -> Tokens:
    """The blank and the sorted characters of the transcripts."""
    return Tokens((BLANK, *sorted(set("".join(transcripts).replace(" ", SPACE)))))


def spm_tokens(spm_model: bytes, where: str) -> Tokens:
    """The pieces of a serialised SentencePiece model, with the blank instead of piece 0; `where` names it in messages.

    Raises:
        InputError: the bytes are not a model, or piece 0 is neither `<unk>` nor a control piece.
    """
    import sentencepiece

    try:
        pieces = sentencepiece.SentencePieceProcessor(model_proto=spm_model)
        if not spm_model or not len(pieces):
            raise RuntimeError("no pieces")
    except RuntimeError as error:
        raise InputError(f"{where}: is not a SentencePiece model") from error
    if not (pieces.is_unknown(0) or pieces.is_control(0)):
        raise InputError(f"{where}: piece 0 is {pieces.id_to_piece(0)!r}, wanted <unk> or a control piece (CTC blank)")
    return Tokens((BLANK, *(pieces.id_to_piece(number) for number in range(1, len(pieces)))), spm_model)


def train_spm(transcripts: Sequence[str], vocab_size: int) -> Tokens:
    """Train a SentencePiece unigram model; the same transcripts give the same model.

    Raises:
        InputError: SentencePiece cannot make `vocab_size` pieces of the transcripts.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(transcripts),
            model_writer=model,
            vocab_size=vocab_size,
            model_type="unigram",
            character_coverage=1.0,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].split("] ")[-1].strip()
        raise InputError(f"tokenizer.vocab_size: got {vocab_size}: {reason}") from error
    return spm_tokens(model.getvalue(), "trained SentencePiece model")


def build_tokens(params: TokenizerParams, transcripts: Sequence[str], spm_path: Path | None = None) -> Tokens:
    """The tokens of a training: characters, or the pieces of a given or newly trained SentencePiece model.

    Raises:
        InputError: the transcripts are empty, or the given model cannot be used or cannot spell them.
    """
    if not any(transcripts):
        raise InputError("tokenizer: no train transcript has any text")
    if params.tokenizer_type == "char":
        if spm_path is not None:
            raise InputError("--spm_model: given, but tokenizer_type is char, wanted spm")
        return char_tokens(transcripts)
    if spm_path is None:
        return train_spm(transcripts, params.vocab_size)
    if not spm_path.is_file():
        raise InputError(f"--spm_model {spm_path}: no such file")
    tokens = spm_tokens(spm_path.read_bytes(), str(spm_path))
    missing = set().union(*(tokens.unknown(text) for text in transcripts))
    if missing:
        raise InputError(f"{spm_path}: cannot spell {sorted(missing)} of the train transcripts")
    return tokens
