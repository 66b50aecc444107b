"""Units: the blank at 0, text in and out unchanged, nothing unknown becomes a blank."""

import io

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.tokenizer import tokens
from atc_asr.tokenizer.params import TokenizerParams
from atc_asr.tokenizer.tokens import Tokens, build_tokens, char_tokens, train_spm

TEXTS = ["CLEARED TO LAND", "TURN LEFT HEADING 270", "U S AIR 686", "CONTACT TOWER 118.7", "DESCEND AND MAINTAIN"] * 8


def test_characters_are_sorted_behind_the_blank():
    assert char_tokens(["B A", "AC"]).symbols == ("<blank>", "A", "B", "C", "▁")


def test_characters_by_hand():
    units = char_tokens(["B A"])
    assert units.encode("A B") == [1, 3, 2]
    assert units.decode([1, 3, 2]) == "A B"


@pytest.mark.parametrize("make", [char_tokens, lambda texts: train_spm(texts, 36)])
def test_text_comes_back(make):
    units = make(TEXTS)
    for text in TEXTS:
        numbers = units.encode(text)
        assert 0 not in numbers
        assert units.decode(numbers) == text


@given(st.text("AB C", min_size=1).map(lambda text: " ".join(text.split())).filter(bool))
def test_any_text_of_known_characters_comes_back(text):
    units = char_tokens(["AB C"])
    assert units.decode(units.encode(text)) == text


@pytest.mark.parametrize("make", [char_tokens, lambda texts: train_spm(texts, 36)])
def test_an_unseen_character_is_refused_and_named(make):
    with pytest.raises(InputError, match=r"Z.*not in the"):
        make(TEXTS).encode("AIR Z")


@pytest.mark.parametrize("make", [char_tokens, lambda texts: train_spm(texts, 36)])
def test_a_folder_brings_them_back(make, tmp_path):
    units = make(TEXTS)
    units.save(tmp_path)
    assert Tokens.load(tmp_path) == units
    assert (tmp_path / "tokens.txt").read_text(encoding="utf-8").startswith("<blank>\n")


def test_the_same_transcripts_give_the_same_model():
    assert train_spm(TEXTS, 36).spm_model == train_spm(TEXTS, 36).spm_model


def spm_bytes(**settings):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, vocab_size=40, minloglevel=2, **settings
    )
    return model.getvalue()


def test_a_given_model_with_unk_at_zero_keeps_its_numbers(tmp_path):
    path = tmp_path / "a.model"
    path.write_bytes(spm_bytes())  # SentencePiece's defaults: <unk> 0, <s> 1, </s> 2
    units = build_tokens(TokenizerParams("spm", 40), TEXTS, path)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert units.symbols[0] == "<blank>"
    assert units.encode(TEXTS[0]) == pieces.encode(TEXTS[0])


@pytest.mark.parametrize(
    ("params", "content", "message"),
    [
        (TokenizerParams("spm", 40), b"no model", "is not a SentencePiece model"),
        (TokenizerParams("spm", 40), None, "no such file"),
        (TokenizerParams("char", 40), b"", "tokenizer_type is char, wanted spm"),
        (TokenizerParams("spm", 40), spm_bytes(unk_id=3, bos_id=1, eos_id=2, pad_id=-1, control_symbols=[]), "piece 0"),
    ],
)
def test_a_given_model_that_cannot_be_used(tmp_path, params, content, message):
    path = tmp_path / "a.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        build_tokens(params, TEXTS, path)


def test_too_many_pieces_for_the_text_are_refused():
    with pytest.raises(InputError, match="vocab_size: got 5000"):
        build_tokens(TokenizerParams("spm", 5000), TEXTS)


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_text_is_refused(texts):
    with pytest.raises(InputError, match="no train transcript has any text"):
        build_tokens(TokenizerParams("char", 40), texts)


@pytest.mark.parametrize("content", ["A\nB\n", "<blank>\n", "<blank>\nA\nA\n", None])
def test_a_folder_without_proper_tokens_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / tokens.TOKENS_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"tokens\.txt"):
        Tokens.load(tmp_path)
