"""Training: it learns, it resumes to the same weights, it starts from another run, it refuses what it cannot use."""

import os
from dataclasses import replace

import pytest
import soundfile
import torch

from atc_asr.core.errors import InputError
from atc_asr.model import batches, run_folder
from atc_asr.model.run_folder import load_recognizer
from atc_asr.tokenizer.tokens import char_tokens
from atc_asr.training import training
from atc_asr.training.brain import ConformerCTC
from atc_asr.training.evaluation import evaluate


class Killed(BaseException):
    """Stands for a signal that no handler sees."""


def train_until(batch_of_death, setup, work_dir, monkeypatch):
    """A training that is killed in one of its batches, counted from 1."""
    fit_batch, seen = ConformerCTC.fit_batch, []

    def dying(brain, batch):
        seen.append(batch)
        if len(seen) == batch_of_death:
            raise Killed
        return fit_batch(brain, batch)

    with monkeypatch.context() as patched:
        patched.setattr(ConformerCTC, "fit_batch", dying)
        with pytest.raises(Killed):
            training.train(setup, work_dir)


def weights(folder):
    return torch.load(folder / run_folder.MODEL, weights_only=True)


def assert_same_weights(left, right, atol=0.0):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=atol, rtol=0)


def test_the_same_training_gives_the_same_weights(setup, tmp_path):
    for name in ("a", "b"):
        training.train(setup, tmp_path / name)
    assert_same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))


MEANS = {"ema_decay": 0.9, "average_checkpoints": 2, "average_select": "last"}


@pytest.mark.parametrize(
    ("batch_of_death", "changes"), [(2, {}), (5, {}), (6, {}), (4, {"grad_accum": 2}), (3, MEANS), (8, MEANS)]
)
def test_resumes_to_the_undisturbed_weights(setup, tmp_path, monkeypatch, batch_of_death, changes):
    setup = replace(setup, augment=replace(setup.augment, speeds=[90, 100, 110], radio_fraction=0.5))
    often = {"checkpoint_minutes": 1e-9}  # after every update
    setup = replace(setup, train=replace(setup.train, **often, **changes))
    whole = training.train(setup, tmp_path / "whole")
    train_until(batch_of_death, setup, tmp_path / "torn", monkeypatch)
    torch.manual_seed(99)
    resumed = training.train(setup, tmp_path / "torn")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "torn"), atol=1e-6)
    assert [row["epoch"] for row in resumed.curves] == [row["epoch"] for row in whole.curves] == [1, 2]
    assert resumed.best["valid_wer"] == whole.best["valid_wer"]
    for name in (run_folder.TRAIN_LOG, run_folder.CURVES):
        lines = [len((tmp_path / folder / name).read_text().splitlines()) for folder in ("whole", "torn")]
        assert lines[0] == lines[1]


def test_the_row_of_the_kept_weights_is_told(setup, tmp_path):
    """Of epochs with equal WERs the checkpointer keeps the last."""
    outcome = training.train(replace(setup, train=replace(setup.train, lr=1e-9)), tmp_path / "run")
    assert [row["valid_wer"] for row in outcome.curves] == [outcome.best["valid_wer"]] * 2
    assert outcome.best["epoch"] == 2


def test_the_mean_of_epochs_goes_into_the_run_folder(setup, tmp_path):
    """Two epochs, both kept: their mean by hand, and the numbers of the better one."""
    averaged = replace(setup, train=replace(setup.train, average_checkpoints=2))
    outcome = training.train(averaged, tmp_path / "run")
    paths = sorted((tmp_path / "run" / run_folder.CHECKPOINTS).glob("CKPT+*/model.ckpt"))
    first, second = (torch.load(path, weights_only=True) for path in paths)
    by_hand = {name: (first[name] + second[name]) / 2 for name in first}
    assert_same_weights(by_hand, weights(tmp_path / "run"), atol=1e-6)
    assert outcome.stats["averaged_epochs"] == 2
    assert outcome.best["valid_wer"] == min(row["valid_wer"] for row in outcome.curves)


def test_moving_averages_are_validated_and_kept(setup, tmp_path):
    smooth = replace(setup, train=replace(setup.train, ema_decay=0.99, average_select="last"))
    outcome = training.train(smooth, tmp_path / "run")
    checkpoint = next((tmp_path / "run" / run_folder.CHECKPOINTS).glob("CKPT+*"))
    live = torch.load(checkpoint / "model.ckpt", weights_only=True)
    kept = weights(tmp_path / "run")
    assert max(float((live[name] - kept[name]).abs().max()) for name in live) > 1e-4
    averages = torch.load(checkpoint / "ema.ckpt", weights_only=True)["weights"]
    assert_same_weights(averages, {name: kept[name] for name in averages})
    scores = evaluate(load_recognizer(tmp_path / "run", device="cpu"), setup.valid_set, beam_size=1, batch_seconds=9)
    assert scores.wer == pytest.approx(outcome.best["valid_wer"])


def test_impatience_ends_a_training_that_learns_nothing(setup, tmp_path):
    stuck = replace(setup, train=replace(setup.train, epochs=9, lr=1e-9, patience=2))
    outcome = training.train(stuck, tmp_path / "run")
    assert [row["epoch"] for row in outcome.curves] == [1, 2, 3]


def test_a_rise_by_updates_or_by_epochs(setup):
    sampler = batches.DurationBatches([1.0] * 10, max_seconds=1.0, seed=1)  # 10 batches an epoch
    by_epochs = training.lr_schedule(replace(setup.train, warmup_epochs=0.4), sampler)
    by_steps = training.lr_schedule(replace(setup.train, warmup_steps=4, warmup_epochs=9.0), sampler)
    none = training.lr_schedule(replace(setup.train, warmup_steps=0), sampler)
    assert [by_epochs(step) for step in range(20)] == [by_steps(step) for step in range(20)]
    assert by_steps(0) == pytest.approx(setup.train.lr / 5)
    assert none(0) == setup.train.lr


@pytest.mark.slow
def test_learns_tones_by_heart(setup, tmp_path):
    setup = replace(
        setup,
        train=replace(setup.train, epochs=60, lr=1e-2),
        model=replace(setup.model, dropout=0.0),
        specaugment=replace(setup.specaugment, freq_masks=0, time_masks=0),
    )
    outcome = training.train(setup, tmp_path / "run")
    assert outcome.best["valid_wer"] < 20
    scores = evaluate(load_recognizer(tmp_path / "run", device="cpu"), setup.valid_set, beam_size=1, batch_seconds=9)
    assert scores.wer == pytest.approx(outcome.best["valid_wer"])
    beam = evaluate(load_recognizer(tmp_path / "run", device="cpu"), setup.valid_set, beam_size=4, batch_seconds=9)
    assert beam.wer <= scores.wer + 10


def test_starts_from_a_run(setup, tmp_path):
    training.train(setup, tmp_path / "first")
    again = replace(setup, train=replace(setup.train, init_from=str(tmp_path / "first"), lr=1e-12))
    outcome = training.train(again, tmp_path / "second")
    assert outcome.stats["load_pretrained"]["parameters_new"] == 0
    assert_same_weights(weights(tmp_path / "first"), weights(tmp_path / "second"), atol=1e-6)


def test_refuses_a_start_from_another_network(setup, tmp_path):
    training.train(setup, tmp_path / "first")
    other = replace(
        setup,
        train=replace(setup.train, init_from=str(tmp_path / "first")),
        model=replace(setup.model, d_ffn=64),
    )
    with pytest.raises(InputError, match=r"model\.d_ffn: got 64, wanted 32 as in train\.init_from"):
        training.train(other, tmp_path / "second")


def test_adapters_are_merged_into_the_run_folder(setup, tmp_path):
    training.train(replace(setup, train=replace(setup.train, epochs=1)), tmp_path / "full")
    start = replace(setup.train, init_from=str(tmp_path / "full"), epochs=1)
    outcome = training.train(replace(setup, train=start, lora=replace(setup.lora, peft="lora")), tmp_path / "run")
    head = len(setup.tokens) * 17
    assert outcome.stats["adapters"]["matrices"] == len(outcome.adapted) > 5
    # Checkpoints hold what is trained, once beside them what is not, and the run folder all of it.
    (folder,) = (tmp_path / "run" / run_folder.CHECKPOINTS).glob("CKPT+*")
    kept = torch.load(folder / "model.ckpt", weights_only=True)
    assert sum(tensor.numel() for tensor in kept.values()) == outcome.stats["trainable_parameters"]
    assert all(name.endswith((".up", ".down")) or name.startswith("2.") for name in kept)
    adapters = sum(tensor.numel() for name, tensor in kept.items() if not name.startswith("2."))
    assert outcome.stats["trainable_parameters"] == adapters + head < outcome.stats["parameters"]
    frozen = torch.load(folder.parent / run_folder.FROZEN, weights_only=True)
    assert not set(frozen) & set(kept)
    full, merged = weights(tmp_path / "full"), weights(tmp_path / "run")
    assert merged.keys() == full.keys()
    changed = {name for name in full if not torch.equal(full[name], merged[name])}
    assert changed == {f"1.{name}" for name in outcome.adapted} | {"2.w.weight", "2.w.bias"}
    load_recognizer(tmp_path / "run", device="cpu")


def test_means_of_adapters(setup, tmp_path):
    train = replace(setup.train, ema_decay=0.9, average_checkpoints=2)
    outcome = training.train(replace(setup, train=train, lora=replace(setup.lora, peft="lora")), tmp_path / "run")
    assert outcome.stats["averaged_epochs"] == 2
    load_recognizer(tmp_path / "run", device="cpu")


def test_frozen_layers_keep_their_weights(setup, tmp_path):
    setup = replace(setup, model=replace(setup.model, num_layers=2), train=replace(setup.train, epochs=1))
    training.train(setup, tmp_path / "first")
    train = replace(setup.train, init_from=str(tmp_path / "first"), freeze_layers=1)
    outcome = training.train(replace(setup, train=train), tmp_path / "second")
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    kept = {name for name in before if torch.equal(before[name], after[name])}
    lowest = ("0.", "1.transformer.custom_src_module.", "1.transformer.encoder.layers.0.")
    assert {name for name in before if name.startswith(lowest)} <= kept
    assert {name for name in before if ".layers.1." in name and name.endswith("weight")} & kept == set()
    assert outcome.stats["trainable_parameters"] < outcome.stats["parameters"]


@pytest.mark.parametrize(
    ("count", "source", "message"),
    [
        (2, "first", r"train\.freeze_layers: got 2, wanted at most model\.num_layers 1"),
        (1, None, r"train\.freeze_layers: got 1, wanted 0 without train\.init_from"),
    ],
)
def test_freezing_that_makes_no_sense(setup, tmp_path, count, source, message):
    train = replace(setup.train, epochs=1)
    if source:
        training.train(replace(setup, train=train), tmp_path / "first")
        train = replace(train, init_from=str(tmp_path / "first"))
    with pytest.raises(InputError, match=message):
        training.train(replace(setup, train=replace(train, freeze_layers=count)), tmp_path / "second")


def test_a_killed_training_of_adapters_goes_on(setup, tmp_path, monkeypatch):
    train = replace(setup.train, checkpoint_minutes=1e-9, encoder_lr=0.5, epochs=1)
    rows = setup.train_set[:12]
    setup = replace(setup, train=train, lora=replace(setup.lora, peft="lora"), train_set=rows, valid_set=rows[:1])
    training.train(setup, tmp_path / "whole")
    train_until(2, setup, tmp_path / "torn", monkeypatch)
    training.train(setup, tmp_path / "torn")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "torn"), atol=1e-6)


def test_the_key_knows_what_decides_the_weights(setup, tmp_path):
    keys = {training.training_key(setup)}
    others = (
        replace(setup, train=replace(setup.train, lr=1e-3)),
        replace(setup, model=replace(setup.model, dropout=0.2)),
        replace(setup, augment=replace(setup.augment, radio_fraction=0.2)),
        replace(setup, train_set=setup.train_set[1:]),
        replace(setup, train_set=[replace(setup.train_set[0], transcript="A"), *setup.train_set[1:]]),
    )
    keys |= {training.training_key(other) for other in others}
    os.utime(setup.train_set[0].wav, (0, 0))  # another time is no other audio: copies of the project have others
    keys.add(training.training_key(setup))
    assert len(keys) == 6
    soundfile.write(setup.train_set[0].wav, [0.0] * 100, 16000, subtype="PCM_16")
    keys.add(training.training_key(setup))
    keys.add(training.training_key(replace(setup, tokens=char_tokens(["ABCDE"]))))
    assert len(keys) == 8


def test_a_clip_longer_than_a_batch_is_named(setup, tmp_path):
    rows = [replace(setup.train_set[0], duration=99.0), *setup.train_set[1:]]
    with pytest.raises(InputError, match=r"u0\.wav \(id u0\): lasts 99\.00 s, a batch of batch_size 6 holds"):
        training.train(replace(setup, train_set=rows), tmp_path)


def test_transcripts_that_cannot_fit_are_left_out_and_counted(setup, tmp_path):
    rows = [replace(setup.train_set[0], transcript="ABCD" * 20), *setup.train_set[1:]]
    outcome = training.train(replace(setup, train_set=rows), tmp_path)
    assert outcome.stats["train_too_dense"] == 1
    assert outcome.stats["train_utterances"] == len(rows) - 1


def test_nothing_left_is_an_error(setup, tmp_path):
    rows = [replace(row, transcript="ABCD" * 20) for row in setup.train_set]
    with pytest.raises(InputError, match="no transcript fits its frames"):
        training.train(replace(setup, train_set=rows), tmp_path)


def test_subset_takes_the_first_rows(setup):
    assert training.select_train(setup.train_set, replace(setup.train, train_subset=3)) == setup.train_set[:3]
    assert training.select_train(setup.train_set, setup.train) == setup.train_set


def test_an_update_that_needs_more_batches_than_there_are_is_refused(setup, tmp_path):
    with pytest.raises(InputError, match=r"train\.grad_accum: got 99, wanted at most the \d+ batches of an epoch"):
        training.train(replace(setup, train=replace(setup.train, grad_accum=99)), tmp_path)
