"""Word and character error rates: known answers, then agreement with jiwer and SpeechBrain."""

import random

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atc_asr.core.errors import InputError
from atc_asr.wer import wer

WORDS = ["DELTA", "ONE", "TWO", "NINER", "CLIMB", "A", "AH", "HEADING"]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def random_pairs(count: int, seed: int) -> list[wer.Pair]:
    """Pairs with random deletions, substitutions and insertions; some references and hypotheses are empty."""
    generator = random.Random(seed)
    pairs = []
    for number in range(count):
        ref = generator.choices(WORDS, k=generator.randint(0, 15))
        hyp = []
        for word in ref:
            draw = generator.random()
            hyp += [] if draw < 0.1 else [generator.choice(WORDS)] if draw < 0.25 else [word]
            hyp += [generator.choice(WORDS)] if generator.random() < 0.08 else []
        if generator.random() < 0.05:
            hyp = []
        if not ref and generator.random() < 0.5:
            hyp = generator.choices(WORDS, k=generator.randint(1, 3))
        pairs.append(wer.Pair(f"u{number}", " ".join(ref), " ".join(hyp)))
    return pairs


def summarize(pairs: list[wer.Pair]) -> dict:
    return wer.summarize(wer.count_corpus([wer.score_pair(pair) for pair in pairs]))


def test_counts_of_a_pair():
    scored = wer.score_pair(wer.Pair("u", "DELTA ONE TWO CLIMB NOW", "DELTA NINER TWO CLIMB RIGHT NOW"))
    assert scored.words == wer.Counts(hits=4, substitutions=1, deletions=0, insertions=1)
    assert scored.words.rate == pytest.approx(40.0)
    assert [step.operation for step in scored.steps] == ["equal", "substitute", "equal", "equal", "insert", "equal"]


def test_the_space_between_words_is_a_character():
    scored = wer.score_pair(wer.Pair("u", "AB C", "ABC"))
    assert scored.characters == wer.Counts(hits=3, deletions=1)


@pytest.mark.parametrize(
    ("ref", "hyp", "counts"),
    [
        ("", "", wer.Counts()),
        ("", "AH", wer.Counts(insertions=1)),
        ("DELTA ONE", "", wer.Counts(deletions=2)),
        ("DELTA", "DELTA ", wer.Counts(hits=1)),
        ("  DELTA  ONE ", "DELTA ONE", wer.Counts(hits=2)),
    ],
)
def test_empty_texts_and_extra_spaces(ref, hyp, counts):
    assert wer.score_pair(wer.Pair("u", ref, hyp)).words == counts


def test_the_corpus_rate_is_not_the_mean_of_the_utterance_rates():
    pairs = [wer.Pair("a", "ONE", "TWO"), wer.Pair("b", "ONE TWO A AH", "ONE TWO A AH")]
    assert summarize(pairs)["wer"] == pytest.approx(20.0)


def test_empty_references_are_counted_separately():
    pairs = [wer.Pair("a", "ONE TWO", "ONE"), wer.Pair("b", "", "AH AH"), wer.Pair("c", "", "")]
    summary = summarize(pairs)
    assert summary["wer"] == pytest.approx(50.0)
    assert (summary["num_utterances"], summary["num_empty_references"]) == (1, 2)
    assert (summary["insertions"], summary["insertions_on_empty_references"]) == (0, 2)


def test_a_corpus_of_empty_references_has_no_rate():
    summary = summarize([wer.Pair("a", "", "AH")])
    assert summary["wer"] is None and summary["cer"] is None and summary["sentence_error_rate"] is None


def test_counts_equal_jiwer_on_a_thousand_pairs():
    pairs = random_pairs(1000, seed=1)
    summary = summarize(pairs)
    expected = jiwer.process_words([pair.ref for pair in pairs], [pair.hyp for pair in pairs])
    insertions = summary["insertions"] + summary["insertions_on_empty_references"]
    assert summary["num_empty_references"] > 10 and summary["num_empty_hypotheses"] > 10
    assert (insertions, summary["deletions"], summary["substitutions"]) == (
        expected.insertions,
        expected.deletions,
        expected.substitutions,
    )
    rated = [pair for pair in pairs if pair.ref]
    words = jiwer.process_words([pair.ref for pair in rated], [pair.hyp for pair in rated])
    characters = jiwer.process_characters([pair.ref for pair in rated], [pair.hyp for pair in rated])
    assert summary["wer"] == pytest.approx(100 * words.wer)
    assert summary["cer"] == pytest.approx(100 * characters.cer)
    assert (
        summary["character_insertions"],
        summary["character_deletions"],
        summary["character_substitutions"],
    ) == (characters.insertions, characters.deletions, characters.substitutions)


def test_errors_equal_speechbrain_on_a_thousand_pairs():
    """SpeechBrain chooses other alignments of equal cost, so only the sums of errors agree."""
    metric_stats = pytest.importorskip("speechbrain.utils.metric_stats")
    pairs = random_pairs(1000, seed=2)
    stats = metric_stats.ErrorRateStats()
    stats.append([p.id for p in pairs], [p.hyp.split() for p in pairs], [p.ref.split() for p in pairs])
    theirs = stats.summarize()
    ours = wer.total(wer.score_pair(pair).words for pair in pairs)
    assert ours.errors == theirs["num_edits"]
    assert ours.ref_length == theirs["num_scored_tokens"]
    assert ours.rate == pytest.approx(theirs["error_rate"])


@settings(deadline=None)  # the first example may import modules
@given(ref=texts, hyp=texts)
def test_an_alignment_contains_both_texts_and_has_the_fewest_errors(ref, hyp):
    steps = wer.align(ref.split(), hyp.split())
    assert [step.ref for step in steps if step.ref is not None] == ref.split()
    assert [step.hyp for step in steps if step.hyp is not None] == hyp.split()
    assert all((step.ref == step.hyp) == (step.operation == "equal") for step in steps)
    assert wer.count_steps(steps) == wer.count_edits(ref.split(), hyp.split())
    assert wer.count_steps(steps).errors == edit_distance(ref.split(), hyp.split())


def edit_distance(ref: list[str], hyp: list[str]) -> int:
    """The textbook recurrence."""
    row = list(range(len(hyp) + 1))
    for i, word in enumerate(ref, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hyp, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def test_pairs_are_in_the_order_of_the_references():
    pairs = wer.pair_by_id({"b": "ONE", "a": "TWO"}, {"a": "TWO", "b": "A"})
    assert pairs == [wer.Pair("b", "ONE", "A"), wer.Pair("a", "TWO", "TWO")]


def test_ids_without_a_partner_are_listed():
    with pytest.raises(InputError, match=r"1 without a hypothesis \(b\); 2 without a reference \(x, y\)"):
        wer.pair_by_id({"a": "", "b": ""}, {"a": "", "x": "", "y": ""})


def test_a_long_list_of_ids_is_shortened():
    with pytest.raises(InputError, match="and 30 more") as caught:
        wer.pair_by_id({f"u{number}": "" for number in range(40)}, {})
    assert "\n" not in str(caught.value)


def test_an_alignment_as_text():
    scored = wer.score_pair(wer.Pair("u7", "DELTA ONE CLIMB", "DELTA TWO CLIMB NOW"))
    assert wer.format_alignment(scored).splitlines() == [
        "id: u7  WER: 66.67 %  [2 / 3, 1 ins, 0 del, 1 sub]",
        "REF DELTA ONE CLIMB ***",
        "HYP DELTA TWO CLIMB NOW",
        "          S         I",
    ]


def test_an_alignment_of_empty_texts_as_text():
    scored = wer.score_pair(wer.Pair("u", "", ""))
    assert wer.format_alignment(scored).splitlines() == [
        "id: u  WER: -  [0 / 0, 0 ins, 0 del, 0 sub]",
        "REF",
        "HYP",
    ]
