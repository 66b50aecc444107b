"""Exports sources to folders of 16 kHz mono WAVs and manifests.

<out_dir>/<config>/wavs/<id>.wav
                   train.csv  valid.csv  test.csv    id, wav, duration, transcript, further columns of the corpus
                   rejected.csv                      id, split, reason, value, limit
                   stats.json                        counts, hours, histograms, leakage
                   histograms/<quantity>.csv         for `dvc plots`
                   boost/<recording>.csv             callsign, file: call signs nearby, where the corpus lists them

The shards are written to a staging folder first. Then their rows are validated together and the folders are made.
"""

import errno
import logging
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from atc_asr.core import files, manifest, messages, outputs, text, workers
from atc_asr.core.corpora import AUDIO_HASH, CORPUS
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance
from atc_asr.corpus import conventions, leakage, shards, stats
from atc_asr.corpus.clips import Row, safe_name
from atc_asr.corpus.params import CheckParams, ExportParams
from atc_asr.corpus.source import SPLITS, Shard, Source, nearby_callsigns
from atc_asr.corpus.validation import accepted, by_split, check_rejected, reject_duplicates, split_train

log = logging.getLogger(__name__)

REJECTED_FILE = "rejected.csv"
WAVS, HISTOGRAMS, BOOST = "wavs", "histograms", "boost"
NAMES = (manifest.STATS_FILE, WAVS, HISTOGRAMS, BOOST, REJECTED_FILE, *(f"{split}.csv" for split in SPLITS))
_CONFIG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def export(
    sources: Mapping[str, Source],
    params: ExportParams,
    checks: CheckParams,
    *,
    out_dir: Path,
    processes: int,
    shard: str | None = None,
) -> None:
    """Export each configuration to `<out_dir>/<config>`; either all configurations are written or none.

    Finished shards are kept in a hidden staging folder beside `out_dir` until the end, so that a killed export
    resumes there. An export with `shard` I/N ends with its part of the shards in a staging folder of its own, which the
    export without it takes over.

    Raises:
        InputError: the data fail validation, the output folder has other content, or the disk is full.
    """
    out_dir = out_dir.resolve()
    for config in sources:
        check_out_dir(out_dir, config)
    staging_dir = shards.staging_dir(out_dir, shard)
    with shards.locked(staging_dir):
        try:
            folders = export_shards(sources, params, checks, out_dir, processes, shard)
            if shard is not None:
                return
            rows = {
                config: [row for shard in folders[config] for row in shards.read_shard(shard)] for config in folders
            }
            nearby = {config: nearby_callsigns(source) for config, source in sources.items()}
            publish(rows, nearby, params, checks, staging_dir, out_dir)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(
                f"{out_dir}: no space left on the disk; finished shards are in {staging_dir}: "
                "free space and run the same command again, or delete that folder"
            ) from error
        shards.clear(staging_dir)


def check_out_dir(out_dir: Path, config: str) -> None:
    """Check that `<out_dir>/<config>` is new, empty or an earlier export.

    Raises:
        InputError: the name is not plain, or the folder has other content than an export's.
    """
    if not _CONFIG_NAME.fullmatch(config):
        raise InputError(f"export.configs: got {config!r}, wanted a name of letters, digits, '.', '_' and '-'")
    folder = out_dir / config
    outputs.check_folder(folder, NAMES)
    if folder.is_dir() and any(folder.iterdir()):
        outputs.check_folder(folder / HISTOGRAMS, stats.HISTOGRAM_FILES)
        written = stats.num_rows(folder / manifest.STATS_FILE)
        found = len(os.listdir(folder / WAVS)) if (folder / WAVS).is_dir() else 0
        if found > written:
            raise InputError(f"{folder / WAVS}: holds {found} files, wanted the {written} of {manifest.STATS_FILE}")


def subset_sizes(all_shards: Sequence[Shard], params: ExportParams) -> dict[str, int]:
    """Split -> number of clips to export: the first fraction of train, the first rows of valid, all of test."""
    sizes = {split: sum(shard.size for shard in all_shards if shard.split == split) for split in SPLITS}
    if sizes["train"]:
        sizes["train"] = max(1, math.floor(sizes["train"] * params.train_fraction))
    if params.validation_samples:
        sizes["valid"] = min(sizes["valid"], params.validation_samples)
    return sizes


def export_shards(
    sources: Mapping[str, Source],
    params: ExportParams,
    checks: CheckParams,
    out_dir: Path,
    processes: int,
    part: str | None,
) -> dict[str, list[Path]]:
    """Write all shards of a part I/N (None = all) that do not exist yet.

    Returns:
        Configuration -> the folders of its shards, in the corpus's order.
    """
    staging_dir = shards.staging_dir(out_dir, part)
    tasks: dict[str, list[shards.Task]] = {}
    keys: dict[str, str] = {}
    convention = conventions.choose(params.convention, params.layout)
    for config, source in sources.items():
        all_shards = source.shards()
        sizes = subset_sizes(all_shards, params)
        if not any(sizes.values()):
            raise InputError(f"{config}: the corpus has no rows")
        folder = staging_dir / config
        keys[config] = shards.run_key(source.identity(), all_shards, config, checks, convention, sizes)
        shards.prepare(folder, keys[config])
        tasks[config] = shards.make_tasks(source, all_shards, config, checks, convention, sizes, folder)
    everything = workers.take_shard([task for config in tasks for task in tasks[config]], part)
    if part is None:
        shards.take_over(out_dir, keys)
    missing = [task for task in everything if not task.folder.is_dir()]
    if len(missing) < len(everything):
        log.info(messages.EXPORT_RESUMED, len(everything) - len(missing), len(everything))
    total = sum(task.num_clips for task in everything)
    done = total - sum(task.num_clips for task in missing)
    # disable=None: no bar where standard error is not a terminal
    with tqdm(total=total, initial=done, unit="clip", desc="export", disable=None) as bar:
        for count in workers.map_unordered(shards.export_shard, missing, processes):
            bar.update(count)
    if part is not None:
        log.info(messages.EXPORT_SHARD_DONE, part, len(everything), sum(map(len, tasks.values())), staging_dir)
    return {config: [task.folder for task in tasks[config]] for config in tasks}


def publish(
    exported: Mapping[str, Sequence[tuple[Row, Path]]],
    nearby: Mapping[str, Mapping[str, Sequence[str]]],
    params: ExportParams,
    checks: CheckParams,
    staging_dir: Path,
    out_dir: Path,
) -> None:
    """Validate the rows of finished shards, make the folders of all configurations and move them to `out_dir`.

    `exported` is configuration -> its rows, each with its WAV; `nearby` is configuration -> recording -> call signs.
    """
    rows = {}
    for config, pairs in exported.items():
        rows[config] = reject_duplicates([row for row, _ in pairs], checks.allow_duplicates)
        if params.split_by:
            fractions = {"valid": params.valid_fraction, "test": params.test_fraction}
            rows[config] = split_train(rows[config], params.split_by, fractions)
        rejected_file = staging_dir / config / REJECTED_FILE
        write_rejected(rejected_file, rows[config])
        check_rejected(config, rows[config], params.max_rejected, rejected_file)
    splits = by_split([row for config in rows for row in accepted(rows[config])])
    if not checks.allow_leakage:
        leakage.check_shared_audio(splits)
    for config, pairs in exported.items():
        # Held-out splits are compared with the train splits of all configurations.
        leaks = leakage.report(by_split(accepted(rows[config])) | {"train": splits.get("train", [])})
        wavs = {row.id: wav for row, (_, wav) in zip(rows[config], pairs, strict=True) if not row.rejection}
        subset = {"train_fraction": params.train_fraction, "validation_samples": params.validation_samples}
        write_folder(
            staging_dir / config / "complete", rows[config], wavs, subset | {"leakage": leaks}, checks.frame_ms
        )
        write_boost(staging_dir / config / "complete" / BOOST, accepted(rows[config]), nearby[config])
    out_dir.mkdir(parents=True, exist_ok=True)
    outputs.remove_stale(out_dir)  # the corpus that a killed export had replaced, and not yet removed
    for config in rows:
        outputs.rename(staging_dir / config / "complete", (out_dir / config).resolve())
        log.info(messages.EXPORT_DONE, out_dir / config, summary(rows[config]))
        streamed = [row.id for row in accepted(rows[config]) if row.wrong_length]
        if streamed:
            log.warning(messages.WRONG_LENGTHS, out_dir / config, len(streamed), streamed[0])
        for kind, what in stats.removed_by_kind(rows[config]).items():
            log.info(messages.TEXT_REMOVED, out_dir / config, what["count"], kind, ", ".join(what["examples"]))


def write_folder(
    folder: Path, rows: Sequence[Row], wavs: Mapping[str, Path], info: Mapping[str, Any], frame_ms: int
) -> None:
    """Write the complete folder of one configuration; the shards are not changed.

    `rows` are accepted and rejected, `wavs` is id -> WAV in the staging folder, `info` has further keys of stats.json.
    """
    shutil.rmtree(folder, ignore_errors=True)
    wav_folder = folder / WAVS
    wav_folder.mkdir(parents=True)
    splits = by_split(accepted(rows))
    for split, members in splits.items():
        utterances = []
        for row in members:
            wav = wav_folder / f"{row.id}.wav"
            link_or_copy(wavs[row.id], wav)
            columns = {**row.columns, AUDIO_HASH: row.digest} if CORPUS in row.columns else row.columns
            utterances.append(Utterance(row.id, wav, row.duration, row.transcript, columns))
        manifest.write_manifest(folder / f"{split}.csv", utterances)
    write_rejected(folder / REJECTED_FILE, rows)
    every = {split: stats.describe_split([row for row in rows if row.split == split], frame_ms) for split in splits}
    stats.write_histograms(folder / HISTOGRAMS, every)
    content = {"text_version": text.VERSION, "splits": every, **info}
    files.write_text(folder / manifest.STATS_FILE, stats.to_json(content))


def link_or_copy(source: Path, path: Path) -> None:
    """Hard-link a file, or copy it where the file system has no hard links."""
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copyfile(source, path)


def write_rejected(path: Path, rows: Iterable[Row]) -> None:
    """Write the rejected rows, sorted, each with its reason."""
    rejected = ((row, row.rejection) for row in rows if row.rejection)
    lines = sorted((row.id, row.split, why.reason, why.value, why.limit) for row, why in rejected)
    files.write_csv(path, ["id", "split", "reason", "value", "limit"], lines)


def write_boost(folder: Path, rows: Sequence[Row], nearby: Mapping[str, Sequence[str]]) -> None:
    """Write the call signs that were near each recording, as `--boost` of decode and transcribe reads them.

    Column `file` has the name of the recording and the ids of its utterances.
    """
    for recording, callsigns in nearby.items():
        names = [recording, *sorted(row.id for row in rows if row.columns.get("tape") == recording)]
        lines = [(callsign, name) for name in names for callsign in callsigns]
        if lines:
            files.write_csv(folder / f"{safe_name(recording)}.csv", ["callsign", "file"], lines)


def summary(rows: Sequence[Row]) -> str:
    """Rows and hours of each split and the number of rejected rows, for the log."""
    parts = [
        f"{split} {len(members)} rows {sum(row.duration for row in members) / 3600:.2f} h"
        for split, members in by_split(accepted(rows)).items()
    ]
    return ", ".join([*parts, f"{len(rows) - len(accepted(rows))} rejected"])
