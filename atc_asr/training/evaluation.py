"""Word error rate of a recogniser on the utterances of a manifest."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from speechbrain.decoders import ctc_greedy_decode
from speechbrain.decoders.ctc import CTCBeamSearcher

from atc_asr.core.manifest import Utterance
from atc_asr.model.batches import DurationBatches, collate, read_wav
from atc_asr.model.run_folder import Recognizer
from atc_asr.tokenizer.tokens import SPACE, Tokens
from atc_asr.wer.wer import Counts, count_edits


@dataclass(frozen=True)
class Evaluation:
    """Word errors of a recogniser on a set of utterances."""

    counts: Counts
    seconds: float  # time of decoding and of reading the audio

    @property
    def wer(self) -> float:
        """Word errors in per cent of the reference words."""
        assert self.counts.rate is not None
        return self.counts.rate


def make_decoder(tokens: Tokens, beam_size: int) -> Callable[[torch.Tensor, torch.Tensor], list[str]]:
    """A decoder of log-probabilities (B, T, V) with relative lengths (B,): greedy for beam size 1, else
    `CTCBeamSearcher`."""
    if beam_size == 1:
        return lambda log_probs, lens: [tokens.decode(numbers) for numbers in ctc_greedy_decode(log_probs, lens, 0)]
    vocabulary = [" " if symbol == SPACE and tokens.kind == "char" else symbol for symbol in tokens.symbols]
    searcher = CTCBeamSearcher(blank_index=0, vocab_list=vocabulary, beam_size=beam_size)
    return lambda log_probs, lens: [best[0].text for best in searcher(log_probs, lens)]


def evaluate(
    recognizer: Recognizer, utterances: Sequence[Utterance], *, beam_size: int, batch_seconds: float
) -> Evaluation:
    """Decodes utterances and counts the word errors. Empty references are left out, as they have no error rate.

    Args:
        recognizer: the trained network.
        utterances: at least one with a word.
        beam_size: 1 = greedy.
        batch_seconds: audio of a batch, padding included.
    """
    started = time.monotonic()
    decode = make_decoder(recognizer.tokens, beam_size)
    spoken = [row for row in utterances if row.transcript]
    longest = max(row.duration for row in spoken)
    sampler = DurationBatches([row.duration for row in spoken], max_seconds=max(batch_seconds, longest), seed=None)
    counts = Counts()
    for indices in sampler:
        rows = [spoken[index] for index in indices]
        batch = collate([(row, torch.from_numpy(read_wav(row, recognizer.sample_rate)), []) for row in rows])
        log_probs, num_frames = recognizer.log_probs(batch.wavs, batch.wav_lens)
        for row, text in zip(rows, decode(log_probs, num_frames / log_probs.shape[1]), strict=True):
            counts += count_edits(row.transcript.split(), text.split())
    return Evaluation(counts, time.monotonic() - started)
