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
        "wer": scorecard["wer"],
        "wer_low": scorecard["wer_low"],
        "wer_high": scorecard["wer_high"],
        "cer": scorecard["cer"],
        "ser": 50.0,
        "callsign": 100.0,
        "slots": scorecard["slot_accuracy"],
        "critical": scorecard["critical_substitution_rate"],
        "words": 11,
        "utterances": 2,
    }


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
