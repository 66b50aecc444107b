"""Joins the exports of named corpora: manifests of what their roles use, checked against each other.

<corpora_dir>/<name>/<config>/   an export of stages.export --name
<out_dir>/<config>/              train.csv, valid.csv, test.csv (the WAVs stay where they are), stats.json, histograms/
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atc_asr.core import files, manifest, messages, text
from atc_asr.core.corpora import AUDIO_HASH, corpus_of, is_used
from atc_asr.core.documents import read_json
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.core.outputs import new_folder
from atc_asr.core.params import CorpusParams
from atc_asr.corpus import leakage, stats
from atc_asr.corpus.exporter import HISTOGRAMS, NAMES, check_out_dir
from atc_asr.corpus.named import check_role
from atc_asr.corpus.source import SPLITS

log = logging.getLogger(__name__)


def join(
    corpora: Mapping[str, CorpusParams], *, corpora_dir: Path, out_dir: Path, config: str, allow_leakage: bool
) -> None:
    """Join the exports of all corpora to one configuration.

    Raises:
        InputError: an export is missing, cannot be used or lacks the split of its role, versions of the text
            normalisation differ, or train of a corpus has clips of valid or test of another.
    """
    check_out_dir(out_dir.resolve(), config)
    folders = {name: find_exports(corpora_dir, name) for name in corpora}
    for path in sorted(corpora_dir.iterdir()):
        if path.is_dir() and path.name not in corpora:
            log.warning(messages.NO_SUCH_CORPUS, path)
    check_text_versions([folder for name in folders for folder in folders[name]])
    splits: dict[str, list[Utterance]] = {}
    described: dict[str, list[Mapping[str, Any]]] = {}
    clips: list[leakage.Clip] = []
    for name, corpus in corpora.items():
        for folder in folders[name]:
            every = read_json(folder / manifest.STATS_FILE).get("splits")
            if not isinstance(every, dict):
                raise InputError(f"{folder / manifest.STATS_FILE}: has no splits, wanted that of stages.export")
            for split in (split for split in SPLITS if split in every and is_used(corpus, split)):
                rows = read_rows(folder / f"{split}.csv", name)
                splits.setdefault(split, []).extend(rows)
                described.setdefault(split, []).append(every[split])
                clips += [leakage.clip_of(row, name, split, folder.name) for row in rows]
        check_role(name, corpus, {clip.split for clip in clips if clip.corpus == name}, str(corpora_dir / name))
    leaks = leakage.across_corpora(clips)
    if leaks and not allow_leakage:
        raise InputError(f"corpora: {leakage.describe(leaks)}, wanted none (checks.allow_leakage: true accepts them)")
    if leaks:
        log.warning(messages.LEAKAGE, leakage.describe(leaks))
    added = {split: stats.add_up(described[split]) for split in splits}
    content = {
        "text_version": text.VERSION,
        "splits": added,
        "leakage": leakage.counts(leaks),
    }
    with new_folder(out_dir / config, NAMES) as folder:
        for split, rows in splits.items():
            manifest.write_manifest(folder / f"{split}.csv", rows)
        stats.write_histograms(folder / HISTOGRAMS, added)
        files.write_text(folder / manifest.STATS_FILE, stats.to_json(content))
    counts = ", ".join(f"{split} {len(rows)} rows" for split, rows in splits.items())
    log.info(messages.EXPORT_DONE, out_dir / config, counts)


def find_exports(corpora_dir: Path, name: str) -> list[Path]:
    """The folders of a corpus's configurations.

    Raises:
        InputError: there is none.
    """
    found = sorted(path.parent for path in (corpora_dir / name).glob(f"*/{manifest.STATS_FILE}"))
    if not found:
        raise InputError(f"{corpora_dir / name}: has no export, wanted that of stages.export --name {name}")
    return found


def read_rows(path: Path, name: str) -> list[Utterance]:
    """The rows of a manifest of a corpus.

    Raises:
        InputError: it cannot be read, or was not exported under this name.
    """
    rows = manifest.read_manifest(path)
    other = next((row for row in rows if corpus_of(row) != name or AUDIO_HASH not in row.columns), None)
    if other is not None:
        where = f"{path} (id {other.id})"
        raise InputError(f"{where}: corpus is {corpus_of(other)!r}, wanted {name!r}, by stages.export --name {name}")
    return rows


def check_text_versions(folders: Sequence[Path]) -> None:
    """Check that the transcripts of all exports were normalised alike.

    Raises:
        InputError: one was not.
    """
    for folder in folders:
        version = manifest.text_version(folder / "train.csv")
        if version != text.VERSION:
            wanted = f"wanted {text.VERSION} as in the other corpora: export it again"
            raise InputError(f"{folder}: text version: got {version}, {wanted}")
