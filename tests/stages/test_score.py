"""The score door: files in, files out, and one line for what cannot be scored."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from atc_asr.core.errors import InputError
from stages import score

PARAMS = score.ScoreParams(
    resamples=200,
    confidence=95.0,
    seed=1,
    group_column=None,
    callsign_column=None,
    normalize_hypotheses=False,
    duration_edges=[2.0],
    rate_edges=[100.0],
    snr_edges=[10.0],
    estimate_snr=True,
    slice_columns=["speaker", "role"],
    confused_words=30,
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


def run(folder: Path, params: score.ScoreParams = PARAMS) -> dict:
    score.run(
        params,
        ref_manifest=[folder / "test.csv"],
        hyp_file=folder / "hyp.jsonl",
        metrics_file=folder / "out" / "metrics.json",
        alignments_file=folder / "out" / "alignments.txt",
        slices_file=folder / "out" / "slices.csv",
        confusions_file=folder / "out" / "confusions.csv",
        words_file=folder / "out" / "words.csv",
    )
    return json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))


def numbers_in(value: object) -> list:
    return [one for item in value.values() for one in numbers_in(item)] if isinstance(value, dict) else [value]


def test_scores_of_a_corpus_written_by_hand(corpus):
    metrics = run(corpus)
    assert metrics["wer"] == pytest.approx(100 / 11)
    assert metrics["wer_low"] <= metrics["wer"] <= metrics["wer_high"]
    assert (metrics["substitutions"], metrics["num_utterances"], metrics["sentence_error_rate"]) == (1, 2, 50.0)
    assert metrics["callsign"]["accuracy"] == 100.0 and metrics["callsign"]["accuracy_population"] == 2
    assert metrics["heading"]["critical_substitution_rate"] == 100.0
    assert metrics["ladder"]["rule"] == pytest.approx(metrics["wer"])


def test_metrics_hold_nothing_but_numbers(corpus):
    assert {type(value) for value in numbers_in(run(corpus))} <= {int, float, type(None)}


def test_tables_for_plots(corpus):
    run(corpus)
    with open(corpus / "out" / "slices.csv", encoding="utf-8") as file:
        rows = {(row["slice"], row["group"]): row for row in csv.DictReader(file)}
    assert ("speaker", "su1") in rows and ("role", "pilot") not in rows
    assert rows["duration", ">= 2 s"]["num_utterances"] == "2"
    assert float(rows["speaker", "su2"]["wer"]) == 0.0
    assert any(name == "SNR" for name, _ in rows)
    assert (corpus / "out" / "confusions.csv").read_text(encoding="utf-8") == "ref,hyp\nSEVEN,EIGHT\n"
    assert "SEVEN,1,0.00,1,0,EIGHT:1" in (corpus / "out" / "words.csv").read_text(encoding="utf-8")


def test_the_audio_is_left_alone_when_no_ratio_is_asked_for(corpus):
    (corpus / "a.wav").write_bytes(b"no audio")
    run(corpus, replace(PARAMS, estimate_snr=False))
    with pytest.raises(InputError, match=r"a.wav \(id u1\): cannot be read as audio"):
        run(corpus)


def test_the_callsign_column_is_the_truth_when_asked(corpus):
    text = (corpus / "test.csv").read_text(encoding="utf-8").replace("su1", "UAL686").replace("su2", "DAL3")
    (corpus / "test.csv").write_text(text, encoding="utf-8")
    assert run(corpus, replace(PARAMS, callsign_column="speaker"))["callsign"]["accuracy"] == 50.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "u1", "hyp": "UNITED"}\n{"id": "u2", "hy', "hyp.jsonl:2"),
        ('{"id": "u1", "hyp": "A"}\n{"id": "u1", "hyp": "A"}\n', "u1"),
        ('{"id": "u1"}\n', "hyp"),
        ('{"id": "u1", "hyp": "united"}\n{"id": "u2", "hyp": "DELTA"}\n', "another normalisation"),
        ('{"id": "u1", "hyp": "A"}\n', "1 without a hypothesis (u2)"),
        ("", "hyp.jsonl"),
    ],
)
def test_hypotheses_that_cannot_be_scored_leave_nothing_behind(corpus, content, message):
    (corpus / "hyp.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        run(corpus)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (corpus / "out").exists()


def test_a_manifest_with_another_header_is_one_line(corpus):
    (corpus / "test.csv").write_text("ID,wav,duration,words\nu1,a.wav,1,A\n", encoding="utf-8")
    with pytest.raises(InputError, match="column id is missing"):
        run(corpus)
    assert not (corpus / "out").exists()


def test_the_door_fills_its_section_from_the_params_file(corpus):
    arguments = [
        *("--ref_manifest", str(corpus / "test.csv"), "--hyp_file", str(corpus / "hyp.jsonl")),
        *("--metrics_file", str(corpus / "m.json"), "--alignments_file", str(corpus / "a.txt")),
        *("--resamples", "100", "--estimate_snr", "false"),
    ]
    score.main(arguments)
    assert json.loads((corpus / "m.json").read_text(encoding="utf-8"))["num_utterances"] == 2
    assert "id: u1" in (corpus / "a.txt").read_text(encoding="utf-8")
