"""Stage score: files in, files out, errors for input that cannot be scored."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from atc_asr.core.errors import InputError
from atc_asr.scoring.params import ScoreFlags, ScoreParams
from stages import score

PARAMS = ScoreParams(
    resamples=200,
    confidence=95.0,
    group_column=None,
    callsign_column=None,
    operators=None,
    normalize_hypotheses=False,
    estimate_snr=True,
    slice_columns=["speaker", "role"],
)
REFS = {"u1": "UNITED SIX EIGHTY SIX HEADING TWO SEVEN ZERO", "u2": "DELTA TWO ROGER"}
HYPS = {"u1": "UNITED SIX EIGHTY SIX HEADING TWO EIGHT ZERO", "u2": "DELTA TWO ROGER"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(1).normal(0, 0.1, 16000), 16000)
    with open(tmp_path / "test.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "wav", "duration", "transcript", "speaker"])
        writer.writerows([name, "a.wav", 2.5, ref, f"s{name}"] for name, ref in REFS.items())
    write_hypotheses(tmp_path, HYPS)
    return tmp_path


def write_hypotheses(folder: Path, hyps: dict[str, str]) -> None:
    lines = [json.dumps({"id": name, "hyp": hyp}) + "\n" for name, hyp in hyps.items()]
    (folder / "hyp.jsonl").write_text("".join(lines), encoding="utf-8")


def run(folder: Path, params: ScoreParams = PARAMS) -> dict:
    """Score the corpus of `folder`; returns the scorecard."""
    out = folder / "out"
    flags = ScoreFlags(
        ref_manifest=[folder / "test.csv"],
        hyp_file=folder / "hyp.jsonl",
        metrics_file=out / "metrics.json",
        scorecard_file=out / "scorecard.json",
        alignments_file=out / "alignments.txt",
        slices_file=out / "slices.csv",
        confusions_file=out / "confusions.csv",
        words_file=out / "words.csv",
        corpora_file=out / "corpora.json",
    )
    score.run(params, flags)
    return json.loads((out / "scorecard.json").read_text(encoding="utf-8"))


def numbers_in(value: object) -> list:
    return [one for item in value.values() for one in numbers_in(item)] if isinstance(value, dict) else [value]


def test_scores_of_a_corpus_written_by_hand(corpus):
    found = run(corpus)
    assert found["wer"] == pytest.approx(100 / 11)
    assert found["wer_low"] <= found["wer"] <= found["wer_high"]
    assert (found["substitutions"], found["num_utterances"], found["sentence_error_rate"]) == (1, 2, 50.0)
    assert found["callsign"]["accuracy"] == 100.0 and found["callsign"]["accuracy_population"] == 2
    assert found["heading"]["critical_substitution_rate"] == 100.0
    assert found["levels"]["normalized"] == pytest.approx(found["wer"])


def test_the_scorecard_has_only_numbers(corpus):
    assert {type(value) for value in numbers_in(run(corpus))} <= {int, float, type(None)}


def test_metrics_are_a_few_numbers_of_the_scorecard(corpus):
    scorecard = run(corpus)
    assert json.loads((corpus / "out" / "metrics.json").read_text(encoding="utf-8")) == {
        "wer": 9.09,
        "wer_low": round(scorecard["wer_low"], 2),
        "wer_high": round(scorecard["wer_high"], 2),
        "cer": round(scorecard["cer"], 2),
        "ser": 50.0,
        "callsign": 100.0,
        "slots": round(scorecard["slot_accuracy"], 2),
        "critical": round(scorecard["critical_substitution_rate"], 2),
        "utterances": 2,
    }


def test_a_corpus_without_a_name_has_one_wer(corpus):
    assert "corpora" not in run(corpus)
    assert json.loads((corpus / "out" / "corpora.json").read_text(encoding="utf-8")) == {"wer": 9.09}


HEADING = "UNITED SIX EIGHTY SIX HEADING TWO SEVEN ZERO"
# Corpus -> (reference, hypothesis, speaker); one has no name, one has a name with a dot.
CORPORA = {
    "v1.0": [(HEADING, HEADING, "a"), (HEADING, HEADING.replace("SEVEN", "EIGHT"), "b"), ("ROGER", "ROGER", "b")],
    "": [("SAY AGAIN", "SAY", "c")],
    "uwb": [("DELTA TWO ROGER", "DELTA TWO ROGER", f"s{number % 2}") for number in range(8)],
}


def score_corpora(folder: Path, names: list[str], params: ScoreParams) -> dict:
    rows = [(name, *row) for name in names for row in CORPORA[name]]
    lines = [f"u{place},a.wav,2.5,{ref},{name},{speaker}" for place, (name, ref, _, speaker) in enumerate(rows)]
    text = "\n".join(["id,wav,duration,transcript,corpus,speaker", *lines, ""])
    (folder / "test.csv").write_text(text, encoding="utf-8")
    write_hypotheses(folder, {f"u{place}": hyp for place, (_, _, hyp, _) in enumerate(rows)})
    return run(folder, params)


@pytest.mark.parametrize("group_column", [None, "speaker"])
def test_the_rates_of_every_corpus_are_those_of_the_corpus_alone(corpus, group_column):
    params = PARAMS.model_copy(update={"group_column": group_column})
    found = score_corpora(corpus, list(CORPORA), params)["corpora"]
    metrics = json.loads((corpus / "out" / "corpora.json").read_text(encoding="utf-8"))
    assert metrics == {"wer": {"unnamed": 50.0, "uwb": 0.0, "v1.0": 5.88}}
    for name in CORPORA:
        alone, together = score_corpora(corpus, [name], params), found[name or "unnamed"]
        for rate in ("wer", "cer", "sentence_error_rate", "slot_accuracy", "critical_substitution_rate"):
            for number in (rate, f"{rate}_population"):
                assert together[number] == alone[number], (name, number)
        assert together["callsign"]["accuracy"] == alone["callsign"]["accuracy"]
    assert found["v1.0"]["wer_low"] <= found["v1.0"]["wer"] <= found["v1.0"]["wer_high"]
    # All of eight, or of two speakers: the interval is that of the corpus alone, see bootstrap.widen_degenerate.
    assert found["uwb"]["callsign"]["accuracy_low"] == pytest.approx(100 * 0.025 ** (1 / (2 if group_column else 8)))


def test_greedy_texts_are_scored_beside_those_of_the_search(corpus):
    """Only where every hypothesis has one; u1 lacks two of the eleven words of the references."""

    def write(*texts: str | None) -> None:
        rows = [
            {"id": name, "hyp": ref} | ({} if text is None else {"greedy": text})
            for (name, ref), text in zip(REFS.items(), texts, strict=True)
        ]
        (corpus / "hyp.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

    write("UNITED SIX EIGHTY SIX HEADING TWO", "DELTA TWO ROGER")
    found = run(corpus)
    assert (found["wer"], found["greedy_wer"]) == (0.0, pytest.approx(200 / 11))
    assert found["greedy_wer_low"] <= found["greedy_wer"] <= found["greedy_wer_high"]
    assert json.loads((corpus / "out" / "metrics.json").read_text(encoding="utf-8"))["greedy_wer"] == 18.18
    write("UNITED SIX EIGHTY SIX HEADING TWO", None)
    assert "greedy_wer" not in run(corpus)


def test_tables_for_plots(corpus):
    run(corpus)
    with open(corpus / "out" / "slices.csv", encoding="utf-8") as file:
        rows = {(row["slice"], row["group"]): row for row in csv.DictReader(file)}
    assert ("speaker", "su1") in rows and ("role", "pilot") not in rows
    assert rows["duration", "2-4 s"]["num_utterances"] == "2"
    assert float(rows["speaker", "su2"]["wer"]) == 0.0
    assert any(name == "SNR" for name, _ in rows)
    assert (corpus / "out" / "confusions.csv").read_text(encoding="utf-8") == "ref,hyp\nSEVEN,EIGHT\n"
    assert "SEVEN,1,0.00,1,0,EIGHT:1" in (corpus / "out" / "words.csv").read_text(encoding="utf-8")


def test_the_audio_is_read_only_for_the_noise_slices(corpus):
    (corpus / "a.wav").write_bytes(b"no audio")
    run(corpus, PARAMS.model_copy(update={"estimate_snr": False}))
    with pytest.raises(InputError, match=r"a.wav \(id u1\): cannot be read as audio"):
        run(corpus)


def test_the_true_callsigns_may_come_from_the_manifest(corpus):
    text = (corpus / "test.csv").read_text(encoding="utf-8").replace("su1", "UAL686").replace("su2", "DAL3")
    (corpus / "test.csv").write_text(text, encoding="utf-8")
    assert run(corpus, PARAMS.model_copy(update={"callsign_column": "speaker"}))["callsign"]["accuracy"] == 50.0


def write_corpus(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    """References, hypotheses and a column `aircraft`."""
    lines = [f'u{number},a.wav,2.5,{ref},"{aircraft}"' for number, (ref, _, aircraft) in enumerate(rows)]
    header = "id,wav,duration,transcript,aircraft"
    (folder / "test.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    write_hypotheses(folder, {f"u{number}": hyp for number, (_, hyp, _) in enumerate(rows)})


BY_AIRCRAFT = PARAMS.model_copy(update={"callsign_column": "aircraft", "estimate_snr": False})


@pytest.mark.parametrize("params", [BY_AIRCRAFT, BY_AIRCRAFT.model_copy(update={"callsign_column": None})])
def test_callsigns_of_operators_that_are_gone(corpus, params):
    texts = [
        ("SWISSAIR SIX SEVEN FIVE TWO TURN LEFT TO KINES", "SWR6752"),
        ("AERO LLOYD FIVE ONE SEVEN CONTACT ZURICH ONE THREE FOUR DECIMAL SIX", "AEF517"),
        ("HAMBURG AIR TWO FIVE FOUR SIX REPORT HEADING", "HAS2546"),
    ]
    write_corpus(corpus, [(text, text, aircraft) for text, aircraft in texts])
    found = run(corpus, params)["callsign"]
    assert (found["accuracy"], found["accuracy_population"], found["read"]) == (100.0, 3, 100.0)


def test_true_callsigns_are_compared_as_icao_forms(corpus):
    texts = [
        ("LUFTHANSA FOUR SIX FIVE DESCEND", "DLH465  "),
        ("DELTA TWO ONE EIGHT ONE CLEARED TO LAND", "dal2181"),
        ("NOVEMBER ONE TWO THREE ALPHA BRAVO CLEARED TO LAND", "N-123AB"),
        ("AMERICAN TWENTY TWO CLEARED TO LAND", "AAL022"),
        ("OSCAR MIKE BRAVO CLEARED TO LAND", "OK-PMB"),
        ("ROGER", "ATCO radar"),
        ("ROGER", "D1-1"),
        ("ROGER", " "),
    ]
    write_corpus(corpus, [(text, text, aircraft) for text, aircraft in texts])
    found = run(corpus, BY_AIRCRAFT)["callsign"]
    assert (found["accuracy"], found["accuracy_population"]) == (100.0, 5)
    assert (found["utterances_read"], found["utterances_without"]) == (5, 3)


def test_a_true_callsign_that_is_none_is_refused_with_its_line(corpus):
    write_corpus(corpus, [("ROGER", "ROGER", "UAL6"), ("ROGER", "ROGER", "the blue one")])
    with pytest.raises(InputError, match=r"test.csv:3: aircraft: got 'the blue one', wanted a call sign in ICAO form"):
        run(corpus, BY_AIRCRAFT)
    assert not [path for path in (corpus / "out").rglob("*") if path.is_file()]


def test_utterances_are_counted_by_what_is_read_of_their_callsign(corpus):
    texts = ["UNITED SIX ROGER", "KISTLER FOUR FIVE SIX ROGER", "UNITED SIX EIGHTY SIX TWO SEVEN ZERO", "SAY AGAIN"]
    write_corpus(corpus, [(text, text, "") for text in texts])
    found = run(corpus, PARAMS.model_copy(update={"estimate_snr": False}))["callsign"]
    counts = [found[f"utterances_{status}"] for status in ("read", "unreadable", "without")]
    assert (counts, found["accuracy_population"], found["read_population"]) == ([1, 2, 1], 1, 3)
    assert found["read"] == pytest.approx(100 / 3)


def test_operators_of_the_user_are_read(corpus):
    write_corpus(corpus, [("KISTLER FOUR FIVE SIX ROGER", "KISTLER FOUR FIVE SIX ROGER", "")])
    (corpus / "operators.csv").write_text("icao,telephony\nKST,Kistler\n", encoding="utf-8")
    params = PARAMS.model_copy(update={"operators": str(corpus / "operators.csv"), "estimate_snr": False})
    assert run(corpus, params)["callsign"]["accuracy_population"] == 1
    (corpus / "other.csv").write_text("icao,telephony\nKISTLER,Kistler\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"other.csv:2: got icao 'KISTLER', wanted three letters"):
        run(corpus, params.model_copy(update={"operators": str(corpus / "other.csv")}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "u1", "hyp": "UNITED"}\n{"id": "u2", "hy', "hyp.jsonl:2"),
        ('{"id": "u1", "hyp": "A"}\n{"id": "u1", "hyp": "A"}\n', "u1"),
        ('{"id": "u1"}\n', "hyp"),
        ('{"id": "u1", "hyp": "united"}\n{"id": "u2", "hyp": "DELTA"}\n', "are not normalised"),
        ('{"id": "u1", "hyp": "A"}\n', "1 without a hypothesis (u2)"),
        ("", "hyp.jsonl"),
    ],
)
def test_hypotheses_that_cannot_be_scored_leave_no_files(corpus, content, message):
    (corpus / "hyp.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        run(corpus)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (corpus / "out").exists()


def test_a_manifest_with_another_header_is_an_error(corpus):
    (corpus / "test.csv").write_text("ID,wav,duration,words\nu1,a.wav,1,A\n", encoding="utf-8")
    with pytest.raises(InputError, match="column id is missing"):
        run(corpus)
    assert not (corpus / "out").exists()


def test_flags_replace_values_of_the_params_file(corpus):
    arguments = [
        *("--ref_manifest", str(corpus / "test.csv"), "--hyp_file", str(corpus / "hyp.jsonl")),
        *("--metrics_file", str(corpus / "m.json"), "--scorecard_file", str(corpus / "s.json")),
        *("--alignments_file", str(corpus / "a.txt"), "--resamples", "100", "--estimate_snr", "false"),
    ]
    score.main(arguments)
    assert json.loads((corpus / "s.json").read_text(encoding="utf-8"))["num_utterances"] == 2
    assert json.loads((corpus / "m.json").read_text(encoding="utf-8"))["utterances"] == 2
    assert "id: u1" in (corpus / "a.txt").read_text(encoding="utf-8")
