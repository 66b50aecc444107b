"""Guard corpora: which epochs are used, what a refused training leaves, and whether their WERs are right."""

import csv
from dataclasses import replace

import pytest
import torch

from atc_asr.core.errors import InputError
from atc_asr.core.params import CorpusParams
from atc_asr.model import run_folder
from atc_asr.model.run_folder import load_recognizer
from atc_asr.training import training
from atc_asr.training.brain import ConformerCTC
from atc_asr.training.guard import Guard, make_guard
from tests.training.test_training import assert_same_weights, train_until, weights

CORPORA = {
    "radio": CorpusParams(weight=1.0, role="train", export={}),
    "digits": CorpusParams(weight=0.0, role="guard", export={}),
}


@pytest.fixture
def guarded(config, changed):
    """A training with six utterances, of two epochs; `guarded(max_guard_wer=20.0)` changes keys of `train`."""
    rows = [replace(row, columns={"corpus": "radio"}) for row in config.train_set]
    digits = [replace(row, columns={"corpus": "digits"}) for row in config.train_set[8:10]]

    def make(**train):
        named = replace(config, train_set=rows[:6], valid_set=[*rows[6:8], *digits], corpora=CORPORA)
        return changed(named, train=train)

    return make


@pytest.fixture
def measured(monkeypatch):
    """Sets the WERs of the epochs on both corpora: `measured([9, 5], [10, 20])`."""

    def make(wers, guards):
        rows = iter(zip(wers, guards, strict=True))

        def gather(brain):
            wer, guard = next(rows)
            return {"valid_loss": 1.0, "valid_wer": wer, "valid_wer_radio": wer, "valid_wer_digits": guard}

        monkeypatch.setattr(ConformerCTC, "gather_validation", gather)

    return make


def kept_epochs(folder):
    """The epochs of the checkpoints, by the curves in them."""
    paths = folder.glob(f"{run_folder.CHECKPOINTS}/CKPT+*/CKPT.yaml")
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return {int(line.partition(": ")[2]) for text in texts for line in text.splitlines() if line.startswith("epoch:")}


WERS, GUARDS = [9.0, 5.0, 4.0, 6.0], [10.0, 20.0, 40.0, 15.0]


@pytest.mark.parametrize(
    ("limit", "average", "select", "best", "kept"),
    [
        (None, 1, "best", 3, {3, 4}),
        (25.0, 1, "best", 2, {2, 4}),
        (20.0, 2, "best", 2, {2, 4}),
        (15.0, 2, "best", 4, {1, 4}),
        (25.0, 2, "last", 4, {2, 4}),
        (10.0, 2, "last", 1, {1, 4}),
    ],
)
def test_only_epochs_within_the_limit_are_used(
    guarded, measured, tmp_path, monkeypatch, limit, average, select, best, kept
):
    monkeypatch.setattr(Guard, "measure", lambda *_: {"valid_wer_digits": 0.0})  # of the mean
    measured(WERS, GUARDS)
    config = guarded(epochs=4, max_guard_wer=limit, average_checkpoints=average, average_select=select)
    result = training.train(config, tmp_path / "run")
    assert result.best["epoch"] == best
    assert kept_epochs(tmp_path / "run") == kept
    within = [guard for guard in GUARDS if limit is None or guard <= limit]
    assert result.stats["averaged_epochs"] == min(average, len(within))


def test_a_mean_above_the_limit_is_replaced_by_the_best_of_its_epochs(guarded, measured, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Guard, "measure", lambda *_: {"valid_wer_digits": 20.5})
    measured(WERS, GUARDS)
    result = training.train(guarded(epochs=4, max_guard_wer=20.0, average_checkpoints=2), tmp_path / "run")
    assert "the mean of 2 epochs is above train.max_guard_wer; using epoch 2 alone" in caplog.text
    assert (result.best["epoch"], result.stats["averaged_epochs"]) == (2, 1)
    first, _ = sorted((tmp_path / "run" / run_folder.CHECKPOINTS).glob("CKPT+*/model.ckpt"))
    assert_same_weights(torch.load(first, weights_only=True), weights(tmp_path / "run"))


@pytest.mark.parametrize(
    ("guards", "epochs"), [([10.0, 10.0, 30.0, 30.0, 10.0], 4), ([30.0, 30.0, 10.0, 10.0, 10.0], 2)]
)
def test_patience_counts_epochs_above_the_limit_as_no_gain(guarded, measured, tmp_path, guards, epochs):
    """The WER falls in every epoch."""
    measured([9.0, 8.0, 7.0, 6.0, 5.0], guards)
    config = guarded(epochs=5, patience=2, max_guard_wer=20.0)
    if epochs == 2:
        with pytest.raises(InputError, match=r"in epoch 1 of 2, wanted at most 20 %"):
            training.train(config, tmp_path / "run")
    else:
        assert len(training.train(config, tmp_path / "run").curves) == epochs


def test_no_epoch_within_the_limit_refuses_the_run(guarded, measured, tmp_path, monkeypatch):
    """What is left can be read; the same command refuses again without training."""
    measured([9.0, 5.0], [40.0, 34.25])
    config, folder = guarded(max_guard_wer=20.0), tmp_path / "run"
    with pytest.raises(
        InputError, match=r"^train\.max_guard_wer: the lowest WER .* is 34\.25 %, in epoch 2 of 2"
    ) as first:
        training.train(config, folder)
    assert "\n" not in str(first.value) and str(folder) in str(first.value)
    assert not (folder / run_folder.MODEL).exists() and not (folder / run_folder.HPARAMS).exists()
    rows = list(csv.DictReader((folder / run_folder.CURVES).open(encoding="utf-8")))
    assert [row["valid_wer_digits"] for row in rows] == ["40.0", "34.25"]
    assert kept_epochs(folder) == {2}
    monkeypatch.setattr(ConformerCTC, "fit_batch", lambda *_: pytest.fail("trains again"))
    with pytest.raises(InputError) as again:
        training.train(config, folder)
    assert str(again.value) == str(first.value)


def test_the_wers_of_an_epoch_are_those_of_the_network(guarded, tmp_path, caplog):
    """valid_wer leaves the guard out; the message about the epoch has both."""
    caplog.set_level("INFO")
    config = guarded(epochs=1, ema_decay=0.5)
    result = training.train(config, tmp_path / "run")
    guard, recognizer = make_guard(config), load_recognizer(tmp_path / "run", device="cpu")
    assert guard.measure(recognizer, 9.0) == {"valid_wer_digits": pytest.approx(result.best["valid_wer_digits"])}
    assert result.best["valid_wer"] == result.best["valid_wer_radio"]
    assert f", on digits {result.best['valid_wer_digits']:.1f} %," in caplog.text
    assert "above" not in caplog.text


def test_a_killed_training_with_a_guard_resumes_to_the_same_weights(guarded, tmp_path, monkeypatch):
    config = guarded(checkpoint_minutes=1e-9, max_guard_wer=1000.0, average_checkpoints=2, patience=3)
    whole = training.train(config, tmp_path / "whole")
    train_until(3, config, tmp_path / "killed", monkeypatch)
    resumed = training.train(config, tmp_path / "killed")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    columns = ("epoch", "train_loss", "valid_loss", "valid_wer", "valid_wer_digits")
    assert [[row[name] for name in columns] for row in resumed.curves] == [
        [row[name] for name in columns] for row in whole.curves
    ]


@pytest.mark.parametrize(
    ("corpora", "got"),
    [
        ({}, "no guard corpus"),
        ({"radio": CORPORA["radio"]}, "no guard corpus"),
        ({**CORPORA, "other": CORPORA["digits"]}, "corpus other without utterances in valid"),
    ],
)
def test_a_limit_without_utterances_to_measure_is_refused(guarded, corpora, got):
    config = replace(guarded(max_guard_wer=20.0), corpora=corpora)
    with pytest.raises(InputError, match=rf"train\.max_guard_wer: got 20 and {got}, wanted a corpus with role guard"):
        make_guard(config)
    make_guard(replace(guarded(), corpora=corpora))


def test_every_guard_corpus_must_be_within_the_limit():
    guard = Guard({"a": [], "b": []}, 20.0)
    assert guard.holds({"valid_wer_a": 20.0, "valid_wer_b": 3.0})
    assert not guard.holds({"valid_wer_a": 3.0, "valid_wer_b": 20.1})
    assert guard.describe({"valid_wer_a": 3.0, "valid_wer_b": 20.1}) == ", on a 3.0 %, on b 20.1 % (above 20 %)"
    assert Guard({}, None).describe({}) == ""
