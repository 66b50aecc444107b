"""Pairing of references and hypotheses, and the errors that prevent it."""

import json
from pathlib import Path

import pytest

from atc_asr.core.errors import InputError
from atc_asr.core.text import VERSION
from atc_asr.scoring import pairs


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "a.wav").touch()
    lines = ["id,wav,duration,transcript,speaker,callsign", "u1,a.wav,1.0,united six,s1,UAL6", "u2,a.wav,1.0,ROGER,,"]
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_hypotheses(tmp_path, {"u2": "ROGER", "u1": "UNITED SIX"})
    return tmp_path


def write_hypotheses(folder: Path, hyps: dict[str, str]) -> None:
    lines = [json.dumps({"id": name, "hyp": hyp}) for name, hyp in hyps.items()]
    (folder / "hyp.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(folder: Path, *, normalize_hypotheses: bool = False) -> pairs.PairedCorpus:
    return pairs.read_pairs([folder / "test.csv"], folder / "hyp.jsonl", normalize_hypotheses=normalize_hypotheses)


def test_pairs_are_normalised_and_the_written_texts_are_kept(corpus):
    found = read(corpus)
    assert [(one.id, one.ref, one.hyp) for one in found.pairs] == [
        ("u1", "UNITED SIX", "UNITED SIX"),
        ("u2", "ROGER", "ROGER"),
    ]
    assert found.written[0].ref == "united six"


def test_a_manifest_with_another_normalisation_is_an_error(corpus):
    (corpus / "stats.json").write_text('{"text_version": "0"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"test.csv: its text has normalisation 0, wanted"):
        read(corpus)


def test_a_manifest_with_this_normalisation_is_read(corpus):
    (corpus / "stats.json").write_text(json.dumps({"text_version": VERSION}), encoding="utf-8")
    assert len(read(corpus).pairs) == 2


def test_hypotheses_that_are_not_normalised_are_an_error(corpus):
    write_hypotheses(corpus, {"u1": "United six.", "u2": "ROGER"})
    with pytest.raises(InputError, match=r"hyp.jsonl \(id u1\): 1 of 2 hypotheses are not normalised") as caught:
        read(corpus)
    assert "\n" not in str(caught.value)


def test_hypotheses_are_normalised_on_request(corpus):
    write_hypotheses(corpus, {"u1": "United, six", "u2": "ROGER"})
    found = read(corpus, normalize_hypotheses=True)
    assert found.pairs[0].hyp == "UNITED SIX" and found.written[0].hyp == "United, six"


def test_hypotheses_of_another_corpus_are_listed(corpus):
    write_hypotheses(corpus, {"u1": "UNITED SIX", "x9": "ROGER"})
    with pytest.raises(InputError, match=r"1 without a hypothesis \(u2\); 1 without a reference \(x9\)"):
        read(corpus)


def test_true_callsigns_of_the_manifest(corpus):
    utterances = read(corpus).utterances
    assert pairs.read_column(utterances, None, "score.callsign_column") is None
    assert pairs.read_column(utterances, "callsign", "score.callsign_column") == ["UAL6", ""]
    with pytest.raises(InputError, match=r"score.callsign_column: no utterance has a tail"):
        pairs.read_column(utterances, "tail", "score.callsign_column")


def test_every_utterance_needs_a_group(corpus):
    utterances = read(corpus).utterances
    assert pairs.read_groups(utterances, None) is None
    with pytest.raises(InputError, match=r"score.group_column: id u2 and 0 more have no speaker"):
        pairs.read_groups(utterances, "speaker")
