"""Training: it learns, resumes to the same weights, starts from other weights, and refuses unusable input."""

import os
from dataclasses import replace

import pytest
import soundfile
import torch
from speechbrain.utils.metric_stats import ErrorRateStats

from atc_asr.core.errors import InputError
from atc_asr.model import run_folder
from atc_asr.model.run_folder import load_recognizer
from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.training import cpu_fast_path, data, training
from atc_asr.training.brain import ConformerCTC
from atc_asr.training.config import select_train, training_key
from atc_asr.training.evaluation import evaluate, make_decoder


class Killed(BaseException):
    """In place of a signal that no handler gets."""


def train_until(batch_number, config, folder, monkeypatch):
    """A training that is killed in one of its batches, counted from 1."""
    fit_batch, seen = ConformerCTC.fit_batch, []

    def killed(brain, batch):
        seen.append(batch)
        if len(seen) == batch_number:
            raise Killed
        return fit_batch(brain, batch)

    with monkeypatch.context() as patched:
        patched.setattr(ConformerCTC, "fit_batch", killed)
        with pytest.raises(Killed):
            training.train(config, folder)


def weights(folder):
    return torch.load(folder / run_folder.MODEL, weights_only=True)


def assert_same_weights(left, right, atol=0.0):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=atol, rtol=0)


@pytest.fixture
def first(config, changed, tmp_path):
    """Run folder of a training of one epoch."""
    training.train(changed(config, train={"epochs": 1}), tmp_path / "first")
    return tmp_path / "first"


def test_the_same_training_gives_the_same_weights(config, tmp_path):
    for name in ("a", "b"):
        training.train(config, tmp_path / name)
    assert_same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))


AVERAGES = {"ema_decay": 0.9, "average_checkpoints": 2, "average_select": "last"}


@pytest.mark.parametrize(("batch_number", "changes"), [(3, {}), (2, {"grad_accum": 2}), (4, AVERAGES)])
def test_resumes_to_the_weights_of_an_undisturbed_training(
    config, changed, tmp_path, monkeypatch, batch_number, changes
):
    """Killed in the middle of an epoch or an update, with a checkpoint after every update."""
    rows = config.train_set[:12]
    config = changed(
        replace(config, train_set=rows, valid_set=rows[:2]),
        train={"checkpoint_minutes": 1e-9, **changes},
        augment={"speeds": [90, 100, 110], "radio_fraction": 0.5},
    )
    whole = training.train(config, tmp_path / "whole")
    train_until(batch_number, config, tmp_path / "killed", monkeypatch)
    torch.manual_seed(99)
    resumed = training.train(config, tmp_path / "killed")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "killed"), atol=1e-6)
    assert [row["epoch"] for row in resumed.curves] == [row["epoch"] for row in whole.curves] == [1, 2]
    assert resumed.best["valid_wer"] == whole.best["valid_wer"]
    for name in (run_folder.TRAIN_LOG, run_folder.CURVES):
        lines = [len((tmp_path / folder / name).read_text().splitlines()) for folder in ("whole", "killed")]
        assert lines[0] == lines[1]


def test_the_best_row_is_that_of_the_saved_weights(config, changed, tmp_path):
    """Of epochs with equal WERs the checkpointer keeps the last."""
    result = training.train(changed(config, train={"lr": 1e-9}), tmp_path / "run")
    assert [row["valid_wer"] for row in result.curves] == [result.best["valid_wer"]] * 2
    assert result.best["epoch"] == 2


def test_the_mean_of_two_epochs(config, changed, tmp_path):
    """The weights are the mean by hand, the best row is that of the better epoch."""
    result = training.train(changed(config, train={"average_checkpoints": 2}), tmp_path / "run")
    paths = sorted((tmp_path / "run" / run_folder.CHECKPOINTS).glob("CKPT+*/model.ckpt"))
    one, two = (torch.load(path, weights_only=True) for path in paths)
    by_hand = {name: (one[name] + two[name]) / 2 for name in one}
    assert_same_weights(by_hand, weights(tmp_path / "run"), atol=1e-6)
    assert result.stats["averaged_epochs"] == 2
    assert result.best["valid_wer"] == min(row["valid_wer"] for row in result.curves)


def test_moving_averages_are_validated_and_saved(config, changed, tmp_path):
    result = training.train(changed(config, train={"ema_decay": 0.99, "average_select": "last"}), tmp_path / "run")
    checkpoint = next((tmp_path / "run" / run_folder.CHECKPOINTS).glob("CKPT+*"))
    live = torch.load(checkpoint / "model.ckpt", weights_only=True)
    saved = weights(tmp_path / "run")
    assert max(float((live[name] - saved[name]).abs().max()) for name in live) > 1e-4
    averages = torch.load(checkpoint / "ema.ckpt", weights_only=True)["weights"]
    assert_same_weights(averages, {name: saved[name] for name in averages})
    scores = evaluate(load_recognizer(tmp_path / "run", device="cpu"), config.valid_set, beam_size=1, batch_seconds=9)
    assert scores.wer == pytest.approx(result.best["valid_wer"])


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (2, 5), (0, 6)])
def test_patience(config, changed, tmp_path, monkeypatch, patience, epochs):
    """The WER falls in epochs 1 and 3 only."""
    errors = iter([5.0, 6.0, 4.0, 4.0, 4.0, 4.0])
    monkeypatch.setattr(ConformerCTC, "gather_validation", lambda *_: {"valid_loss": 1.0, "valid_wer": next(errors)})
    rows = config.train_set[:6]
    short = changed(replace(config, train_set=rows, valid_set=rows[:1]), train={"epochs": 6, "patience": patience})
    result = training.train(short, tmp_path / "run")
    assert [row["epoch"] for row in result.curves] == list(range(1, epochs + 1))


def test_a_resumed_training_keeps_its_patience(config, changed, tmp_path, monkeypatch):
    config = changed(config, train={"epochs": 5, "patience": 2, "lr": 1e-9})
    train_until(10, config, tmp_path / "run", monkeypatch)  # in epoch 3: no gain since epoch 1
    result = training.train(config, tmp_path / "run")
    assert [row["epoch"] for row in result.curves] == [1, 2, 3]


@pytest.mark.slow
def test_learns_tones_by_heart(config, changed, tmp_path):
    config = changed(
        config,
        train={"epochs": 60, "lr": 1e-2},
        model={"dropout": 0.0},
        specaugment={"freq_masks": 0, "time_masks": 0},
    )
    result = training.train(config, tmp_path / "run")
    assert result.best["valid_wer"] < 20
    recognizer = load_recognizer(tmp_path / "run", device="cpu")
    greedy = evaluate(recognizer, config.valid_set, beam_size=1, batch_seconds=9)
    assert greedy.wer == pytest.approx(result.best["valid_wer"])
    beam = evaluate(recognizer, config.valid_set, beam_size=4, batch_seconds=9)
    assert beam.wer <= greedy.wer + 10


def test_the_wer_is_that_of_speechbrain(config, first, monkeypatch):
    """Every utterance alone, because SpeechBrain's ErrorRateStats scores the same; one reference is empty."""
    recognizer, stats = load_recognizer(first, device="cpu"), ErrorRateStats()
    rows = [replace(row, transcript=" ".join(row.transcript)) for row in config.valid_set]
    hypotheses = iter(["A B", "", "A B C D D", "D"])
    monkeypatch.setattr("atc_asr.training.evaluation.make_decoder", lambda *_: lambda *_: [next(hypotheses)])
    empty = replace(rows[0], transcript="")
    found = evaluate(recognizer, [*rows, empty], beam_size=1, batch_seconds=0.1)
    order = sorted(range(4), key=lambda index: -rows[index].duration)  # from long to short
    for index, text in zip(order, ["A B", "", "A B C D D", "D"], strict=True):
        stats.append([rows[index].id], [text.split()], [rows[index].transcript.split()])
    summary = stats.summarize()
    assert (found.wer, found.counts.errors) == (summary["error_rate"], summary["num_edits"])
    assert found.counts.ref_length == summary["num_scored_tokens"]


def test_the_validation_wer_is_that_of_speechbrain(config, tmp_path, monkeypatch):
    expected, tokens = [], config.tokens
    objectives = ConformerCTC.compute_objectives

    def counted(brain, predictions, batch, stage):
        if stage.name == "VALID":
            texts = make_decoder(tokens, 1)(predictions[0], batch.wav_lens)
            stats = ErrorRateStats()
            stats.append(batch.ids, [text.split() for text in texts], [text.split() for text in batch.transcripts])
            expected[-1:] = [expected[-1] + stats.scores] if brain.scores else [*expected[-1:], stats.scores]
        return objectives(brain, predictions, batch, stage)

    monkeypatch.setattr(ConformerCTC, "compute_objectives", counted)
    result = training.train(config, tmp_path / "run")
    assert len(expected) == len(result.curves) == 2
    for scores, row in zip(expected, result.curves, strict=True):
        stats = ErrorRateStats()
        stats.scores = scores
        assert row["valid_wer"] == stats.summarize("error_rate")


def test_starts_from_a_run_folder(config, changed, first, tmp_path):
    again = changed(config, train={"init_from": str(first), "lr": 1e-12})
    result = training.train(again, tmp_path / "second")
    assert result.stats["load_pretrained"]["parameters_new"] == 0
    assert_same_weights(weights(first), weights(tmp_path / "second"), atol=1e-6)


def test_refuses_the_weights_of_another_architecture(config, changed, first, tmp_path):
    other = changed(config, train={"init_from": str(first)}, model={"d_ffn": 64})
    with pytest.raises(InputError, match=r"model\.d_ffn: got 64, wanted 32 as in train\.init_from"):
        training.train(other, tmp_path / "second")


def test_adapters_are_merged_into_the_run_folder(config, changed, first, tmp_path):
    result = training.train(
        changed(config, train={"init_from": str(first), "epochs": 1}, lora={"peft": "lora"}), tmp_path / "run"
    )
    head = len(config.tokens) * 17
    assert result.stats["adapters"]["matrices"] == len(result.adapted) > 5
    # A checkpoint has the trained weights, frozen.ckpt the others, the run folder both.
    (folder,) = (tmp_path / "run" / run_folder.CHECKPOINTS).glob("CKPT+*")
    trained = torch.load(folder / "model.ckpt", weights_only=True)
    assert sum(tensor.numel() for tensor in trained.values()) == result.stats["trainable_parameters"]
    assert all(name.endswith((".up", ".down")) or name.startswith("2.") for name in trained)
    adapters = sum(tensor.numel() for name, tensor in trained.items() if not name.startswith("2."))
    assert result.stats["trainable_parameters"] == adapters + head < result.stats["parameters"]
    frozen = torch.load(folder.parent / run_folder.FROZEN, weights_only=True)
    assert not set(frozen) & set(trained)
    full, merged = weights(first), weights(tmp_path / "run")
    assert merged.keys() == full.keys()
    changes = {name for name in full if not torch.equal(full[name], merged[name])}
    assert changes == {f"1.{name}" for name in result.adapted} | {"2.w.weight", "2.w.bias"}
    load_recognizer(tmp_path / "run", device="cpu")


def test_averages_of_adapters(config, changed, tmp_path):
    train = {"ema_decay": 0.9, "average_checkpoints": 2}
    result = training.train(changed(config, train=train, lora={"peft": "lora"}), tmp_path / "run")
    assert result.stats["averaged_epochs"] == 2
    load_recognizer(tmp_path / "run", device="cpu")


def test_frozen_layers_keep_their_weights(config, changed, tmp_path):
    config = changed(config, model={"num_layers": 2}, train={"epochs": 1})
    training.train(config, tmp_path / "first")
    train = {"init_from": str(tmp_path / "first"), "freeze_layers": 1}
    result = training.train(changed(config, train=train), tmp_path / "second")
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    same = {name for name in before if torch.equal(before[name], after[name])}
    lowest = ("0.", "1.transformer.custom_src_module.", "1.transformer.encoder.layers.0.")
    assert {name for name in before if name.startswith(lowest)} <= same
    assert {name for name in before if ".layers.1." in name and name.endswith("weight")} & same == set()
    assert result.stats["trainable_parameters"] < result.stats["parameters"]


@pytest.mark.parametrize(
    ("count", "pretrained", "message"),
    [
        (2, True, r"train\.freeze_layers: got 2, wanted at most model\.num_layers 1"),
        (1, False, r"train\.freeze_layers: got 1, wanted 0 without train\.init_from"),
    ],
)
def test_refuses_layers_that_cannot_be_frozen(config, changed, first, tmp_path, count, pretrained, message):
    train = {"freeze_layers": count, "init_from": str(first) if pretrained else None}
    with pytest.raises(InputError, match=message):
        training.train(changed(config, train=train), tmp_path / "second")


def test_a_killed_training_of_adapters_resumes(config, changed, tmp_path, monkeypatch):
    train = {"checkpoint_minutes": 1e-9, "encoder_lr": 0.5, "epochs": 1}
    rows = config.train_set[:12]
    config = changed(replace(config, train_set=rows, valid_set=rows[:1]), train=train, lora={"peft": "lora"})
    training.train(config, tmp_path / "whole")
    train_until(2, config, tmp_path / "killed", monkeypatch)
    training.train(config, tmp_path / "killed")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "killed"), atol=1e-6)


@pytest.mark.parametrize("used", [True, False])
def test_the_fast_path_can_be_switched_off(config, changed, tmp_path, monkeypatch, used):
    asked = []
    monkeypatch.setattr(cpu_fast_path, "use_fast_path", asked.append)
    training.train(changed(config, train={"cpu_fast_path": used, "epochs": 1}), tmp_path / "run")
    assert len(asked) == used


def test_the_key_depends_on_everything_that_decides_the_weights(config, changed):
    keys = {training_key(config)}
    others = (
        changed(config, train={"lr": 1e-3}),
        changed(config, model={"dropout": 0.2}),
        changed(config, augment={"radio_fraction": 0.2}),
        replace(config, train_set=config.train_set[1:]),
        replace(config, train_set=[replace(config.train_set[0], transcript="A"), *config.train_set[1:]]),
    )
    keys |= {training_key(other) for other in others}
    os.utime(config.train_set[0].wav, (0, 0))  # a copy of the project has other times and the same audio
    keys.add(training_key(config))
    assert len(keys) == 6
    soundfile.write(config.train_set[0].wav, [0.0] * 100, 16000, subtype="PCM_16")
    keys.add(training_key(config))
    keys.add(training_key(replace(config, tokens=char_tokens(["ABCDE"]))))
    assert len(keys) == 8


def test_names_an_utterance_longer_than_a_batch(config, tmp_path):
    rows = [replace(config.train_set[0], duration=99.0), *config.train_set[1:]]
    with pytest.raises(InputError, match=r"u0\.wav \(id u0\): lasts 99\.00 s, a batch of batch_size 6 holds"):
        training.train(replace(config, train_set=rows), tmp_path)


def test_utterances_that_ctc_cannot_align_are_left_out_and_counted(config, tmp_path, caplog):
    rows = [replace(config.train_set[0], transcript="ABCD" * 20), *config.train_set[1:]]
    result = training.train(replace(config, train_set=rows), tmp_path)
    assert result.stats["train_too_dense"] == 1
    assert result.stats["train_utterances"] == len(rows) - 1
    assert "1 of 24 train utterances have more tokens than frames and are left out, first: u0" in caplog.text


def test_utterances_that_fit_only_at_their_own_speed_are_kept_with_a_warning(config, changed, caplog):
    fast = changed(config, augment={"speeds": [100, 200]})
    num_frames = 2 * (len(config.train_set[0].transcript) + 2) * 15 / 8  # 150 ms a letter, frames of 40 ms at speed 2
    rows = [replace(config.train_set[0], transcript="AB" * round(num_frames / 2 - 1)), *config.train_set[1:]]
    assert data.alignable(replace(fast, train_set=rows), 16000) == rows
    assert "1 train utterances have more tokens than frames at the highest speed" in caplog.text


def test_no_utterance_left_is_an_error(config, tmp_path):
    rows = [replace(row, transcript="ABCD" * 20) for row in config.train_set]
    with pytest.raises(InputError, match="no transcript fits its frames"):
        training.train(replace(config, train_set=rows), tmp_path)


def test_train_subset_selects_the_first_rows(config, changed):
    assert select_train(config.train_set, changed(config, train={"train_subset": 3}).train) == config.train_set[:3]
    assert select_train(config.train_set, config.train) == config.train_set


def test_refuses_an_update_of_more_batches_than_an_epoch_has(config, changed, tmp_path):
    with pytest.raises(InputError, match=r"train\.grad_accum: got 99, wanted at most the \d+ batches of an epoch"):
        training.train(changed(config, train={"grad_accum": 99}), tmp_path)
