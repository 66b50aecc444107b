"""Tokens: the blank is 0, texts survive encoding and decoding, unknown characters are refused."""

import io
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, write_manifest
from atc_asr.tokenizer.params import TokenizerParams
from atc_asr.tokenizer.tokens import TOKENS_FILE, Tokens, build_tokens, char_tokens, train_spm
from stages import tokenizer

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["CLEARED TO LAND", "TURN LEFT HEADING 270", "U S AIR 686", "CONTACT TOWER 118.7", "DESCEND AND MAINTAIN"] * 8


def params(tokenizer_type, vocab_size=40):
    return TokenizerParams(tokenizer_type=tokenizer_type, vocab_size=vocab_size)


def test_characters_are_sorted_after_the_blank():
    assert char_tokens(["B A", "AC"]).symbols == ("<blank>", "A", "B", "C", "▁")


def test_characters_by_hand():
    tokens = char_tokens(["B A"])
    assert tokens.encode("A B") == [1, 3, 2]
    assert tokens.decode([1, 3, 2]) == "A B"


@pytest.mark.parametrize("make", [char_tokens, lambda texts: train_spm(texts, 36)])
def test_decoding_inverts_encoding(make):
    tokens = make(TEXTS)
    for text in TEXTS:
        numbers = tokens.encode(text)
        assert 0 not in numbers
        assert tokens.decode(numbers) == text


@given(st.text("AB C", min_size=1).map(lambda text: " ".join(text.split())).filter(bool))
def test_decoding_inverts_encoding_of_any_text(text):
    tokens = char_tokens(["AB C"])
    assert tokens.decode(tokens.encode(text)) == text


@pytest.mark.parametrize("make", [char_tokens, lambda texts: train_spm(texts, 36)])
def test_an_unknown_character_is_refused_and_named(make):
    with pytest.raises(InputError, match=r"Z.*not in the"):
        make(TEXTS).encode("AIR Z")


@pytest.mark.parametrize("make", [char_tokens, lambda texts: train_spm(texts, 36)])
def test_loading_inverts_saving(make, tmp_path):
    tokens = make(TEXTS)
    tokens.save(tmp_path)
    assert Tokens.load(tmp_path) == tokens
    assert (tmp_path / "tokens.txt").read_text(encoding="utf-8").startswith("<blank>\n")


def test_the_same_transcripts_give_the_same_model():
    assert train_spm(TEXTS, 36).spm_model == train_spm(TEXTS, 36).spm_model


def spm_bytes(**settings):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, vocab_size=40, minloglevel=2, **settings
    )
    return model.getvalue()


def test_a_given_model_keeps_its_numbers(tmp_path):
    path = tmp_path / "a.model"
    path.write_bytes(spm_bytes())  # SentencePiece's defaults: <unk> 0, <s> 1, </s> 2
    tokens = build_tokens(params("spm"), TEXTS, path)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert tokens.symbols[0] == "<blank>"
    assert tokens.encode(TEXTS[0]) == pieces.encode(TEXTS[0])


@pytest.mark.parametrize(
    ("settings", "content", "message"),
    [
        (params("spm"), b"no model", "is not a SentencePiece model"),
        (params("spm"), None, "no such file"),
        (params("char"), b"", "tokenizer_type is char, wanted spm"),
        (params("spm"), spm_bytes(unk_id=3, bos_id=1, eos_id=2, pad_id=-1, control_symbols=[]), "piece 0"),
    ],
)
def test_an_unusable_model_is_refused(tmp_path, settings, content, message):
    path = tmp_path / "a.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        build_tokens(settings, TEXTS, path)


def test_more_pieces_than_the_text_has_are_refused():
    with pytest.raises(InputError, match="vocab_size: got 5000"):
        build_tokens(params("spm", 5000), TEXTS)


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_transcripts_without_text_are_refused(texts):
    with pytest.raises(InputError, match="no train transcript has any text"):
        build_tokens(params("char"), texts)


@pytest.mark.parametrize("content", ["A\nB\n", "<blank>\n", "<blank>\nA\nA\n", None])
def test_invalid_tokens_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / TOKENS_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"tokens\.txt"):
        Tokens.load(tmp_path)


def test_the_stage_writes_the_tokens_of_all_manifests(tmp_path):
    manifests = []
    for name, text in (("a", "AB"), ("b", "C")):
        rows = [Utterance(name, tmp_path / f"{name}.wav", 1.0, text)]
        rows[0].wav.touch()
        manifests.append(tmp_path / f"{name}.csv")
        write_manifest(manifests[-1], rows)
    out_dir = tmp_path / "tokenizer"
    args = ["--train_manifest", *map(str, manifests), "--out_dir", str(out_dir), "--tokenizer_type", "char"]
    tokenizer.main([*args, "--params", str(ROOT / "params.yaml")])
    assert Tokens.load(out_dir).symbols == ("<blank>", "A", "B", "C")
