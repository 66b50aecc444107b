"""The normalisation ladder: how much of the word error rate is spelling.

Each rung makes reference and hypothesis more alike than the one before without touching what they mean: as they were
written, by the corpus's rule, with single digits folded (`NINER` and `9`), with group form folded (`SIX EIGHTY SIX`
and `SIX EIGHT SIX`). What the WER loses between two rungs was spelling.
"""

from collections.abc import Callable, Iterable

from atc_asr.atc.grammar.spoken_numbers import fold_digits, fold_groups
from atc_asr.core.text import normalize
from atc_asr.wer.wer import Pair, count_edits, total

LEVELS: dict[str, Callable[[str], list[str]]] = {
    "raw": str.split,
    "normalized": lambda text: normalize(text).split(),
    "digits_folded": lambda text: fold_digits(normalize(text).split()),
    "groups_folded": lambda text: fold_groups(normalize(text).split()),
}


def wer_by_level(pairs: Iterable[Pair]) -> dict[str, float | None]:
    """WER in per cent by rung.

    Args:
        pairs: texts as they were written, before any normalisation.
    """
    pairs = list(pairs)
    found = {}
    for name, words_of in LEVELS.items():
        folded = [(words_of(pair.ref), words_of(pair.hyp)) for pair in pairs]
        found[name] = total(count_edits(ref, hyp) for ref, hyp in folded if ref).rate
    return found
