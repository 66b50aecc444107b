"""The door of decoding: from a run folder or stored log-probabilities to decode.jsonl in manifest order."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import atc_asr.model.run_folder
from atc_asr.core.errors import InputError
from atc_asr.hypotheses.hypotheses import read_hypotheses
from atc_asr.lm.ngram import estimate, write_arpa
from atc_asr.tokenizer.tokens import train_spm
from stages import decode, lm, posteriors
from tests.echo import TOKENS, EchoRecognizer, write_corpus

needs_flashlight = pytest.mark.skipif(find_spec("flashlight") is None, reason="flashlight-text is not installed")
TEXTS = {"b": "DELTA ONE TWO", "a": "CLIMB", "c": "UNITED HEAVY TURN LEFT"}


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose network echoes the text in its audio."""
    monkeypatch.setattr(atc_asr.model.run_folder, "load_recognizer", lambda *_, **__: EchoRecognizer())
    folder = tmp_path / "run"
    folder.mkdir()
    TOKENS.save(folder)
    return folder


def flags(run_dir: Path, manifest: Path, *more: object) -> list[str]:
    return [str(item) for item in ("--checkpoint_dir", run_dir, "--manifest", manifest, *more)]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_lines_keep_the_order_of_the_manifest(run_dir: Path, tmp_path: Path, beam_size: int) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    decode.main(flags(run_dir, manifest, "--search", "beam", "--beam_size", beam_size, "--num_processes", 1))
    hypotheses = read_hypotheses(run_dir / "decode.jsonl")
    assert [(one.id, one.hyp) for one in hypotheses] == list(TEXTS.items())
    assert [word.word for word in hypotheses[0].words] == ["DELTA", "ONE", "TWO"]


def test_stored_log_probabilities_give_the_same_lines(run_dir: Path, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    stored = tmp_path / "test.npz"
    posteriors.main(flags(run_dir, manifest, "--out_file", stored))
    decode.main(flags(run_dir, manifest, "--nbest", 2))
    by_posteriors = ["--checkpoint_dir", str(run_dir), "--posteriors", str(stored), "--nbest", "2"]
    decode.main([*by_posteriors, "--out_file", str(tmp_path / "other.jsonl")])
    assert (tmp_path / "other.jsonl").read_bytes() == (run_dir / "decode.jsonl").read_bytes()
    assert "nbest" in json.loads((tmp_path / "other.jsonl").read_text().splitlines()[0])


def test_words_can_be_left_out(run_dir: Path, tmp_path: Path) -> None:
    decode.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), "--words", "false"))
    assert set(json.loads((run_dir / "decode.jsonl").read_text().splitlines()[0])) == {"id", "hyp", "score"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--beam_size", "0"), "--beam_size: got 0, wanted int >= 1"),
        (("--beam_size", "4", "--lm_weight", "0.5"), "decode.lm_weight: got 0.5 without --lm_dir"),
        (("--beam_size", "1", "--lm_weight", "0.5"), "decode.lm_weight: got 0.5 without --lm_dir"),
        (("--posteriors", "x.npz"), "--manifest, --posteriors"),
        (("--search", "guess"), "--search: got 'guess'"),
    ],
)
def test_what_cannot_be_used_leaves_no_file(run_dir: Path, tmp_path: Path, more: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), *more))
    assert not (run_dir / "decode.jsonl").exists()


def test_damaged_manifests_and_runs_leave_no_file(run_dir: Path, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    manifest.write_text(manifest.read_text() + "a,a.wav,1.0,CLIMB\n")
    with pytest.raises(InputError, match=r"test\.csv:5"):
        decode.main(flags(run_dir, manifest))
    manifest.write_text("id,wav,duration,transcript\nx,x.wav,1.0,CLIMB\n")
    with pytest.raises(InputError, match=r"x\.wav"):
        decode.main(flags(run_dir, manifest))
    assert not (run_dir / "decode.jsonl").exists()


def test_log_probabilities_of_another_tokenizer_are_refused(run_dir: Path, tmp_path: Path) -> None:
    stored = tmp_path / "test.npz"
    posteriors.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), "--out_file", stored))
    (run_dir / "tokens.txt").write_text("<blank>\nA\n")
    with pytest.raises(InputError, match="other tokens"):
        decode.main(["--checkpoint_dir", str(run_dir), "--posteriors", str(stored)])


@pytest.fixture
def lm_dir(tmp_path: Path) -> Path:
    """A language model of the texts."""
    manifest = str(write_corpus(tmp_path / "train", TEXTS))
    out = ["--out_dir", str(tmp_path / "lm"), "--metrics_file", str(tmp_path / "lm.json")]
    tokens = ["--order", "2", "--token_order", "3", "--tokenizer_dir", str(tmp_path / "run")]
    lm.main(["--train_manifest", manifest, "--valid_manifest", manifest, *out, *tokens])
    return tmp_path / "lm"


@needs_flashlight
@pytest.mark.parametrize("search", ["beam", "lexicon", "lexicon_free"])
@pytest.mark.parametrize("num_processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_search_with_an_ngram(
    run_dir: Path, lm_dir: Path, tmp_path: Path, search: str, num_processes: int
) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS | {"new": "CLIMB GOLF"})
    wide = ("--search", search, "--beam_size", 8, "--lm_weight", 0.3, "--num_processes", num_processes)
    decode.main(flags(run_dir, manifest, *wide, "--lm_dir", lm_dir, "--nbest", 2))
    hypotheses = read_hypotheses(run_dir / "decode.jsonl")
    assert [(one.id, one.hyp) for one in hypotheses] == [*TEXTS.items(), ("new", "CLIMB GOLF")]
    assert [word.word for word in hypotheses[-1].words] == ["CLIMB", "GOLF"]
    assert hypotheses[0].nbest[0].hyp == hypotheses[0].hyp


@needs_flashlight
def test_lexicons_and_language_models_that_do_not_fit(run_dir: Path, lm_dir: Path, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    wide = ("--search", "lexicon", "--beam_size", 8)
    with pytest.raises(InputError, match="without --lm_dir or --lexicon"):
        decode.main(flags(run_dir, manifest, *wide))
    (tmp_path / "words.txt").write_text("ONE\n747\n")
    with pytest.raises(InputError, match=r"words\.txt: word '747': no token can spell '47'"):
        decode.main(flags(run_dir, manifest, *wide, "--lexicon", tmp_path / "words.txt"))
    (lm_dir / "words.txt").write_text("ÉTÉ\n")
    with pytest.raises(InputError, match=r"words\.txt:1: 'ÉTÉ' is no normalised word"):
        decode.main(flags(run_dir, manifest, *wide, "--lm_dir", lm_dir))
    (lm_dir / "words.txt").write_text("ONE\nTWO\n")
    write_arpa(lm_dir / "word.arpa", estimate([["one", "two"], ["two"]], 2))
    for search in ("lexicon", "beam"):
        with pytest.raises(InputError, match=r"word\.arpa: knows none of 2 units \(ONE, TWO"):
            decode.main(flags(run_dir, manifest, "--search", search, *wide[2:], "--lm_dir", lm_dir, "--lm_weight", 1))
    (lm_dir / "word.arpa").unlink()
    with pytest.raises(InputError, match=r"word\.arpa: no such file"):
        decode.main(flags(run_dir, manifest, *wide, "--lm_dir", lm_dir, "--lm_weight", 1))
    assert not (run_dir / "decode.jsonl").exists()


@needs_flashlight
def test_expected_callsigns_need_a_lexicon_search_and_win(run_dir: Path, lm_dir: Path, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "corpus", {"x": "DELTA ONE TOO"})
    (tmp_path / "boost.csv").write_text("callsign,file\nDAL12,x\n")
    with pytest.raises(InputError, match=r"--boost: got decode\.search beam_size 1, wanted lexicon"):
        decode.main(flags(run_dir, manifest, "--boost", tmp_path / "boost.csv"))
    wide = ("--search", "lexicon", "--beam_size", 20, "--lm_dir", lm_dir, "--oov_score", -3, "--beam_tokens", 40)
    decode.main(flags(run_dir, manifest, *wide))
    assert read_hypotheses(run_dir / "decode.jsonl")[0].hyp == "DELTA ONE TOO"
    decode.main(flags(run_dir, manifest, *wide, "--boost", tmp_path / "boost.csv", "--boost_score", 8))
    assert read_hypotheses(run_dir / "decode.jsonl")[0].hyp == "DELTA ONE TWO"


@needs_flashlight
@pytest.mark.parametrize("search", ["greedy", "beam", "lexicon", "lexicon_free"])
def test_every_search_with_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: str) -> None:
    texts = TEXTS | {"d": "CLIMB LEFT DELTA TURN", "e": "UNITED ONE HEAVY", "f": "LEFT TURN CLIMB TWO"}
    pieces = train_spm(list(texts.values()) * 4, 25)
    pieces.save(tmp_path)
    monkeypatch.setattr(atc_asr.model.run_folder, "load_recognizer", lambda *_, **__: EchoRecognizer(pieces))
    manifest = write_corpus(tmp_path / "corpus", texts, pieces)
    lm_files = ["--out_dir", str(tmp_path / "lm"), "--metrics_file", str(tmp_path / "lm.json")]
    orders = ["--order", "2", "--token_order", "3", "--tokenizer_dir", str(tmp_path)]
    lm.main(["--train_manifest", str(manifest), "--valid_manifest", str(manifest), *lm_files, *orders])
    wide = ("--search", search, "--beam_size", 8, "--lm_weight", 0.3, "--num_processes", 1, "--beam_tokens", 40)
    decode.main(flags(tmp_path, manifest, *wide, "--lm_dir", tmp_path / "lm"))
    assert {one.id: one.hyp for one in read_hypotheses(tmp_path / "decode.jsonl")} == texts


def test_a_run_folder_without_tokens_is_named(run_dir: Path, tmp_path: Path) -> None:
    stored = tmp_path / "test.posteriors"
    posteriors.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), "--out_file", stored))
    (run_dir / "tokens.txt").unlink()
    with pytest.raises(InputError, match=r"has no tokens\.txt"):
        decode.main(["--checkpoint_dir", str(run_dir), "--posteriors", str(stored)])
    assert not (run_dir / "decode.jsonl").exists()


def test_a_python_without_flashlight_says_what_is_left(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flashlight", None)
    monkeypatch.delitem(sys.modules, "atc_asr.decoding.flashlight", raising=False)
    for name in [name for name in sys.modules if name.startswith("flashlight.")]:
        monkeypatch.delitem(sys.modules, name)
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    with pytest.raises(InputError, match=r"lexicon wants flashlight-text, .* wanted .* greedy or beam"):
        decode.main(flags(run_dir, manifest, "--search", "lexicon", "--beam_size", 8))
