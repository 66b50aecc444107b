"""Words and how the tokens spell them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from atc_asr.core.errors import InputError
from atc_asr.core.files import write_text
from atc_asr.core.text import normalize
from atc_asr.tokenizer.tokens import Tokens


def write_words(path: Path, words: Iterable[str]) -> None:
    """Write a word list, one a line, sorted."""
    write_text(path, "".join(f"{word}\n" for word in sorted(set(words))))


def read_words(path: Path) -> list[str]:
    """A word list, one a line; each must be one normalised word.

    Raises:
        InputError: the file cannot be read, is empty, or a line is no word.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 at byte {error.start}, wanted a word a line") from error
    words = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if normalize(line) != line.strip() or " " in line.strip():
            raise InputError(f"{path}:{number}: {line.strip()!r} is no normalised word, wanted {normalize(line)!r}")
        words[line.strip()] = None
    if not words:
        raise InputError(f"{path}: holds no words, wanted one a line")
    return list(words)


def spell(words: Sequence[str], tokens: Tokens, where: str) -> dict[str, list[int]]:
    """Token numbers of every word.

    Raises:
        InputError: a word has a character that no token can spell.
    """
    for word in words:
        missing = tokens.unknown(word)
        if missing:
            raise InputError(
                f"{where}: word {word!r}: no token can spell {''.join(sorted(missing))!r}, wanted other words"
            )
    return {word: tokens.encode(word) for word in words}
