"""Word lists, and spellings in tokens."""

from pathlib import Path

import pytest

from atc_asr.core.errors import InputError
from atc_asr.lm.lexicon import read_words, spell, write_words
from atc_asr.tokenizer.tokens import char_tokens


def test_word_list_round_trip(tmp_path: Path) -> None:
    write_words(tmp_path / "words.txt", ["TWO", "ONE", "TWO"])
    assert read_words(tmp_path / "words.txt") == ["ONE", "TWO"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ONE\ntwo\n", r"words\.txt:2: got 'two', wanted one normalised word, as 'TWO'"),
        ("ONE TWO\n", r"words\.txt:1"),
        ("\n", "no words"),
    ],
)
def test_message_names_damaged_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "words.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        read_words(tmp_path / "words.txt")


def test_message_names_word_without_tokens() -> None:
    with pytest.raises(InputError, match=r"words\.txt: word 'ZULU': no token contains 'LUZ'"):
        spell(["AB", "ZULU"], char_tokens(["AB"]), "words.txt")
