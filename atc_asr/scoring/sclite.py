"""Error counts by the rules of NIST's sclite, which other people's tables were made with.

sclite aligns at weights of 4 for a substitution and 3 for an insertion or a deletion (SCTK, `doc/sclite.htm`), so it
makes two substitutions an insertion and a deletion wherever one more word then agrees; jiwer and `atc_asr.wer.wer`
count each error as 1. The sum of the errors is nearly always the same, its parts are not.
"""

from collections.abc import Iterable, Sequence

from atc_asr.wer.wer import Counts, ScoredPair, total

SUBSTITUTION, INSERTION, DELETION = 4, 3, 3


def count_edits(ref: Sequence[str], hyp: Sequence[str]) -> Counts:
    """The operations of sclite's alignment.

    Of equal weights it takes the diagonal before an insertion and that before a deletion (SCTK, `net_dp.c`).
    """
    ref, hyp, hits = _without_common_end(ref, hyp)
    # a cell is (weight, substitutions, deletions, insertions)
    row = [(INSERTION * length, 0, 0, length) for length in range(len(hyp) + 1)]
    for number, word in enumerate(ref, start=1):
        diagonal, row[0] = row[0], (DELETION * number, 0, number, 0)
        for column, other in enumerate(hyp, start=1):
            above, left = row[column], row[column - 1]
            wrong = word != other
            across = diagonal[0] + SUBSTITUTION * wrong
            deleted, inserted = above[0] + DELETION, left[0] + INSERTION
            if across <= deleted and across <= inserted:
                best = (across, diagonal[1] + wrong, diagonal[2], diagonal[3])
            elif deleted < inserted:
                best = (deleted, above[1], above[2] + 1, above[3])
            else:
                best = (inserted, left[1], left[2], left[3] + 1)
            diagonal, row[column] = above, best
    _, substitutions, deletions, insertions = row[-1]
    return Counts(hits + len(ref) - substitutions - deletions, substitutions, deletions, insertions)


def _without_common_end(ref: Sequence[str], hyp: Sequence[str]) -> tuple[Sequence[str], Sequence[str], int]:
    """Both without the words they end with alike, and the number of those: the diagonal costs nothing there."""
    end = 0
    while end < min(len(ref), len(hyp)) and ref[-1 - end] == hyp[-1 - end]:
        end += 1
    return ref[: len(ref) - end], hyp[: len(hyp) - end], end


def count_corpus(scored: Iterable[ScoredPair]) -> Counts:
    """The operations over a corpus, references without a word left out."""
    return total(_count_pair(item) for item in scored if item.words.ref_length)


def _count_pair(item: ScoredPair) -> Counts:
    # one error, or all of one kind but substitutions, leaves no choice
    if item.words.errors <= 1 or item.pair.hyp == "":
        return item.words
    return count_edits(item.pair.ref.split(), item.pair.hyp.split())
