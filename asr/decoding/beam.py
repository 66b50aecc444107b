"""SpeechBrain's `CTCBeamSearcher`, the search the specification names."""

import logging
from pathlib import Path

import numpy as np

from asr.decoding.ctc import BLANK_ID, Candidate
from asr.decoding.search import DecodeParams
from asr.model.tokens import SPACE, Tokens


class BeamSearch:
    """Prefix search in Python, characters or pieces, with or without a word n-gram."""

    def __init__(self, params: DecodeParams, tokens: Tokens, lm_dir: Path | None) -> None:
        """
        Raises:
            InputError: the language model cannot be used with these tokens.
        """
        from speechbrain.decoders.ctc import CTCBeamSearcher

        pieces = tokens.kind == "spm"
        vocabulary = [symbol if pieces or symbol != SPACE else " " for symbol in tokens.symbols]
        vocabulary[BLANK_ID] = ""
        logging.getLogger("speechbrain.decoders.ctc").setLevel(logging.WARNING)
        language_model = {}
        if params.lm_weight:
            from asr.decoding.lexicon import read_words, spellings
            from asr.decoding.ngram import word_arpa

            words = read_words(lm_dir)
            spellings(words, tokens, str(lm_dir))
            language_model = {"kenlm_model_path": str(word_arpa(lm_dir)), "unigrams": words}
        self._searcher = CTCBeamSearcher(
            blank_index=BLANK_ID,
            vocab_list=vocabulary,
            alpha=params.lm_weight,
            beta=params.word_score,
            beam_size=params.beam_size,
            beam_prune_logp=-params.beam_threshold,
            topk=max(1, params.nbest),
            prune_history=params.nbest <= 1,
            **language_model,
        )

    def __call__(self, log_probs: np.ndarray) -> list[Candidate]:
        """Candidates for `log_probs` (T, V), best first."""
        if len(log_probs) == 0:
            return [Candidate("", 0.0)]
        results = self._searcher.decode_log_probs(log_probs, len(log_probs))
        return [Candidate(" ".join(one.text.split()), float(one.lm_score)) for one in results]
