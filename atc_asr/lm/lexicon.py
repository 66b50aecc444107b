"""Word lists, and the spelling of words in tokens."""

from collections.abc import Iterable
from pathlib import Path

from atc_asr.core.errors import InputError
from atc_asr.core.files import read_lines, write_text
from atc_asr.core.text import normalize
from atc_asr.tokenizer.tokens import Tokens

MAX_LETTERS = 200  # of a word; the search libraries follow a spelling letter by letter and cannot take any length


def _check_length(word: str, where: str) -> None:
    if len(word) > MAX_LETTERS:
        raise InputError(f"{where}: got a word of {len(word)} letters, {word!r}, wanted at most {MAX_LETTERS}")


def write_words(path: Path, words: Iterable[str]) -> None:
    """Write a word list, one word per line, sorted, without duplicates.

    Raises:
        InputError: a word has more than `MAX_LETTERS` letters.
    """
    words = list(words)
    for word in words:
        _check_length(word, str(path))
    write_text(path, "".join(f"{word}\n" for word in sorted(set(words))))


def read_words(path: Path) -> list[str]:
    """Read a word list, one normalised word per line, without duplicates.

    Raises:
        InputError: the file cannot be read or is empty, or a line is not one normalised word or is too long.
    """
    words: dict[str, None] = {}
    for number, line in enumerate(read_lines(path), start=1):
        word = line.strip()
        if not word:
            continue
        if normalize(word) != word or " " in word:
            raise InputError(f"{path}:{number}: got {word!r}, wanted one normalised word, as {normalize(word)!r}")
        _check_length(word, f"{path}:{number}")
        words[word] = None
    if not words:
        raise InputError(f"{path}: no words, wanted one per line")
    return list(words)


def read_sentences(path: Path) -> list[str]:
    """Read a text file with one sentence per line; the sentences are normalised, empty ones left out.

    Raises:
        InputError: the file cannot be read or has no text.
    """
    sentences = [sentence for sentence in map(normalize, read_lines(path)) if sentence]
    if not sentences:
        raise InputError(f"{path}: no text, wanted one sentence per line")
    return sentences


def spell(words: Iterable[str], tokens: Tokens, where: str) -> dict[str, list[int]]:
    """Token numbers of every word.

    Raises:
        InputError: a word has a character that no token contains; the message begins with `where`.
    """
    spellings = {}
    for word in words:
        missing = tokens.unknown(word)
        if missing:
            raise InputError(f"{where}: word {word!r}: no token contains {''.join(sorted(missing))!r}")
        spellings[word] = tokens.encode(word)
    return spellings
