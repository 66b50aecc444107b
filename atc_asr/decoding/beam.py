"""The search `beam`: SpeechBrain's `CTCBeamSearcher`."""

import logging
from pathlib import Path

import numpy as np

from atc_asr.decoding.ctc import BLANK_ID, Candidate
from atc_asr.decoding.params import DecodeParams
from atc_asr.lm.lexicon import read_words, spell
from atc_asr.lm.ngram import WORD_ARPA, WORDS_FILE, lm_file, load_kenlm, quiet_stderr
from atc_asr.tokenizer.tokens import SPACE, Tokens


class BeamSearch:
    """CTC prefix beam search with or without a word n-gram."""

    def __init__(self, params: DecodeParams, tokens: Tokens, lm_dir: Path | None) -> None:
        """
        Raises:
            InputError: the language model cannot be used with these tokens.
        """
        from speechbrain.decoders.ctc import CTCBeamSearcher

        vocabulary = [" " if symbol == SPACE and tokens.kind != "spm" else symbol for symbol in tokens.symbols]
        vocabulary[BLANK_ID] = ""
        # Both modules log a warning for every vocabulary of fewer than 1,000 words.
        for name in ("speechbrain.decoders.ctc", "speechbrain.integrations.decoders.kenlm_scorer"):
            logging.getLogger(name).setLevel(logging.ERROR)
        language_model = {}
        if params.lm_weight and lm_dir is not None:
            words_file, arpa = lm_file(lm_dir, WORDS_FILE), lm_file(lm_dir, WORD_ARPA)
            words = list(spell(read_words(words_file), tokens, str(words_file)))
            load_kenlm(arpa, words)
            language_model = {"kenlm_model_path": str(arpa), "unigrams": words}
        with quiet_stderr():
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

    def __call__(self, log_probs: np.ndarray, expected: tuple[str, ...] = ()) -> list[Candidate]:
        """Candidates for `log_probs` (T, V), best first; `expected` has no effect."""
        if len(log_probs) == 0:
            return [Candidate("", 0.0)]
        results = self._searcher.decode_log_probs(log_probs, len(log_probs))
        return [Candidate(" ".join(result.text.split()), float(result.lm_score)) for result in results]
