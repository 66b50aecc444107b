"""Stage decode: decode.jsonl from a run folder or stored log-probabilities, and error messages."""

import json
import sys
from pathlib import Path

import pytest

import atc_asr.model.run_folder
from atc_asr.core.errors import InputError
from atc_asr.hypotheses.hypotheses import read_hypotheses
from atc_asr.lm.ngram import estimate, write_arpa
from atc_asr.tokenizer.tokens import train_spm
from stages import decode, lm, posteriors
from tests.echo import TOKENS, EchoRecognizer, write_corpus

TEXTS = {"b": "DELTA ONE TWO", "a": "CLIMB", "c": "UNITED HEAVY TURN LEFT"}


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose network is an `EchoRecognizer`."""
    monkeypatch.setattr(atc_asr.model.run_folder, "load_recognizer", lambda *_, **__: EchoRecognizer())
    folder = tmp_path / "run"
    folder.mkdir()
    TOKENS.save(folder)
    return folder


def flags(run_dir: Path, manifest: Path, *more: object) -> list[str]:
    return [str(item) for item in ("--checkpoint_dir", run_dir, "--manifest", manifest, *more)]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_order_is_that_of_the_manifest(run_dir: Path, tmp_path: Path, beam_size: int) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    decode.main(flags(run_dir, manifest, "--beam_size", beam_size, "--num_processes", 1))
    hypotheses = read_hypotheses(run_dir / "decode.jsonl")
    assert [(one.id, one.hyp) for one in hypotheses] == list(TEXTS.items())
    assert [word.word for word in hypotheses[0].words] == ["DELTA", "ONE", "TWO"]


def test_stored_log_probabilities_give_the_same_hypotheses(run_dir: Path, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    stored = tmp_path / "test.npz"
    posteriors.main(flags(run_dir, manifest, "--out_file", stored))
    more = ("--nbest", "2", "--num_processes", "1")
    decode.main(flags(run_dir, manifest, *more))
    by_posteriors = ["--checkpoint_dir", str(run_dir), "--posteriors", str(stored), *more]
    decode.main([*by_posteriors, "--out_file", str(tmp_path / "other.jsonl")])
    assert (tmp_path / "other.jsonl").read_bytes() == (run_dir / "decode.jsonl").read_bytes()
    assert "nbest" in json.loads((tmp_path / "other.jsonl").read_text().splitlines()[0])


def test_without_words_and_slots(run_dir: Path, tmp_path: Path) -> None:
    more = ("--words", "false", "--slots", "false", "--num_processes", 1)
    decode.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), *more))
    assert set(json.loads((run_dir / "decode.jsonl").read_text().splitlines()[0])) == {"id", "hyp", "score", "greedy"}


def test_slots_with_times_by_the_users_operators(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "operators.csv").write_text("icao,telephony\nXYZ,rocket\n")
    manifest = write_corpus(tmp_path / "corpus", {"a": "ROCKET ONE TWO TURN LEFT HEADING TWO SEVEN ZERO", "b": "CLIMB"})
    more = flags(run_dir, manifest, "--operators", tmp_path / "operators.csv", "--num_processes", 1)
    decode.main(more)
    first, second = read_hypotheses(run_dir / "decode.jsonl")
    assert (first.callsign, first.role, [slot.kind for slot in first.slots]) == (
        "XYZ12", "controller", ["callsign", "heading"])  # fmt: skip
    heading, words = first.slots[1], first.words
    assert (heading.value, heading.start, heading.end) == ("270", words[5].start, words[8].end)
    assert heading.confidence == min(word.confidence for word in words[5:])
    assert (second.callsign, second.slots) == (None, ())
    decode.main([*more, "--words", "false"])
    assert {slot.start for slot in read_hypotheses(run_dir / "decode.jsonl")[0].slots} == {None}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--beam_size", "0"), "--beam_size: got 0, wanted int >= 1"),
        (("--search", "beam", "--lm_weight", "0.5"), "decode.lm_weight: got 0.5 without --lm_dir"),
        (
            ("--search", "lexicon", "--beam_size", "1", "--lm_dir", "x"),
            r"decode\.beam_size: got 1 with decode\.search lexicon, wanted 2 or more \(for instance 50\)",
        ),
        (
            ("--search", "lexicon_free", "--beam_size", "1"),
            r"decode\.beam_size: got 1 with decode\.search lexicon_free, wanted 2 or more",
        ),
        (
            ("--search", "lexicon_free", "--lm_weight", "0", "--lm_dir", "x"),
            r"decode\.lm_weight: got 0 with decode\.search lexicon_free, wanted a weight above 0",
        ),
        (("--boost", "x.csv"), r"--boost: got decode\.search beam, wanted lexicon"),
        (("--lexicon", "x", "--beam_size", "1"), r"--lexicon: got decode\.search greedy, wanted lexicon"),
        (("--posteriors", "x.npz"), "--manifest, --posteriors: got both, wanted one of them"),
        (("--search", "guess"), "--search: got 'guess'"),
    ],
)
def test_errors_leave_no_file(run_dir: Path, tmp_path: Path, more: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), *more))
    assert not (run_dir / "decode.jsonl").exists()


def test_invalid_manifests_leave_no_file(run_dir: Path, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    manifest.write_text(manifest.read_text() + "a,a.wav,1.0,CLIMB\n")
    with pytest.raises(InputError, match=r"test\.csv:5"):
        decode.main(flags(run_dir, manifest))
    manifest.write_text("id,wav,duration,transcript\nx,x.wav,1.0,CLIMB\n")
    with pytest.raises(InputError, match=r"x\.wav"):
        decode.main(flags(run_dir, manifest))
    assert not (run_dir / "decode.jsonl").exists()


def test_log_probabilities_of_other_tokens(run_dir: Path, tmp_path: Path) -> None:
    stored = tmp_path / "test.npz"
    posteriors.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), "--out_file", stored))
    (run_dir / "tokens.txt").write_text("<blank>\nA\n")
    with pytest.raises(InputError, match="other tokens"):
        decode.main(["--checkpoint_dir", str(run_dir), "--posteriors", str(stored)])


@pytest.fixture
def lm_dir(tmp_path: Path) -> Path:
    """A folder of stages.lm, estimated from `TEXTS`."""
    manifest = str(write_corpus(tmp_path / "train", TEXTS))
    out = ["--out_dir", str(tmp_path / "lm"), "--metrics_file", str(tmp_path / "lm.json")]
    tokens = ["--order", "2", "--token_order", "3", "--tokenizer_dir", str(tmp_path / "run")]
    lm.main(["--train_manifest", manifest, "--valid_manifest", manifest, *out, *tokens])
    return tmp_path / "lm"


@pytest.mark.parametrize(
    ("search", "num_processes"), [("beam", 1), ("lexicon", 1), ("lexicon_free", 1), ("lexicon", 2)]
)
def test_searches_with_ngram(run_dir: Path, lm_dir: Path, tmp_path: Path, search: str, num_processes: int) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS | {"new": "CLIMB GOLF"})
    more = ("--search", search, "--beam_size", 8, "--lm_weight", 0.3, "--num_processes", num_processes)
    decode.main(flags(run_dir, manifest, *more, "--lm_dir", lm_dir, "--nbest", 2))
    hypotheses = read_hypotheses(run_dir / "decode.jsonl")
    assert [(one.id, one.hyp) for one in hypotheses] == [*TEXTS.items(), ("new", "CLIMB GOLF")]
    assert [word.word for word in hypotheses[-1].words] == ["CLIMB", "GOLF"]
    assert hypotheses[0].nbest[0].hyp == hypotheses[0].hyp


def test_invalid_lexicons_and_language_models(run_dir: Path, lm_dir: Path, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    more = ("--search", "lexicon", "--beam_size", 8)
    with pytest.raises(InputError, match="without --lm_dir or --lexicon"):
        decode.main(flags(run_dir, manifest, *more, "--lm_weight", 0))
    (tmp_path / "words.txt").write_text("ONE\n747\n")
    with pytest.raises(InputError, match=r"words\.txt: word '747': no token contains '47'"):
        decode.main(flags(run_dir, manifest, *more, "--lm_weight", 0, "--lexicon", tmp_path / "words.txt"))
    (lm_dir / "words.txt").write_text("ÉTÉ\n")
    with pytest.raises(InputError, match=r"words\.txt:1: got 'ÉTÉ', wanted one normalised word"):
        decode.main(flags(run_dir, manifest, *more, "--lm_dir", lm_dir))
    (lm_dir / "words.txt").write_text("ONE\nTWO\n")
    write_arpa(lm_dir / "word.arpa", estimate([["one", "two"], ["two"]], 2))
    for search in ("lexicon", "beam"):
        with pytest.raises(InputError, match=r"word\.arpa: knows none of the 2 words or tokens \(ONE, TWO"):
            decode.main(flags(run_dir, manifest, "--search", search, *more[2:], "--lm_dir", lm_dir, "--lm_weight", 1))
    (lm_dir / "word.arpa").unlink()
    with pytest.raises(InputError, match=r"word\.arpa: no such file"):
        decode.main(flags(run_dir, manifest, *more, "--lm_dir", lm_dir, "--lm_weight", 1))
    assert not (run_dir / "decode.jsonl").exists()


def test_expected_callsign_is_recognised(
    run_dir: Path, lm_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atc_asr.decoding.lexicon.BEAM_TOKENS", 40)
    manifest = write_corpus(tmp_path / "corpus", {"x": "DELTA ONE TOO"})
    (tmp_path / "boost.csv").write_text("callsign,file\nDAL12,x\n")
    more = ("--search", "lexicon", "--beam_size", 20, "--lm_dir", lm_dir, "--oov_score", -3, "--num_processes", 1)
    decode.main(flags(run_dir, manifest, *more))
    assert read_hypotheses(run_dir / "decode.jsonl")[0].hyp == "DELTA ONE TOO"
    decode.main(flags(run_dir, manifest, *more, "--boost", tmp_path / "boost.csv", "--boost_score", 8))
    assert read_hypotheses(run_dir / "decode.jsonl")[0].hyp == "DELTA ONE TWO"


@pytest.mark.parametrize("search", ["greedy", "beam", "lexicon", "lexicon_free"])
def test_searches_with_sentencepiece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: str) -> None:
    if search.startswith("lexicon"):
        monkeypatch.setattr("atc_asr.decoding.lexicon.BEAM_TOKENS", 40)
    texts = TEXTS | {"d": "CLIMB LEFT DELTA TURN", "e": "UNITED ONE HEAVY", "f": "LEFT TURN CLIMB TWO"}
    pieces = train_spm(list(texts.values()) * 4, 25)
    pieces.save(tmp_path)
    monkeypatch.setattr(atc_asr.model.run_folder, "load_recognizer", lambda *_, **__: EchoRecognizer(pieces))
    manifest = write_corpus(tmp_path / "corpus", texts, pieces)
    lm_files = ["--out_dir", str(tmp_path / "lm"), "--metrics_file", str(tmp_path / "lm.json")]
    orders = ["--order", "2", "--token_order", "3", "--tokenizer_dir", str(tmp_path)]
    lm.main(["--train_manifest", str(manifest), "--valid_manifest", str(manifest), *lm_files, *orders])
    lm_weight = 0.0 if search == "greedy" else 0.3
    more = ("--search", search, "--beam_size", 8, "--lm_weight", lm_weight, "--num_processes", 1)
    decode.main(flags(tmp_path, manifest, *more, "--lm_dir", tmp_path / "lm"))
    assert {one.id: one.hyp for one in read_hypotheses(tmp_path / "decode.jsonl")} == texts


def test_run_folder_without_tokens(run_dir: Path, tmp_path: Path) -> None:
    stored = tmp_path / "test.posteriors"
    posteriors.main(flags(run_dir, write_corpus(tmp_path / "corpus", TEXTS), "--out_file", stored))
    (run_dir / "tokens.txt").unlink()
    with pytest.raises(InputError, match=r"has no tokens\.txt"):
        decode.main(["--checkpoint_dir", str(run_dir), "--posteriors", str(stored)])
    assert not (run_dir / "decode.jsonl").exists()


def test_message_without_the_library(
    run_dir: Path, lm_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    with pytest.raises(InputError, match=r"got lexicon, whose library cannot be loaded \(.*kenlm.*\), wanted greedy"):
        decode.main(flags(run_dir, manifest, "--lm_dir", lm_dir))
    assert not (run_dir / "decode.jsonl").exists()
    decode.main(flags(run_dir, manifest, "--lm_dir", lm_dir, "--search", "greedy"))
    assert read_hypotheses(run_dir / "decode.jsonl")[1].hyp == "CLIMB"


@pytest.mark.parametrize(
    ("more", "search", "unused"),
    [
        ((), {"search": "beam", "beam_size": 100, "lm_weight": 0.0}, ["lm_weight"]),
        (("--beam_size", 1), {"search": "greedy", "beam_size": 1, "lm_weight": 0.0}, ["lm_weight"]),
        (("--lm_dir", "LM"), {"search": "lexicon", "beam_size": 100, "lm_weight": 0.7}, []),
        (("--lm_dir", "LM", "--beam_size", 1), {"search": "greedy", "beam_size": 1, "lm_weight": 0.0}, ["lm_weight"]),
        (
            ("--lm_dir", "LM", "--search", "greedy", "--word_score", 1),
            {"search": "greedy", "beam_size": 1, "lm_weight": 0.0},
            ["lm_weight", "word_score"],
        ),
    ],
)
def test_search_auto_is_named(
    run_dir: Path,
    lm_dir: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    more: tuple,
    search: dict,
    unused: list,
) -> None:
    caplog.set_level("INFO")
    manifest = write_corpus(tmp_path / "corpus", TEXTS)
    words = [lm_dir if word == "LM" else word for word in more]
    decode.main(flags(run_dir, manifest, *words, "--lm_weight", 0.7, "--beam_threshold", 12, "--num_processes", 1))
    named = json.loads((run_dir / "decode.search.json").read_text())
    assert search.items() <= named.items()
    library = {"lexicon": "camel-kenlm", "beam": "speechbrain", "greedy": "numpy"}[search["search"]]
    assert named["library"].startswith(library)
    messages = [record.getMessage() for record in caplog.records]
    assert any(text.startswith(f"search: {search['search']} ({library}") for text in messages)
    assert [text.split()[2] for text in messages if "no effect" in text] == [f"decode.{name}" for name in unused]
    rows = [json.loads(line) for line in (run_dir / "decode.jsonl").read_text().splitlines()]
    greedy = [None if search["search"] == "greedy" else text for text in TEXTS.values()]
    assert [row.get("greedy") for row in rows] == greedy
