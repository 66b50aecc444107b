"""Several corpora: which of them are trained and validated on, and their columns of a manifest."""

from collections.abc import Mapping

from atc_asr.core.manifest import Utterance
from atc_asr.core.params import CorpusParams

CORPUS = "corpus"  # column with the name of the corpus; a manifest without it has one corpus without a name
AUDIO_HASH = "audio_hash"  # column with a hash of the exported samples


def corpus_of(row: Utterance) -> str:
    """The name of an utterance's corpus; "" without one."""
    return row.columns.get(CORPUS, "")


def is_used(corpus: CorpusParams, split: str) -> bool:
    """Whether a split of a corpus is used: train to train, valid to choose an epoch or to guard, test to score."""
    is_trained = corpus.role != "test" and corpus.weight > 0
    return split == "test" or is_trained or (split == "valid" and corpus.role == "guard")


def shares(corpora: Mapping[str, CorpusParams]) -> dict[str, float]:
    """Trained corpora -> fractions of the audio seconds of training, which sum to 1."""
    weights = {name: corpus.weight for name, corpus in corpora.items() if is_used(corpus, "train")}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}
