"""Everything that decides the weights of a training, and its key."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atc_asr.core.manifest import Utterance
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

    def sections(self) -> dict[str, dict[str, Any]]:
        """The parameters by section and key."""
        sections = (self.train, self.model, self.specaugment, self.augment, self.lora)
        return {section.section: section.model_dump() for section in sections}


def select_train(utterances: Sequence[Utterance], params: TrainParams) -> list[Utterance]:
    """The utterances to train with: all, or the first `train.train_subset`."""
    return list(utterances[: params.train_subset or None])


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
    if config.train.init_from:
        content["init_from"] = pretrained.fingerprint(config.train.init_from)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
