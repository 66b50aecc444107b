"""Word error rate of a recogniser on manifest rows, with SpeechBrain's own decoders and counts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from speechbrain.decoders import ctc_greedy_decode
from speechbrain.decoders.ctc import CTCBeamSearcher
from speechbrain.utils.metric_stats import ErrorRateStats

from atc_asr.core.manifest import Utterance
from atc_asr.model.batches import DurationBatches, collate, read_wav
from atc_asr.model.run_folder import Recognizer
from atc_asr.tokenizer.tokens import SPACE, Tokens


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set.

    Attributes:
        wer: word errors in per cent of the reference words.
        errors: insertions + deletions + substitutions.
        words: reference words.
        seconds: time it took, audio reading included.
    """

    wer: float
    errors: int
    words: int
    seconds: float


def make_decoder(tokens: Tokens, beam_size: int) -> Callable[[torch.Tensor, torch.Tensor], list[str]]:
    """Log-probabilities (B, T, V) and relative lengths (B,) -> B texts; greedy for 1, else `CTCBeamSearcher`."""
    if beam_size == 1:
        return lambda log_probs, lens: [tokens.decode(numbers) for numbers in ctc_greedy_decode(log_probs, lens, 0)]
    vocabulary = [" " if symbol == SPACE and tokens.kind == "char" else symbol for symbol in tokens.symbols]
    searcher = CTCBeamSearcher(blank_index=0, vocab_list=vocabulary, beam_size=beam_size)
    return lambda log_probs, lens: [best[0].text for best in searcher(log_probs, lens)]


def evaluate(
    recognizer: Recognizer, utterances: Sequence[Utterance], *, beam_size: int, batch_seconds: float
) -> Evaluation:
    """Decode and count; references without words are left out, as they have no error rate.

    Args:
        recognizer: the trained network.
        utterances: rows with at least one word among them.
        beam_size: 1 = greedy.
        batch_seconds: audio of a batch, padding included.
    """
    started = time.monotonic()
    decode = make_decoder(recognizer.tokens, beam_size)
    spoken = [row for row in utterances if row.transcript]
    longest = max(row.duration for row in spoken)
    sampler = DurationBatches([row.duration for row in spoken], max_seconds=max(batch_seconds, longest), seed=None)
    errors = ErrorRateStats()
    for indices in sampler:
        rows = [spoken[index] for index in indices]
        batch = collate([(row, torch.from_numpy(read_wav(row, recognizer.sample_rate)), []) for row in rows])
        log_probs, num_frames = recognizer.log_probs(batch.wavs, batch.wav_lens)
        hypotheses = decode(log_probs, num_frames / log_probs.shape[1])
        errors.append(batch.ids, [text.split() for text in hypotheses], [text.split() for text in batch.transcripts])
    summary = errors.summarize()
    return Evaluation(
        wer=summary["error_rate"],
        errors=summary["num_edits"],
        words=summary["num_scored_tokens"],
        seconds=time.monotonic() - started,
    )
