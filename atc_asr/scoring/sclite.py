"""Error counts by the rules of NIST's sclite, for comparison with published tables.

sclite aligns with a weight of 4 for a substitution and 3 for an insertion or a deletion (SCTK, `doc/sclite.htm`). It
replaces two substitutions by an insertion and a deletion where one more word then matches; jiwer and `atc_asr.wer`
give every error a weight of 1. The total number of errors is nearly always the same, the operations are not.
"""

from collections.abc import Iterable, Sequence

from atc_asr.wer.wer import Counts, ScoredPair, total

SUBSTITUTION, INSERTION, DELETION = 4, 3, 3


def count_edits(ref: Sequence[str], hyp: Sequence[str]) -> Counts:
    """The operations of sclite's alignment.

    On equal weights sclite prefers the diagonal to an insertion, and an insertion to a deletion (SCTK, `net_dp.c`).
    """
    # Equal words at the end cost nothing on the diagonal.
    end = 0
    while end < min(len(ref), len(hyp)) and ref[-1 - end] == hyp[-1 - end]:
        end += 1
    ref, hyp = ref[: len(ref) - end], hyp[: len(hyp) - end]
    # A cell holds (weight, substitutions, deletions, insertions).
    row = [(INSERTION * length, 0, 0, length) for length in range(len(hyp) + 1)]
    for number, word in enumerate(ref, start=1):
        diagonal, row[0] = row[0], (DELETION * number, 0, number, 0)
        for column, other in enumerate(hyp, start=1):
            above, left = row[column], row[column - 1]
            wrong = word != other
            replaced = diagonal[0] + SUBSTITUTION * wrong
            deleted, inserted = above[0] + DELETION, left[0] + INSERTION
            if replaced <= deleted and replaced <= inserted:
                best = (replaced, diagonal[1] + wrong, diagonal[2], diagonal[3])
            elif deleted < inserted:
                best = (deleted, above[1], above[2] + 1, above[3])
            else:
                best = (inserted, left[1], left[2], left[3] + 1)
            diagonal, row[column] = above, best
    _, substitutions, deletions, insertions = row[-1]
    return Counts(end + len(ref) - substitutions - deletions, substitutions, deletions, insertions)


def count_corpus(scored: Iterable[ScoredPair]) -> Counts:
    """The operations over a corpus; utterances with an empty reference are left out."""
    return total(
        # With at most one error every alignment has the same counts.
        item.words if item.words.errors <= 1 else count_edits(item.pair.ref.split(), item.pair.hyp.split())
        for item in scored
        if item.words.ref_length
    )
