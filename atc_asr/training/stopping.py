"""When a training ends: at its last epoch, or when new epochs have brought nothing for a while."""

import logging
from collections.abc import Callable, Sequence

from speechbrain.utils.epoch_loop import EpochCounter

log = logging.getLogger(__name__)


def epochs_without_gain(errors: Sequence[float]) -> int:
    """Epochs since the first one with the lowest error; 0 when there are none yet."""
    return len(errors) - 1 - errors.index(min(errors)) if errors else 0


class Epochs(EpochCounter):
    """SpeechBrain's epoch counter that also ends after `patience` epochs in a row without a lower error.

    The errors are those of the curves, which are part of a checkpoint: a resumed training ends where an undisturbed
    one does.
    """

    def __init__(self, limit: int, *, patience: int, errors: Callable[[], Sequence[float]]) -> None:
        """
        Args:
            limit: most epochs.
            patience: epochs without gain before the end, 0 = all epochs.
            errors: the error of each finished epoch.
        """
        super().__init__(limit)
        self._patience = patience
        self._errors = errors

    def __next__(self) -> int:
        waited = epochs_without_gain(self._errors())
        if 0 < self._patience <= waited:
            log.info("stopped after epoch %d: %d epochs without a lower error", self.current, waited)
            raise StopIteration
        return super().__next__()
