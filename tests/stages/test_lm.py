"""Stage lm: ARPA files, lexicon, metrics and error messages."""

import json
from pathlib import Path

import pytest

from atc_asr.core.errors import InputError
from atc_asr.lm.ngram import load_kenlm
from stages import lm
from tests.echo import TOKENS, write_corpus

TEXTS = {"a": "DELTA ONE TWO", "b": "DELTA ONE CLIMB", "c": "UNITED TWO CLIMB", "d": "CLIMB DELTA ONE TWO"}


def flags(tmp_path: Path, *more: object) -> list[str]:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    paths = ("--train_manifest", manifest, "--valid_manifest", manifest, "--out_dir", tmp_path / "lm")
    return [str(item) for item in (*paths, "--metrics_file", tmp_path / "lm.json", *more)]


def test_outputs(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    TOKENS.save(tmp_path / "tokens")
    (tmp_path / "extra.txt").write_text("descend [noise] delta\n\n")
    lm.main(
        flags(
            tmp_path, "--order", 3, "--token_order", 4, "--tokenizer_dir", tmp_path / "tokens",
            "--extra_text", tmp_path / "extra.txt",
        )
    )  # fmt: skip
    assert (tmp_path / "lm" / "words.txt").read_text().split() == ["CLIMB", "DELTA", "DESCEND", "ONE", "TWO", "UNITED"]
    model = load_kenlm(tmp_path / "lm" / "word.arpa")
    assert model.order == 3
    assert model.score("DELTA ONE TWO") > model.score("TWO ONE DELTA")
    assert load_kenlm(tmp_path / "lm" / "token.arpa").order == 4
    metrics = json.loads((tmp_path / "lm.json").read_text())
    assert list(metrics) == ["perplexity"]
    assert 1 < metrics["perplexity"] < 7
    stats = json.loads((tmp_path / "lm" / "stats.json").read_text())
    assert stats["sentences"] == 5
    assert stats["word"]["valid_perplexity"] == metrics["perplexity"]
    assert stats["word"]["valid_oov_rate"] == 0
    assert len(stats["word"]["ngrams"]) == len(stats["word"]["discounts"]) == 3
    assert 1 < stats["token"]["valid_perplexity"] < len(TOKENS)


def test_errors_leave_no_files(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("[noise]\n")
    with pytest.raises(InputError, match=r"empty\.txt: no text"):
        lm.main(flags(tmp_path, "--extra_text", tmp_path / "empty.txt"))
    with pytest.raises(InputError, match="without --tokenizer_dir"):
        lm.main(flags(tmp_path, "--token_order", 4))
    with pytest.raises(InputError, match="no sentence has an n-gram of order 7"):
        lm.main(flags(tmp_path, "--order", 9))
    assert not (tmp_path / "lm").exists()
    assert not (tmp_path / "lm.json").exists()
