"""When a training ends."""

import pytest

from atc_asr.training.stopping import Epochs, epochs_without_gain


@pytest.mark.parametrize(
    ("errors", "waited"), [([], 0), ([5.0], 0), ([5.0, 6.0], 1), ([5.0, 4.0, 4.0, 4.5], 2), ([3.0, 2.0, 1.0], 0)]
)
def test_waited(errors, waited):
    assert epochs_without_gain(errors) == waited


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (1, 2), (2, 5), (9, 6)])
def test_epochs(patience, epochs):
    """The error falls in epochs 1 and 3 only."""
    errors, done = [5.0, 6.0, 4.0, 4.0, 4.0, 4.0], []
    for epoch in Epochs(6, patience=patience, errors=lambda: errors[: len(done)]):
        done.append(epoch)
    assert done == list(range(1, epochs + 1))
