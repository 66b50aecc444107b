"""Learning rates: by hand where the kinds change, and their range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.training.schedule import lr_factor, make_schedule

KINDS = ("constant", "linear", "cosine", "noam")


@pytest.mark.parametrize(
    ("kind", "step", "factor"),
    [
        ("linear", 0, 0.2),
        ("linear", 4, 1.0),
        ("linear", 54, 0.5),
        ("linear", 104, 0.0),
        ("cosine", 4, 1.0),
        ("cosine", 54, 0.5),
        ("cosine", 104, 0.0),
        ("constant", 99, 1.0),
        ("noam", 4, 1.0),
        ("noam", 19, 0.5),
    ],
)
def test_factors_by_hand(kind, step, factor):
    assert lr_factor(step, kind=kind, warmup_steps=4, total_steps=104) == pytest.approx(factor)


@given(st.sampled_from(KINDS), st.integers(0, 50), st.integers(60, 500), st.integers(0, 600))
def test_factors_are_in_the_unit_interval_and_fall_after_the_warmup(kind, warmup_steps, total_steps, step):
    here, there = (
        lr_factor(at, kind=kind, warmup_steps=warmup_steps, total_steps=total_steps) for at in (step, step + 1)
    )
    assert 0 <= here <= 1
    assert there >= here if step < warmup_steps else there <= here


@pytest.mark.parametrize(("warmup_epochs", "grad_accum", "warmup_steps"), [(0.4, 1, 4), (0.4, 2, 2), (0.0, 1, 0)])
def test_the_warmup_lasts_a_number_of_epochs(config, warmup_epochs, grad_accum, warmup_steps):
    train = config.train.model_copy(update={"warmup_epochs": warmup_epochs, "grad_accum": grad_accum})
    schedule = make_schedule(train, [10, 11])  # an unfinished update of the second epoch is dropped
    total = 21 if grad_accum == 1 else 10
    for step in range(total):
        factor = lr_factor(step, kind="linear", warmup_steps=warmup_steps, total_steps=total)
        assert schedule(step) == train.lr * factor
