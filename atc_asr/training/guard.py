"""Guard corpora, which must not get worse: epochs in which one has a WER above `train.max_guard_wer` are not used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atc_asr.core import messages
from atc_asr.core.corpora import corpus_of
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.model.run_folder import Recognizer
from atc_asr.training.config import TrainingConfig
from atc_asr.training.evaluation import evaluate

WER = "valid_wer"  # column of the curves by which epochs are selected; with `_<corpus>`, that of a corpus


@dataclass(frozen=True)
class Guard:
    """The guard corpora of a training and their limit.

    Attributes:
        rows: utterances of valid by corpus.
        max_wer: `train.max_guard_wer`.
    """

    rows: Mapping[str, list[Utterance]]
    max_wer: float | None

    def worst(self, wers: Mapping[str, Any]) -> float:
        """The highest WER of a guard corpus in a row of the curves."""
        return max(wers[f"{WER}_{name}"] for name in self.rows)

    def holds(self, wers: Mapping[str, Any]) -> bool:
        """Whether all guard corpora are within the limit in a row of the curves."""
        return self.max_wer is None or self.worst(wers) <= self.max_wer

    def describe(self, wers: Mapping[str, Any]) -> str:
        """The WERs for the message about an epoch; empty without guard corpora."""
        texts = [messages.ON_GUARD % (name, wers[f"{WER}_{name}"]) for name in self.rows]
        return "".join(texts) + ("" if self.holds(wers) else messages.ABOVE_LIMIT % self.max_wer)

    def measure(self, recognizer: Recognizer, batch_seconds: float) -> dict[str, float]:
        """The greedy WERs of a network, named as in the curves; `batch_seconds` as in `evaluate`."""
        return {
            f"{WER}_{name}": evaluate(recognizer, rows, beam_size=1, batch_seconds=batch_seconds).wer
            for name, rows in self.rows.items()
        }


def make_guard(config: TrainingConfig) -> Guard:
    """The guard of a training.

    Raises:
        InputError: `train.max_guard_wer` is given and there is no guard corpus, or one has no utterances in valid.
    """
    names = [name for name, corpus in config.corpora.items() if corpus.role == "guard"]
    rows = {name: [row for row in config.valid_set if corpus_of(row) == name] for name in names}
    empty = [name for name in names if not rows[name]]
    limit = config.train.max_guard_wer
    if limit is not None and (empty or not names):
        got = f"corpus {empty[0]} without utterances in valid" if empty else "no guard corpus"
        raise InputError(f"train.max_guard_wer: got {limit:g} and {got}, wanted a corpus with role guard, or null")
    return Guard({name: found for name, found in rows.items() if found}, limit)
