"""The grid over the search's weights: the best combination is found and written as overrides."""

import dataclasses
from pathlib import Path

import pytest

from atc_asr.commands import tune_decoding
from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.decoding.params import DecodeParams
from atc_asr.posteriors.store import PosteriorsMeta, write_posteriors
from tests.echo import FRAME_SECONDS, TOKENS, log_posteriors, spoken_path, write_corpus

TEXTS = {"a": "DELTA ONE", "b": "GOLF TWO"}


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """Stored log-probabilities of two utterances, one with a word that the lexicon lacks."""
    pytest.importorskip("flashlight", reason="flashlight-text has no release for this Python")
    TOKENS.save(tmp_path)
    (tmp_path / "words.txt").write_text("DELTA\nONE\nTWO\nGO\n")
    rows = [log_posteriors(spoken_path(text, TOKENS), len(TOKENS), 0.9) for text in TEXTS.values()]
    meta = PosteriorsMeta(tuple(TEXTS), (1.0, 1.0), TOKENS.symbols, FRAME_SECONDS)
    write_posteriors(tmp_path / "valid.posteriors", meta, enumerate(rows))
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    paths = ("--checkpoint_dir", tmp_path, "--posteriors", tmp_path / "valid.posteriors", "--ref_manifest", manifest)
    grid = ("--beam_sizes", 20, 10, "--lm_weights", 0, "--word_scores", 0, "--oov_scores", -900, -2)
    grid += ("--oov_uncertainty_penalties", 0, "--unseen_fraction", 0)
    more = ("--search", "lexicon", "--lexicon", tmp_path / "words.txt", "--tune_processes", 1)
    return [str(item) for item in (*paths, *grid, *more)]


def test_the_best_combination_is_printed_last(flags: list[str], capsys: pytest.CaptureFixture) -> None:
    tune_decoding.main(flags)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert float(lines[1].split()[-1]) > 0
    assert float(lines[-2].split()[-1]) == 0
    assert lines[-1] == (
        "dvc exp run -S decode.search=lexicon -S decode.beam_size=10 -S decode.lm_weight=0.0"
        " -S decode.word_score=0.0 -S decode.oov_score=-2.0 -S decode.oov_uncertainty_penalty=0.0"
    )


def test_rare_words_are_left_out_of_the_lexicon_to_stand_for_new_ones(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "words.txt").write_text("DELTA\nONE\nTWO\nGOLF\n")
    more = ["--beam_sizes", "10", "--unseen_fraction", "0.1", "--unseen_folds", "2", "--rare_fraction", "1"]
    tune_decoding.main([*flags, *more])
    header, *trials, best = capsys.readouterr().out.splitlines()
    assert header.split()[-6:] == ["WER", "%", "unseen", "%", "expected", "%"]
    assert [trial.split()[3] for trial in trials] == ["-900", "-2"]
    wer, unseen, expected = (float(cell) for cell in trials[0].split()[-3:])
    assert wer == 0 and unseen > 0 and expected == pytest.approx(0.1 * unseen, abs=0.01)
    assert trials[1].split()[-3:] == ["0.00", "0.00", "0.00"]
    assert "oov_score=-2.0" in best


def test_every_rare_word_is_left_out_once() -> None:
    tune = dataclasses.replace(
        load_section(tune_decoding.TuneParams), unseen_fraction=0.1, unseen_folds=2, rare_fraction=0.5
    )
    decode = dataclasses.replace(load_section(DecodeParams), search="lexicon")
    texts = ["A B C", "A B D", "A E", "A A"]
    folds = tune_decoding.unseen_folds(tune, decode, texts)
    assert folds == [{"B", "D"}, {"C", "E"}]
    assert tune_decoding.unseen_folds(dataclasses.replace(tune, unseen_fraction=0.0), decode, texts) == []
    with pytest.raises(InputError, match=r"tune\.rare_fraction: no word is in at most 0\.2 of 4 utterances"):
        tune_decoding.unseen_folds(dataclasses.replace(tune, rare_fraction=0.2), decode, texts)


@pytest.mark.slow
def test_processes_change_nothing(flags: list[str], capsys: pytest.CaptureFixture) -> None:
    tune_decoding.main(flags)
    alone = capsys.readouterr().out
    tune_decoding.main([*flags, "--tune_processes", "2"])
    assert capsys.readouterr().out == alone


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--search", "greedy"], r"decode\.search: got greedy"),
        (["--lm_weights", "0.5"], r"decode\.lm_weight: got 0\.5 without --lm_dir"),
        (["--beam_sizes"], r"tune\.beam_sizes: got an empty list"),
    ],
)
def test_what_cannot_be_tuned_is_said(flags: list[str], more: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tune_decoding.main([*flags, *more])


def test_an_utterance_without_transcript_is_named(flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "corpus" / "test.csv").write_text("id,wav,duration,transcript\na,a.wav,1.0,DELTA ONE\n")
    with pytest.raises(InputError, match="id b has no transcript"):
        tune_decoding.main(flags)


def test_rows_are_spread_over_the_file() -> None:
    assert tune_decoding.pick_rows(10, 0) == list(range(10))
    assert tune_decoding.pick_rows(10, 3) == [0, 3, 6]
