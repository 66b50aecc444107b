"""The grid over the search's weights: table, best combination as overrides, and error messages."""

from pathlib import Path

import pytest

from atc_asr.commands import tune_decoding
from atc_asr.core.errors import InputError
from atc_asr.posteriors.store import PosteriorsMeta, write_posteriors
from tests.echo import FRAME_SECONDS, TOKENS, log_posteriors, spoken_path, write_corpus

TEXTS = {"a": "DELTA ONE", "b": "GOLF TWO"}


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags for log-probabilities of two utterances, one with an out-of-vocabulary word; a grid of four points."""
    monkeypatch.setattr("atc_asr.decoding.parallel.available_cores", lambda: 1)
    TOKENS.save(tmp_path)
    (tmp_path / "words.txt").write_text("DELTA\nONE\nTWO\nGO\n")
    rows = [log_posteriors(spoken_path(text, TOKENS), len(TOKENS), 0.9) for text in TEXTS.values()]
    meta = PosteriorsMeta(tuple(TEXTS), (1.0, 1.0), TOKENS.symbols, FRAME_SECONDS)
    write_posteriors(tmp_path / "valid.posteriors", meta, enumerate(rows))
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    paths = ("--checkpoint_dir", tmp_path, "--posteriors", tmp_path / "valid.posteriors", "--ref_manifest", manifest)
    grid = ("--beam_sizes", 20, 10, "--lm_weights", 0, "--word_scores", 0, "--oov_scores", -900, -2)
    grid += ("--oov_uncertainty_penalties", 0, "--unseen_fraction", 0)
    more = ("--search", "lexicon", "--lexicon", tmp_path / "words.txt")
    return [str(item) for item in (*paths, *grid, *more)]


def test_best_combination_is_printed_last(flags: list[str], capsys: pytest.CaptureFixture) -> None:
    tune_decoding.main(flags)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert float(lines[1].split()[-1]) > 0
    assert float(lines[-2].split()[-1]) == 0
    assert lines[-1] == (
        "dvc exp run -S decode.search=lexicon -S decode.beam_size=10 -S decode.lm_weight=0.0"
        " -S decode.word_score=0.0 -S decode.oov_score=-2.0 -S decode.oov_uncertainty_penalty=0.0"
    )


def test_rare_words_are_excluded_from_the_lexicon(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(tune_decoding, "OOV_FOLDS", 2)
    monkeypatch.setattr(tune_decoding, "RARE_FRACTION", 1.0)
    (tmp_path / "words.txt").write_text("DELTA\nONE\nTWO\nGOLF\n")
    tune_decoding.main([*flags, "--beam_sizes", "10", "--unseen_fraction", "0.1"])
    header, *trials, best = capsys.readouterr().out.splitlines()
    assert header.split()[-7:] == ["WER", "%", "OOV", "WER", "%", "expected", "%"]
    assert [trial.split()[3] for trial in trials] == ["-900", "-2"]
    wer, oov_wer, expected = (float(cell) for cell in trials[0].split()[-3:])
    assert wer == 0 and oov_wer > 0 and expected == pytest.approx(0.1 * oov_wer, abs=0.01)
    assert trials[1].split()[-3:] == ["0.00", "0.00", "0.00"]
    assert "oov_score=-2.0" in best


def test_every_rare_word_is_in_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_decoding, "OOV_FOLDS", 2)
    monkeypatch.setattr(tune_decoding, "RARE_FRACTION", 0.5)
    texts = ["A B C", "A B D", "A E", "A A"]
    assert tune_decoding.rare_word_folds(texts) == [{"B", "D"}, {"C", "E"}]
    monkeypatch.setattr(tune_decoding, "RARE_FRACTION", 0.2)
    with pytest.raises(InputError, match=r"tune\.unseen_fraction: no word is rare \(in at most 20% of 4 utterances\)"):
        tune_decoding.rare_word_folds(texts)


@pytest.mark.endurance
def test_two_processes_give_the_same_result(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tune_decoding.main(flags)
    one_process = capsys.readouterr().out
    monkeypatch.setattr("atc_asr.decoding.parallel.available_cores", lambda: 2)
    tune_decoding.main(flags)
    assert capsys.readouterr().out == one_process


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--search", "greedy"], r"decode\.search: got greedy"),
        (["--lm_weights", "0.5"], r"decode\.lm_weight: got 0\.5 without --lm_dir"),
        (["--beam_sizes"], r"tune\.beam_sizes: got an empty list"),
    ],
)
def test_error_messages(flags: list[str], more: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tune_decoding.main([*flags, *more])


def test_message_names_utterance_without_transcript(flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "corpus" / "test.csv").write_text("id,wav,duration,transcript\na,a.wav,1.0,DELTA ONE\n")
    with pytest.raises(InputError, match="id b has no transcript"):
        tune_decoding.main(flags)
