"""Everything that decides the weights of a training, and its key."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atc_asr.core.corpora import corpus_of
from atc_asr.core.manifest import Utterance
from atc_asr.core.params import CorpusParams
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.training import pretrained
from atc_asr.training.checkpoints import FORMAT, file_hash
from atc_asr.training.params import AugmentParams, LoraParams, TrainParams


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights of a training."""

    train: TrainParams
    model: ModelParams
    specaugment: SpecAugmentParams
    augment: AugmentParams
    lora: LoraParams
    tokens: Tokens
    train_set: Sequence[Utterance]
    valid_set: Sequence[Utterance]
    hparams_file: Path
    corpora: Mapping[str, CorpusParams] = field(default_factory=dict)  # of the rows; {} = one without a name

    def sections(self) -> dict[str, dict[str, Any]]:
        """The parameters by section and key."""
        sections = (self.train, self.model, self.specaugment, self.augment, self.lora)
        return {section.section: section.model_dump() for section in sections}


def select_train(utterances: Sequence[Utterance], params: TrainParams) -> list[Utterance]:
    """The utterances to train with: all, or the first `train.train_subset`, of several corpora by their sizes."""
    if not params.train_subset:
        return list(utterances)
    positions: dict[str, list[int]] = {}
    for index, row in enumerate(utterances):
        positions.setdefault(corpus_of(row), []).append(index)
    places = {index: place / len(own) for own in positions.values() for place, index in enumerate(own)}
    chosen = sorted(places, key=lambda index: (places[index], index))[: params.train_subset]
    return [utterances[index] for index in sorted(chosen)]


def training_key(config: TrainingConfig) -> str:
    """A hash of everything that decides the weights: parameters, network, tokens, transcripts and audio.

    Raises:
        InputError: a file cannot be read.
    """
    content: dict[str, Any] = config.sections()
    content["format"] = FORMAT
    content["hparams_file"] = file_hash(config.hparams_file)
    content["tokens"] = [config.tokens.symbols, hashlib.sha256(config.tokens.spm_model or b"").hexdigest()]
    for name, rows in (("train_set", config.train_set), ("valid_set", config.valid_set)):
        with ThreadPoolExecutor() as threads:  # hashing releases Python's lock
            hashes = list(threads.map(file_hash, (row.wav for row in rows)))
        content[name] = [(row.id, row.transcript, row.duration, found) for row, found in zip(rows, hashes, strict=True)]
    if config.corpora:
        content["corpora"] = {name: (one.weight, one.role) for name, one in config.corpora.items()}
        content["corpus_of"] = [corpus_of(row) for row in (*config.train_set, *config.valid_set)]
    if config.train.init_from:
        content["init_from"] = pretrained.fingerprint(config.train.init_from)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
