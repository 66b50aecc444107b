"""WER by level of normalisation: the part of the word error rate that is spelling.

Each level normalises reference and hypothesis further without changing their meaning: as written, by the text
normalisation of the corpus, with single digits folded (NINER and 9), with group form folded (SIX EIGHTY SIX and SIX
EIGHT SIX). The decrease of the WER from one level to the next is caused by spelling.
"""

from collections.abc import Callable, Sequence

from atc_asr.atc.grammar.spoken_numbers import fold_digits, fold_groups
from atc_asr.core.text import normalize
from atc_asr.wer.wer import Pair, count_edits, total

LEVELS: dict[str, Callable[[str], list[str]]] = {
    "raw": str.split,
    "normalized": lambda text: normalize(text).split(),
    "digits_folded": lambda text: fold_digits(normalize(text).split()),
    "groups_folded": lambda text: fold_groups(normalize(text).split()),
}


def wer_by_level(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """WER in per cent at each level, of texts as written, before any normalisation; None without reference words."""
    found = {}
    for name, split in LEVELS.items():
        texts = [(split(pair.ref), split(pair.hyp)) for pair in pairs]
        found[name] = total(count_edits(ref, hyp) for ref, hyp in texts if ref).rate
    return found
