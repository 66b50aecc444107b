"""Word lists and spellings."""

from pathlib import Path

import pytest

from atc_asr.core.errors import InputError
from atc_asr.lm.lexicon import read_words, spell, write_words
from atc_asr.tokenizer.tokens import char_tokens


def test_words_come_back_sorted_and_once(tmp_path: Path) -> None:
    write_words(tmp_path / "words.txt", ["TWO", "ONE", "TWO"])
    assert read_words(tmp_path / "words.txt") == ["ONE", "TWO"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ONE\ntwo\n", r"words\.txt:2: 'two' is no normalised word, wanted 'TWO'"),
        ("ONE TWO\n", r"words\.txt:1"),
        ("\n", "holds no words"),
    ],
)
def test_damaged_lists_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "words.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        read_words(tmp_path / "words.txt")


def test_a_word_of_another_alphabet_is_named() -> None:
    with pytest.raises(InputError, match=r"words\.txt: word 'ZULU': no token can spell 'LUZ'"):
        spell(["AB", "ZULU"], char_tokens(["AB"]), "words.txt")
