"""Output units: text <-> token numbers, with the CTC blank at 0.

Characters: every character seen in the train transcripts, the space written as `▁` in tokens.txt.
SentencePiece: the piece numbers of the model itself; number 0, which must be a piece that is never written
(`<unk>` or a control piece), is where the CTC blank lives, so text with unknown pieces is refused instead of
becoming blank targets.
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

from atc_asr.core import files
from atc_asr.core.errors import InputError
from atc_asr.tokenizer.params import TokenizerParams

BLANK = "<blank>"
SPACE = "▁"  # SentencePiece's word-boundary mark, U+2581
TOKENS_FILE = "tokens.txt"
SPM_FILE = "spm.model"


class Tokens:
    """A fixed list of output units; the number of a unit is its index, 0 is the CTC blank."""

    def __init__(self, symbols: Sequence[str], spm_model: bytes | None = None) -> None:
        """
        Args:
            symbols: unit per number; `symbols[0]` is `<blank>`, `▁` stands for a space.
            spm_model: serialized SentencePiece model the symbols came from, None for characters.
        """
        self.symbols = tuple(symbols)
        self.spm_model = spm_model
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        self._pieces = None
        if spm_model is not None:
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=spm_model)

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens) and (self.symbols, self.spm_model) == (other.symbols, other.spm_model)

    def __hash__(self) -> int:
        return hash((self.symbols, self.spm_model))

    @property
    def kind(self) -> str:
        """`char` or `spm`, as the section `tokenizer` names them."""
        return "char" if self._pieces is None else "spm"

    def _units(self, text: str) -> list[str]:
        if self._pieces is None:
            return [SPACE if character == " " else character for character in text]
        return self._pieces.encode(text, out_type=str)

    def unknown(self, text: str) -> set[str]:
        """Units of a text that have no number (a space is named `▁`)."""
        return {unit for unit in self._units(text) if self._numbers.get(unit, 0) == 0}

    def encode(self, text: str) -> list[int]:
        """Token numbers of a normalised text; never 0.

        Raises:
            InputError: a character of the text is not among the units.
        """
        missing = self.unknown(text)
        if missing:
            raise InputError(f"text {text!r}: {sorted(missing)} is not in the {self.kind} tokens")
        return [self._numbers[unit] for unit in self._units(text)]

    def decode(self, numbers: Iterable[int]) -> str:
        """Text of token numbers (blanks and repeats already removed)."""
        return "".join(self.symbols[number] for number in numbers).replace(SPACE, " ").strip()

    def save(self, folder: Path) -> None:
        """Write tokens.txt (a unit a line) and, for SentencePiece, spm.model into an existing folder."""
        files.write_text(folder / TOKENS_FILE, "".join(f"{symbol}\n" for symbol in self.symbols))
        if self.spm_model is not None:
            with files.new_file(folder / SPM_FILE) as partial:
                partial.write_bytes(self.spm_model)

    @classmethod
    def load(cls, folder: Path) -> "Tokens":
        """Read what `save` wrote.

        Raises:
            InputError: the folder has no tokens, or they are not a list that starts with the blank.
        """
        path = Path(folder) / TOKENS_FILE
        if not path.is_file():
            raise InputError(f"{folder}: has no {TOKENS_FILE}, wanted a tokenizer or run folder")
        symbols = path.read_text(encoding="utf-8").split("\n")[:-1]
        if len(symbols) < 2 or symbols[0] != BLANK or len(set(symbols)) != len(symbols):
            raise InputError(f"{path}: wanted {BLANK} on line 1 and one unit a line, each once")
        spm_path = Path(folder) / SPM_FILE
        return cls(symbols, spm_path.read_bytes() if spm_path.is_file() else None)


def char_tokens(transcripts: Iterable[str]) -> Tokens:
    """The characters of the transcripts, sorted, after the blank."""
    characters = {SPACE if character == " " else character for text in transcripts for character in text}
    return Tokens([BLANK, *sorted(characters)])


def spm_tokens(spm_model: bytes, where: str) -> Tokens:
    """Tokens of a SentencePiece model, its own piece numbers kept, the blank in the place of piece 0.

    Raises:
        InputError: the bytes are no model, or piece 0 can be written in a text.
    """
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_proto=spm_model)
    except RuntimeError as error:
        raise InputError(f"{where}: is not a SentencePiece model") from error
    if not (pieces.is_unknown(0) or pieces.is_control(0)):
        raise InputError(f"{where}: piece 0 is {pieces.id_to_piece(0)!r}, wanted <unk> or a control piece (CTC blank)")
    return Tokens([BLANK, *(pieces.id_to_piece(number) for number in range(1, len(pieces)))], spm_model)


def train_spm(transcripts: Sequence[str], vocab_size: int) -> Tokens:
    """Learn SentencePiece unigram pieces; the same transcripts give the same model.

    Raises:
        InputError: the transcripts cannot fill `vocab_size` pieces.
    """
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
    """Tokens for a training: characters, a given SentencePiece model, or one learnt from the transcripts.

    Raises:
        InputError: no text, a model that cannot be used, or transcripts that it cannot spell.
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
