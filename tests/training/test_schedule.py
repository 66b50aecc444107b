"""Learning rate: known values at the corners, no jumps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.training.schedule import lr_factor

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
def test_by_hand(kind, step, factor):
    assert lr_factor(step, kind=kind, warmup_steps=4, total_steps=104) == pytest.approx(factor)


@given(st.sampled_from(KINDS), st.integers(0, 50), st.integers(60, 500), st.integers(0, 600))
def test_between_zero_and_one_and_falling_after_the_rise(kind, warmup_steps, total_steps, step):
    here, there = (
        lr_factor(at, kind=kind, warmup_steps=warmup_steps, total_steps=total_steps) for at in (step, step + 1)
    )
    assert 0 <= here <= 1
    assert there >= here if step < warmup_steps else there <= here
