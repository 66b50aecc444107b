"""References and hypotheses, paired by id and normalised alike."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from atc_asr.core import text
from atc_asr.core.corpora import corpus_of
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import COLUMNS, Utterance, expand, read_manifests, read_rows, text_version
from atc_asr.hypotheses.hypotheses import each_hypothesis
from atc_asr.wer.wer import Pair, pair_by_id

UNNAMED = "unnamed"  # the utterances without a corpus beside those of named ones


@dataclasses.dataclass(frozen=True)
class PairedCorpus:
    """The utterances of a manifest with their hypotheses, in the order of the manifest.

    Attributes:
        utterances: rows of the manifest.
        pairs: normalised texts.
        written: the same texts as the files have them.
        places: file and line of the rows.
        greedy: the normalised greedy texts, where every hypothesis has one beside that of another search.
    """

    utterances: tuple[Utterance, ...]
    pairs: tuple[Pair, ...]
    written: tuple[Pair, ...]
    places: tuple[str, ...] = ()
    greedy: tuple[Pair, ...] = ()


def read_pairs(ref_manifest: Iterable[Path], hyp_file: Path, *, normalize_hypotheses: bool) -> PairedCorpus:
    """Read manifests (or patterns of them) and a decode.jsonl.

    Without `normalize_hypotheses`, a hypothesis that is not normalised is an error.

    Raises:
        InputError: a file cannot be used, an id has no partner, or texts have another normalisation.
    """
    paths = expand(ref_manifest)
    for path in paths:
        version = text_version(path)
        if version not in (None, text.VERSION):
            raise InputError(
                f"{path}: its text has normalisation {version}, wanted {text.VERSION}; export the corpus again"
            )
    utterances = read_manifests(paths)
    hyps, best_paths = {}, {}
    for one in each_hypothesis(hyp_file):  # without their words, which need much memory
        hyps[one.id] = one.hyp
        if one.greedy is not None:
            best_paths[one.id] = text.normalize(one.greedy)
    normalized = {name: text.normalize(hyp) for name, hyp in hyps.items()}
    if not normalize_hypotheses:
        _check_normalized(hyps, normalized, hyp_file)
    rows = {
        row["id"]: (f"{path}:{line}", row["transcript"]) for path in paths for line, row in read_rows(path, COLUMNS)
    }
    written = pair_by_id({utterance.id: rows[utterance.id][1] for utterance in utterances}, hyps)
    pairs = [Pair(utterance.id, utterance.transcript, normalized[utterance.id]) for utterance in utterances]
    places = (rows[utterance.id][0] for utterance in utterances)
    greedy = [Pair(pair.id, pair.ref, best_paths[pair.id]) for pair in pairs] if len(best_paths) == len(hyps) else ()
    return PairedCorpus(tuple(utterances), tuple(pairs), tuple(written), tuple(places), tuple(greedy))


def _check_normalized(hyps: Mapping[str, str], normalized: Mapping[str, str], path: Path) -> None:
    different = [name for name, hyp in hyps.items() if normalized[name] != hyp]
    if different:
        first = different[0]
        raise InputError(
            f"{path} (id {first}): {len(different)} of {len(hyps)} hypotheses are not normalised, "
            f"got {hyps[first]!r}, wanted {normalized[first]!r} (version {text.VERSION}); decode again, or set "
            "score.normalize_hypotheses to true for texts of another recogniser"
        )


def read_groups(utterances: Sequence[Utterance], column: str | None) -> list[str] | None:
    """The bootstrap group of every utterance from a manifest column; None, to resample utterances, without a column.

    Raises:
        InputError: an utterance has no value in the column.
    """
    groups = read_column(utterances, column, "score.group_column")
    missing = [one.id for one, group in zip(utterances, groups or [], strict=False) if not group]
    if missing:
        raise InputError(f"score.group_column: id {missing[0]} and {len(missing) - 1} more have no {column}")
    return groups


def rows_by_corpus(utterances: Sequence[Utterance]) -> dict[str, np.ndarray]:
    """The row numbers (n,) of every corpus, by its name; empty if no row has one."""
    names = np.array([corpus_of(utterance) or UNNAMED for utterance in utterances], dtype=str)
    by_name = np.argsort(names, kind="stable").astype(np.int32)
    found, starts = np.unique(names[by_name], return_index=True)
    return dict(zip(found.tolist(), np.split(by_name, starts[1:]), strict=True)) if any(found != UNNAMED) else {}


def read_column(utterances: Sequence[Utterance], column: str | None, key: str) -> list[str] | None:
    """The values of a manifest column, empty for rows without one; None when no column is given.

    The error message names the parameter `key` that chose the column.

    Raises:
        InputError: no utterance has a value in the column.
    """
    if column is None:
        return None
    values = [utterance.columns.get(column, "") for utterance in utterances]
    if not any(values):
        known = sorted({name for utterance in utterances for name in utterance.columns})
        raise InputError(f"{key}: no utterance has a {column}, the manifest's further columns are {known}")
    return values
