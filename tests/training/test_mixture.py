"""Training on several corpora: shares of epochs, resuming, several processes, identity, curves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core.config import make_section
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.core.params import CorporaParams
from atc_asr.model.batches import DurationBatches
from atc_asr.training import mixture, training
from atc_asr.training.config import select_train, training_key
from atc_asr.training.distributed import DistributedBatches
from atc_asr.training.mixture import WeightedDraw, audio_shares
from atc_asr.training.recoverables import CorpusLosses
from tests.training.test_training import assert_same_weights, train_until, weights


def section(**values):
    """The section `corpora` with (weight, role)."""
    content = {name: {"weight": weight, "role": role, "export": {}} for name, (weight, role) in values.items()}
    return make_section(CorporaParams, content, "corpora")


TWO = section(us=(3, "train"), icao=(1, "train"))


def rows_of(name, durations):
    return [
        Utterance(f"{name}{place}", Path("x.wav"), float(seconds), "A", {"corpus": name})
        for place, seconds in enumerate(durations)
    ]


def radio(seed, size):
    """Durations like those of transmissions, 1 to 15 s."""
    return np.random.default_rng(seed).gamma(3, 1.5, size).clip(1, 15)


def test_an_epoch_has_the_shares_of_the_weights():
    """Within 1 %, though the corpus of the larger weight is a third of the other one."""
    rows = rows_of("us", radio(1, 400)) + rows_of("icao", radio(2, 1200))
    draw = WeightedDraw(rows, TWO.by_name, seed=7)
    total = sum(row.duration for row in rows)
    for epoch in (1, 2, 9):
        drawn = draw(epoch)
        assert audio_shares(rows, drawn)["us"] == pytest.approx(0.75, abs=0.01)
        assert sum(rows[index].duration for index in drawn) == pytest.approx(total, rel=0.01)


@given(st.lists(st.floats(0.5, 20), min_size=1, max_size=9), st.lists(st.floats(0.5, 20), min_size=1, max_size=9))
def test_utterances_of_a_corpus_are_used_equally_often(one, other):
    rows = rows_of("us", one) + rows_of("icao", other)
    draw = WeightedDraw(rows, TWO.by_name, seed=7)
    used = np.zeros(len(rows), dtype=int)
    for epoch in range(1, 6):
        np.add.at(used, draw(epoch), 1)
        for own in (used[: len(one)], used[len(one) :]):
            assert own.max() - own.min() <= 1


def test_weights_like_the_sizes_use_every_utterance_once_an_epoch():
    rows = rows_of("us", [2.0] * 30) + rows_of("icao", [1.0] * 20)
    draw = WeightedDraw(rows, TWO.by_name, seed=7)
    assert all(sorted(draw(epoch)) == list(range(50)) for epoch in (1, 2, 3))
    assert draw(1).tolist() != draw(2).tolist()


def test_one_and_several_processes_have_the_same_batches():
    rows = rows_of("us", radio(1, 40)) + rows_of("icao", radio(2, 90))
    durations = [row.duration for row in rows]
    settings = {"max_seconds": 40.0, "seed": 7, "draw": WeightedDraw(rows, TWO.by_name, seed=7)}
    parts = [DistributedBatches(durations, **settings, rank=rank, world_size=2, equal=True) for rank in (0, 1)]
    for epoch in (1, 2):
        together = [batch for pair in zip(*(part.batches(epoch) for part in parts), strict=True) for batch in pair]
        assert together == DurationBatches(durations, **settings).batches(epoch)[: len(together)]
        assert len(together) >= 2


def test_rows_of_corpora_that_are_not_trained_on_are_left_out():
    corpora = section(us=(1, "train"), atco2=(0, "test"), digits=(0, "guard"), replayed=(0.1, "guard"))
    rows = [row for name in corpora.by_name for row in rows_of(name, [1.0])]
    train, valid, used = mixture.select(rows, rows, corpora)
    assert [row.id for row in train] == ["us0", "replayed0"]
    assert [row.id for row in valid] == ["us0", "digits0", "replayed0"]
    assert [row.id for row in mixture.without_guards(valid, used)] == ["us0"]
    assert set(used) == set(corpora.by_name)


def test_without_names_nothing_is_drawn_by_weight():
    rows = [replace(row, columns={}) for row in rows_of("us", [1.0, 2.0])]
    assert mixture.select(rows, rows[:1], TWO) == (rows, rows[:1], {})
    named = rows_of("us", [1.0])
    assert mixture.select(named, named, section()) == (named, named, {})


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        (["us", "eu"], ["us"], "manifests: corpus 'eu' is not in section corpora: us, digits, off"),
        (["us", ""], ["us"], "manifests: corpus '' is not in section corpora"),
        (["off"], ["us"], "train manifest: all rows are of corpora with weight 0 or role test"),
        (["us"], ["digits"], "valid manifest: has no row of a corpus with role train"),
    ],
)
def test_manifests_that_do_not_fit_the_corpora_are_refused(train, valid, message):
    corpora = section(us=(1, "train"), digits=(0, "guard"), off=(0, "train"))
    rows = [[row for name in names for row in rows_of(name, [1.0])] for names in (train, valid)]
    with pytest.raises(InputError, match=message):
        mixture.select(*rows, corpora)


def test_a_subset_has_rows_of_every_corpus(config, changed):
    rows = rows_of("icao", [1.0] * 20) + rows_of("us", [1.0] * 10)
    chosen = select_train(rows, changed(config, train={"train_subset": 6}).train)
    assert [row.id for row in chosen] == ["icao0", "icao1", "icao2", "icao3", "us0", "us1"]


@pytest.fixture
def mixed(config):
    """The training of `config` with its first 8 utterances as us, the others as icao; valid has a guard, too."""
    names = ["us"] * 8 + ["icao"] * 16
    rows = [replace(row, columns={"corpus": name}) for row, name in zip(config.train_set, names, strict=True)]
    guard = [replace(row, id=f"g{row.id}", columns={"corpus": "digits"}) for row in rows[8:10]]
    corpora = section(us=(3, "train"), icao=(1, "train"), digits=(0, "guard")).by_name
    return replace(config, train_set=rows, valid_set=[*rows[6:10], *guard], corpora=corpora)


def test_a_killed_training_resumes_to_the_same_weights(mixed, changed, tmp_path, monkeypatch):
    config = changed(mixed, train={"checkpoint_minutes": 1e-9})
    whole = training.train(config, tmp_path / "whole")
    assert whole.stats["corpus_shares"]["us"] == pytest.approx(0.75, abs=0.05)
    train_until(3, config, tmp_path / "killed", monkeypatch)
    resumed = training.train(config, tmp_path / "killed")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "killed"), atol=1e-6)
    for one, other in zip(whole.curves, resumed.curves, strict=True):
        for key in ("train_loss_us", "train_loss_icao", "valid_loss_digits", "valid_wer_digits"):
            assert one[key] == pytest.approx(other[key])


def test_the_curves_have_the_losses_of_each_corpus(mixed, changed, tmp_path, monkeypatch):
    seen = {"us": [], "icao": []}
    add = CorpusLosses.add

    def record(self, losses, corpora):
        for name, loss in zip(corpora, losses.tolist(), strict=True):
            seen[name].append(loss)
        add(self, losses, corpora)

    monkeypatch.setattr(CorpusLosses, "add", record)
    (row,) = training.train(changed(mixed, train={"epochs": 1}), tmp_path).curves
    for name, losses in seen.items():
        assert row[f"train_loss_{name}"] == pytest.approx(np.mean(losses))
    assert row["train_loss_digits"] is None
    # Guards do not count. Both corpora have two words in valid.
    assert row["valid_loss"] == pytest.approx((row["valid_loss_us"] + row["valid_loss_icao"]) / 2)
    assert row["valid_wer"] == pytest.approx((row["valid_wer_us"] + row["valid_wer_icao"]) / 2)
    header = (tmp_path / "curves.csv").read_text().splitlines()[0].split(",")
    assert header[-9:-6] == ["train_loss_us", "train_loss_icao", "train_loss_digits"]


def test_weights_and_roles_are_part_of_the_identity(mixed):
    others = [section(us=(2, "train"), icao=(1, "train"), digits=(0, "guard"))]
    others.append(section(us=(3, "train"), icao=(1, "train"), digits=(0, "train")))
    keys = {training_key(replace(mixed, corpora=other.by_name)) for other in others}
    assert len(keys | {training_key(mixed), training_key(replace(mixed, corpora={}))}) == 4
