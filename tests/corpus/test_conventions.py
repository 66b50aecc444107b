"""Transcription conventions: 40 lines of each corpus after its published guidelines, and what is counted as removed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.text import normalize
from atc_asr.corpus import conventions

LINES = Path(__file__).with_name("conventions")
CORPORA = ("atc0", "atcosim", "uwb", "atco2")


def read_lines(corpus):
    """(transcript, spoken words) of a corpus."""
    lines = (LINES / f"{corpus}.tsv").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_words_that_were_spoken_are_kept_and_no_others(corpus):
    lines = read_lines(corpus)
    assert len(lines) == 40
    assert [normalize(conventions.apply(raw, corpus)[0]) for raw, _ in lines] == [spoken for _, spoken in lines]


def test_removed_texts_are_counted_by_kind():
    assert conventions.apply("[air] (H(otel)) [comment_|] x [|_comment] [no_eng_|] y [|_no_eng] [noise]", "uwb")[1] == (
        ("comments", "[comment_|] x [|_comment]"),
        ("foreign", "[no_eng_|] y [|_no_eng]"),
        ("brackets", "(H(otel))"),
        ("marks", "[air]"),
        ("marks", "[noise]"),
    )
    assert conventions.apply("[a] turn (b) left <c> {d}", "plain") == (
        "  turn   left    ",
        (("marks", "[a]"), ("brackets", "(b)"), ("marks", "<c>"), ("marks", "{d}")),
    )


@given(st.text(alphabet="aB9 ./'[]()<>{}|_#éč"))
def test_plain_removes_what_the_normalisation_removes(raw):
    assert normalize(conventions.apply(raw, "plain")[0]) == normalize(raw)


@given(st.text(), st.sampled_from(CORPORA))
def test_any_text_is_accepted_and_nothing_is_left_to_remove(raw, corpus):
    spoken, _ = conventions.apply(raw, corpus)
    assert conventions.apply(spoken, "plain")[1] == ()


def test_a_layout_has_its_own_convention_where_none_is_named():
    assert conventions.choose("plain", "atco2") == "atco2"
    assert conventions.choose("uwb", "datasets") == "uwb"
    assert conventions.choose("plain", "datasets") == "plain"


@pytest.mark.parametrize(
    "piece", ["x", " ", "(", "((a", "a(", "(a(b", "_(", "[ne a", "[ne][/ne a", "[noise_|] x ", "/", "<FL>"]
)
@pytest.mark.parametrize("corpus", CORPORA)
def test_long_texts_take_linear_time(piece, corpus):
    conventions.apply(piece * (500_000 // len(piece)), corpus)
