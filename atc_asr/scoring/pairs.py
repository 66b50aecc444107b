"""References and hypotheses brought together: by id, of one normalisation."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from atc_asr.core import text
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import COLUMNS, Utterance, expand, read_manifests, read_rows, text_version
from atc_asr.hypotheses.hypotheses import Hypothesis, read_hypotheses
from atc_asr.wer.wer import Pair, pair_by_id


@dataclasses.dataclass(frozen=True)
class PairedCorpus:
    """A manifest's utterances, each with what was recognised, in the manifest's order.

    Attributes:
        utterances: the manifest's rows.
        pairs: normalised texts.
        written: the texts as the files hold them.
    """

    utterances: tuple[Utterance, ...]
    pairs: tuple[Pair, ...]
    written: tuple[Pair, ...]


def read_pairs(ref_manifest: Iterable[Path], hyp_file: Path, *, normalize_hypotheses: bool) -> PairedCorpus:
    """Read manifests and a decode.jsonl.

    Args:
        ref_manifest: manifests or patterns of them.
        hyp_file: the decode.jsonl.
        normalize_hypotheses: normalise what is not; otherwise it is refused.

    Raises:
        InputError: a file cannot be used, an id has no partner, or texts are of another normalisation.
    """
    paths = expand(ref_manifest)
    for path in paths:
        check_version(path)
    utterances = read_manifests(paths)
    hypotheses = read_hypotheses(hyp_file)
    if not normalize_hypotheses:
        check_normalized(hypotheses, hyp_file)
    as_written = {row["id"]: row["transcript"] for path in paths for _, row in read_rows(path, COLUMNS)}
    hyps = {one.id: one.hyp for one in hypotheses}
    written = pair_by_id({utterance.id: as_written[utterance.id] for utterance in utterances}, hyps)
    pairs = [Pair(utterance.id, utterance.transcript, text.normalize(hyps[utterance.id])) for utterance in utterances]
    return PairedCorpus(tuple(utterances), tuple(pairs), tuple(written))


def check_version(manifest: Path) -> None:
    """Refuse a manifest that another normalisation made.

    Raises:
        InputError: the stats.json beside it names another version.
    """
    version = text_version(manifest)
    if version not in (None, text.VERSION):
        raise InputError(
            f"{manifest}: its text is of normalisation {version}, wanted {text.VERSION}: export the corpus again"
        )


def check_normalized(hypotheses: Sequence[Hypothesis], path: Path) -> None:
    """Refuse hypotheses that the normalisation would change: their words could not match.

    Raises:
        InputError: with the first of them.
    """
    strange = [one for one in hypotheses if text.normalize(one.hyp) != one.hyp]
    if strange:
        first = strange[0]
        raise InputError(
            f"{path} (id {first.id}): {len(strange)} of {len(hypotheses)} hypotheses are of another normalisation, "
            f"got {first.hyp!r}, wanted {text.normalize(first.hyp)!r} (version {text.VERSION}); decode again, or set "
            "score.normalize_hypotheses to true for another recogniser's texts"
        )


def read_column(utterances: Sequence[Utterance], name: str | None, where: str) -> list[str] | None:
    """A further column of the manifest, empty for rows without it; None when no name is given.

    Raises:
        InputError: no utterance has a value in it.
    """
    if name is None:
        return None
    values = [utterance.columns.get(name, "") for utterance in utterances]
    if not any(values):
        known = sorted({key for utterance in utterances for key in utterance.columns})
        raise InputError(f"{where}: no utterance has a {name}, the manifest's further columns are {known}")
    return values


def read_groups(utterances: Sequence[Utterance], name: str | None) -> list[str] | None:
    """The group of every utterance for the bootstrap, None to resample by utterance.

    Raises:
        InputError: an utterance has none.
    """
    groups = read_column(utterances, name, "score.group_column")
    missing = [one.id for one, group in zip(utterances, groups or [], strict=False) if not group]
    if missing:
        raise InputError(f"score.group_column: id {missing[0]} and {len(missing) - 1} more have no {name}")
    return groups
