"""WER by level of normalisation: the part of the word error rate that is spelling.

Each level normalises reference and hypothesis further without changing their meaning: as written, by the text
normalisation of the corpus, with single digits folded (NINER and 9), with group form folded (SIX EIGHTY SIX and SIX
EIGHT SIX). The decrease of the WER from one level to the next is caused by spelling.
"""

from collections.abc import Sequence

from atc_asr.atc.grammar.spoken_numbers import fold_digits, fold_groups
from atc_asr.core.text import normalize
from atc_asr.wer.wer import Counts, Pair, count_edits, total

LEVELS = ("raw", "normalized", "digits_folded", "groups_folded")


def count_levels(pairs: Sequence[Pair]) -> dict[str, Counts]:
    """Words at each level, of texts as written, before any normalisation; pairs without reference words are left out.

    Their rates are the WERs.
    """
    refs = [_spell(pair.ref) for pair in pairs]
    hyps = [ref if pair.hyp == pair.ref else _spell(pair.hyp) for pair, ref in zip(pairs, refs, strict=True)]
    return {
        level: total(count_edits(ref[number], hyp[number]) for ref, hyp in zip(refs, hyps, strict=True) if ref[number])
        for number, level in enumerate(LEVELS)
    }


def _spell(text: str) -> tuple[list[str], ...]:
    """The words of a text at each level."""
    words = normalize(text).split()
    return text.split(), words, fold_digits(words), fold_groups(words)
