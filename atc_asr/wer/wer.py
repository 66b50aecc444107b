"""Word and character error rates from minimum edit distance.

All rates are per cent. The rate of a corpus is the sum of its errors over the sum of its reference words, not the mean
of the utterances' rates. A reference without words has no rate; such utterances are counted separately.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

from atc_asr.core.errors import InputError

Operation = Literal["equal", "substitute", "delete", "insert"]

OPERATIONS: dict[str, Operation] = {  # by the names of rapidfuzz
    "equal": "equal", "replace": "substitute", "delete": "delete", "insert": "insert"
}  # fmt: skip
GAP = "*"
MARKS: dict[Operation, str] = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}
MAX_IDS_LISTED = 10


class Step(NamedTuple):
    """One column of an alignment: `ref` is None for an insertion, `hyp` is None for a deletion."""

    operation: Operation
    ref: str | None
    hyp: str | None


@dataclasses.dataclass(frozen=True)
class Counts:
    """Edit operations of one or many pairs; add them with `+`."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        hits, substitutions = self.hits + other.hits, self.substitutions + other.substitutions
        return Counts(hits, substitutions, self.deletions + other.deletions, self.insertions + other.insertions)

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def ref_length(self) -> int:
        """Words (or characters) of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float | None:
        """Errors per reference word in per cent; None without reference words."""
        return _per_cent(self.errors, self.ref_length)


@dataclasses.dataclass(frozen=True)
class Pair:
    """The reference and the hypothesis of one utterance."""

    id: str
    ref: str
    hyp: str


@dataclasses.dataclass(frozen=True)
class ScoredPair:
    """A pair with its word alignment and its word and character counts."""

    pair: Pair
    steps: tuple[Step, ...]
    words: Counts
    characters: Counts


def align(ref: Sequence[str], hyp: Sequence[str]) -> tuple[Step, ...]:
    """An alignment with the fewest errors; among several, the one that jiwer chooses."""
    steps: list[Step] = []
    for block in Levenshtein.opcodes(ref, hyp):
        refs, hyps = ref[block.src_start : block.src_end], hyp[block.dest_start : block.dest_end]
        # One of the two is empty in a deletion or insertion; otherwise they have the same length.
        steps.extend(Step(OPERATIONS[block.tag], *words) for words in itertools.zip_longest(refs, hyps))
    return tuple(steps)


def count_steps(steps: Iterable[Step]) -> Counts:
    """The operations of an alignment."""
    operations = [step.operation for step in steps]
    return Counts(*map(operations.count, OPERATIONS.values()))


def count_edits(ref: Sequence[str], hyp: Sequence[str]) -> Counts:
    """The operations between two word sequences (or, for characters, two strings), without building the alignment."""
    if ref == hyp:
        return Counts(hits=len(ref))
    edits = [edit.tag for edit in Levenshtein.editops(ref, hyp)]
    substitutions, deletions, insertions = map(edits.count, ("replace", "delete", "insert"))
    return Counts(len(ref) - substitutions - deletions, substitutions, deletions, insertions)


def score_pair(pair: Pair) -> ScoredPair:
    """Align the words of a pair; count word and character errors. The space between two words is a character."""
    ref, hyp = pair.ref.split(), pair.hyp.split()
    steps = align(ref, hyp)
    return ScoredPair(pair, steps, count_steps(steps), count_edits(" ".join(ref), " ".join(hyp)))


def pair_by_id(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> list[Pair]:
    """Pair references and hypotheses of the same id, in the order of the references.

    Raises:
        InputError: an id has a reference but no hypothesis, or the reverse; the message lists them.
    """
    missing = [name for name in references if name not in hypotheses]
    extra = [name for name in hypotheses if name not in references]
    if missing or extra:
        parts = [f"{len(missing)} without a hypothesis{_list_ids(missing)}"] if missing else []
        parts += [f"{len(extra)} without a reference{_list_ids(extra)}"] if extra else []
        raise InputError(
            f"ids differ: {'; '.join(parts)}; "
            f"got {len(hypotheses)} hypotheses for {len(references)} references, wanted one for each"
        )
    return [Pair(name, ref, hypotheses[name]) for name, ref in references.items()]


def _list_ids(ids: Sequence[str]) -> str:
    """` (a, b and 3 more)`."""
    more = f" and {len(ids) - MAX_IDS_LISTED} more" if len(ids) > MAX_IDS_LISTED else ""
    return f" ({', '.join(ids[:MAX_IDS_LISTED])}{more})"


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    columns = zip(*((one.hits, one.substitutions, one.deletions, one.insertions) for one in counts), strict=True)
    return Counts(*map(sum, columns))


def count_corpus(scored: Sequence[ScoredPair]) -> Counter[str]:
    """The counts of `summarize`; those of the parts of a corpus add up to those of the corpus."""
    rated = [item for item in scored if item.words.ref_length]
    empty = [item for item in scored if not item.words.ref_length]
    words, characters = total(item.words for item in rated), total(item.characters for item in rated)
    return Counter(
        num_utterances=len(rated),
        num_utterances_wrong=sum(1 for item in rated if item.words.errors),
        num_ref_words=words.ref_length,
        num_ref_characters=characters.ref_length,
        insertions=words.insertions,
        deletions=words.deletions,
        substitutions=words.substitutions,
        character_insertions=characters.insertions,
        character_deletions=characters.deletions,
        character_substitutions=characters.substitutions,
        num_empty_references=len(empty),
        num_empty_hypotheses=sum(1 for item in rated if not item.pair.hyp.split()),
        insertions_on_empty_references=sum(item.words.insertions for item in empty),
    )


def summarize(counts: Mapping[str, int]) -> dict[str, float | int | None]:
    """WER, CER and sentence error rate (per cent), with the counts of `count_corpus`.

    Utterances with an empty reference are left out of the rates; they and the words inserted in them are counted
    separately.
    """
    edits = ("insertions", "deletions", "substitutions")
    word_errors = sum(counts[name] for name in edits)
    character_errors = sum(counts[f"character_{name}"] for name in edits)
    return {
        "wer": _per_cent(word_errors, counts["num_ref_words"]),
        "cer": _per_cent(character_errors, counts["num_ref_characters"]),
        "sentence_error_rate": _per_cent(counts["num_utterances_wrong"], counts["num_utterances"]),
        **counts,
    }


def _per_cent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None


def format_alignment(item: ScoredPair) -> str:
    """A pair as four lines: id and rate, reference, hypothesis, and the marks S, D and I below the errors."""
    columns = []
    for step in item.steps:
        width = max(len(step.ref or ""), len(step.hyp or ""))
        cells = (step.ref or GAP * width, step.hyp or GAP * width, MARKS[step.operation])
        columns.append([cell.ljust(width) for cell in cells])
    rows = [" ".join(cells).rstrip() for cells in zip(*columns, strict=True)] if columns else ["", "", ""]
    counts = item.words
    rate = "-" if counts.rate is None else f"{counts.rate:.2f} %"
    edits = f"{counts.insertions} ins, {counts.deletions} del, {counts.substitutions} sub"
    head = f"id: {item.pair.id}  WER: {rate}  [{counts.errors} / {counts.ref_length}, {edits}]"
    lines = [f"{name} {row}".rstrip() for name, row in zip(("REF", "HYP", "   "), rows, strict=True)]
    return "\n".join([head, *(line for line in lines if line)])
