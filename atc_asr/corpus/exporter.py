"""Sources -> folders of 16 kHz mono WAVs and manifests: shards first, then the gate over all of them, then the folder.

<out_dir>/<config>/wavs/<id>.wav
                   train.csv  valid.csv  test.csv    id,wav,duration,transcript and the corpus's further columns
                   rejected.csv                      id,split,reason,value,limit
                   stats.json                        counts, hours, histograms, leakage
                   histograms/<quantity>.csv         for `dvc plots`
"""

import csv
import errno
import logging
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from atc_asr.core import files, manifest, text, workers
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.corpus import leakage, shards, stats
from atc_asr.corpus.clips import Row
from atc_asr.corpus.params import CheckParams
from atc_asr.corpus.source import SPLITS, Source
from atc_asr.corpus.validation import (
    SplitSpec,
    Validation,
    by_split,
    kept,
    refuse_duplicates,
    refuse_too_many,
    regrouped,
)

log = logging.getLogger(__name__)

REJECTED_FILE = "rejected.csv"
_CONFIG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SubsetSpec:
    """Which of a source's clips are wanted: the first fraction of train, the first rows of valid (0 = all)."""

    train_fraction: float
    validation_samples: int

    def wanted(self, source: Source) -> dict[str, int]:
        """Split -> number of clips, counted from the first."""
        sizes = Counter({split: 0 for split in SPLITS})
        for shard in source.shards():
            sizes[shard.split] += shard.size
        if sizes["train"]:
            sizes["train"] = max(1, math.floor(sizes["train"] * self.train_fraction))
        if self.validation_samples:
            sizes["valid"] = min(sizes["valid"], self.validation_samples)
        return dict(sizes)


def export(
    sources: Mapping[str, Source],
    *,
    out_dir: Path,
    cut: SubsetSpec,
    gate: Validation,
    regroup: SplitSpec | None,
    processes: int,
) -> None:
    """Export configurations side by side, each to `<out_dir>/<config>`; all of them, or none.

    Finished shards wait in a hidden folder beside `out_dir` until the end, so that a killed export goes on there.

    Raises:
        InputError: the data break a rule, or the disk is full.
    """
    out_dir = out_dir.resolve()
    for config in sources:
        refuse_foreign_folder(out_dir, config)
    work = files.partial_path(out_dir)
    with shards.locked(work):
        try:
            folders = export_shards(sources, work=work, cut=cut, checks=gate.checks, processes=processes)
            publish(folders, work=work, out_dir=out_dir, cut=cut, gate=gate, regroup=regroup)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(
                f"{out_dir}: no space left on the disk; finished shards are in {work}: "
                "make room and run the same command again, or delete that folder"
            ) from error
        shards.clear(work)


def refuse_foreign_folder(out_dir: Path, config: str) -> None:
    """Raise when `<out_dir>/<config>` is no place for an export: not a plain name, or somebody else's folder.

    Raises:
        InputError: it is not.
    """
    if not _CONFIG_NAME.fullmatch(config):
        raise InputError(f"export.configs: got {config!r}, wanted a name of letters, digits, '.', '_' and '-'")
    folder = out_dir / config
    for place in (out_dir, folder):
        if place.exists() and not place.is_dir():
            raise InputError(f"{place}: is a file, wanted a folder or nothing")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / manifest.STATS_FILE).is_file():
        raise InputError(f"{folder}: holds files and no {manifest.STATS_FILE}, so no export; it is left as it is")


def export_shards(
    sources: Mapping[str, Source], *, work: Path, cut: SubsetSpec, checks: CheckParams, processes: int
) -> dict[str, list[Path]]:
    """Write every shard that is not there yet, with N processes.

    Returns:
        The folders of each configuration's shards, in the corpus's order.
    """
    plans = {}
    for config, source in sources.items():
        wanted = cut.wanted(source)
        if not any(wanted.values()):
            raise InputError(f"{config}: the corpus has no rows")
        folder = work / config
        shards.prepare(folder, shards.run_key(source, config=config, checks=checks, wanted=wanted))
        plans[config] = shards.plan(source, config=config, checks=checks, work=folder, wanted=wanted)
    tasks = [task for plan in plans.values() for task in plan]
    missing = shards.unfinished_tasks(tasks)
    if len(missing) < len(tasks):
        log.info("going on: %d of %d shards are there", len(tasks) - len(missing), len(tasks))
    total = sum(task.take for task in tasks)
    done = total - sum(task.take for task in missing)
    # disable=None: quiet when nobody watches
    with tqdm(total=total, initial=done, unit="clip", desc="export", disable=None) as bar:
        for count in workers.map_unordered(shards.export_shard, missing, processes):
            bar.update(count)
    return {config: [task.folder for task in plan] for config, plan in plans.items()}


def publish(
    folders: Mapping[str, Sequence[Path]],
    *,
    work: Path,
    out_dir: Path,
    cut: SubsetSpec,
    gate: Validation,
    regroup: SplitSpec | None,
) -> None:
    """Pass finished shards through the gate and give them their place."""
    found = {config: [pair for shard in folders[config] for pair in shards.read_shard(shard)] for config in folders}
    rows = {
        config: refuse_duplicates([row for row, _ in found[config]], gate.checks.allow_duplicates) for config in found
    }
    if regroup:
        rows = {config: regrouped(rows[config], regroup) for config in rows}
    for config in rows:
        write_rejected(work / config / REJECTED_FILE, rows[config])
        refuse_too_many(config, rows[config], gate.max_rejected, work / config / REJECTED_FILE)
    together = by_split([row for config in rows for row in kept(rows[config])])
    if not gate.checks.allow_leakage:
        leakage.refuse_shared_audio(leakage.shared_audio(together))
    for config in rows:
        leaks = leakage.report(by_split(kept(rows[config])) | {"train": together.get("train", [])})
        places = zip(rows[config], found[config], strict=True)
        wavs = {row.id: wav for row, (_, wav) in places if not row.rejection}
        facts = {**asdict(cut), "leakage": leaks}
        fill(work / config / "whole", rows[config], wavs, facts, gate.checks.frame_seconds)
    for config in rows:
        replace_folder(work / config / "whole", out_dir / config)
        log.info("%s: %s", out_dir / config, summary(rows[config]))


def fill(folder: Path, rows: Sequence[Row], wavs: Mapping[str, Path], facts: dict, frame_seconds: float) -> None:
    """Make the whole of one configuration's folder; `facts` goes into stats.json.

    The shards stay as they are, so it can be done again.
    """
    shutil.rmtree(folder, ignore_errors=True)
    wav_folder = folder / "wavs"
    wav_folder.mkdir(parents=True)
    splits = by_split(kept(rows))
    for row in kept(rows):
        link_or_copy(wavs[row.id], wav_folder / f"{row.id}.wav")
    for split, here in splits.items():
        utterances = [
            Utterance(row.id, wav_folder / f"{row.id}.wav", row.duration, row.transcript, row.columns) for row in here
        ]
        manifest.write_manifest(folder / f"{split}.csv", utterances)
    write_rejected(folder / REJECTED_FILE, rows)
    stats.write_histograms(folder / "histograms", splits, frame_seconds)
    every = {split: [row for row in rows if row.split == split] for split in splits}
    content = {
        "text_version": text.VERSION,
        "splits": {split: stats.describe_split(here, frame_seconds) for split, here in every.items()},
        **facts,
    }
    files.write_text(folder / manifest.STATS_FILE, stats.to_json(content))


def link_or_copy(source: Path, place: Path) -> None:
    """A second name for a file, or a copy where the file system has no hard links."""
    try:
        os.link(source, place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copyfile(source, place)


def write_rejected(path: Path, rows: Sequence[Row]) -> None:
    """Write the rejected rows, sorted, each with its reason."""
    lines = sorted(
        (row.id, row.split, row.rejection.reason, row.rejection.value, row.rejection.limit)
        for row in rows
        if row.rejection
    )
    with files.new_file(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "split", "reason", "value", "limit"])
        writer.writerows(lines)


def replace_folder(whole: Path, place: Path) -> None:
    """Put a finished folder in its place, an older export aside first; a kill in between is mended by the next run."""
    place.parent.mkdir(parents=True, exist_ok=True)
    old = whole.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.rename(place, old)
    os.rename(whole, place)
    shutil.rmtree(old, ignore_errors=True)


def summary(rows: Sequence[Row]) -> str:
    """One line for the log."""
    parts = [
        f"{split} {len(here)} rows {sum(row.duration for row in here) / 3600:.2f} h"
        for split, here in by_split(kept(rows)).items()
    ]
    return ", ".join([*parts, f"{len(rows) - len(kept(rows))} rejected"])
