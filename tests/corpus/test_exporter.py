"""The export of sources in memory: content, resuming, full disks, validation, splits."""

import csv
import dataclasses
import errno
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.corpus import audio, exporter, shards
from atc_asr.corpus.params import CheckParams, ExportParams
from atc_asr.corpus.source import Clip, Shard, make_shards

PARAMS = load_section(ExportParams).model_copy(update={"max_rejected": 0.5})
CHECKS = load_section(CheckParams)


@dataclass(frozen=True)
class ListSource:
    """Clips from memory; reading a shard appends a line to `log`, and raises KeyboardInterrupt at clip `fails_at`."""

    clips: tuple[tuple[str, Clip], ...]
    log: str | None = None
    fails_at: int | None = None
    shard_size: int = 3

    def identity(self):
        return {"clips": [(split, clip.id) for split, clip in self.clips]}

    def shards(self) -> list[Shard]:
        splits = {split: [clip for name, clip in self.clips if name == split] for split in ("train", "valid", "test")}
        return [shard for split, clips in splits.items() for shard in make_shards(split, clips, self.shard_size)]

    def read(self, shard: Shard) -> Iterator[Clip]:
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{shard.split} {shard.index}\n")
        for clip in shard.items:
            if self.fails_at is not None and clip.id == f"{self.fails_at:04d}":
                raise KeyboardInterrupt
            yield clip


def make_clip(number, **changes):
    noise = np.random.default_rng(number).standard_normal(8000) * 0.1
    samples = np.round(noise * 32768).astype(np.int16)
    values = {"id": f"{number:04d}", "audio": samples, "sample_rate": 8000, "text": f"turn left heading {number}"}
    return Clip(**values | changes)


def source(train=7, valid=2, test=2, **settings):
    splits = ["train"] * train + ["valid"] * valid + ["test"] * test
    return ListSource(tuple((split, make_clip(number)) for number, split in enumerate(splits)), **settings)


def export(sources, out_dir, *, checks=CHECKS, processes=1, **params):
    """Export with changed `export` parameters."""
    sources = sources if isinstance(sources, dict) else {"base": sources}
    exporter.export(sources, PARAMS.model_copy(update=params), checks, out_dir=out_dir, processes=processes)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def changed_checks(**settings):
    return CHECKS.model_copy(update=settings)


def test_the_files_of_an_export(tmp_path):
    export(source(), tmp_path / "atc0")
    folder = tmp_path / "atc0/base"
    assert (folder / "train.csv").read_text().splitlines()[:2] == [
        "id,wav,duration,transcript",
        "base_train_0000,wavs/base_train_0000.wav,1.0000,TURN LEFT HEADING 0",
    ]
    samples, rate = sf.read(folder / "wavs/base_train_0000.wav", dtype="int16")
    assert (rate, samples.shape) == (16000, (16000,))
    stats = json.loads((folder / "stats.json").read_text())
    assert {split: stats["splits"][split]["rows"] for split in stats["splits"]} == {"train": 7, "valid": 2, "test": 2}
    assert stats["splits"]["train"]["hours"] == pytest.approx(7 / 3600, abs=1e-6)
    assert stats["text_version"]
    assert len(rows(folder / "histograms/duration.csv")) == 60
    assert [path.name for path in tmp_path.iterdir()] == ["atc0"]


def test_the_same_bytes_with_any_number_of_processes(tmp_path):
    export(source(), tmp_path / "one")
    export(source(), tmp_path / "two", processes=2)
    assert not multiprocessing.active_children()
    export(source(shard_size=2), tmp_path / "small")
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "small")


def test_an_interrupted_export_resumes(tmp_path):
    export(source(), tmp_path / "whole")
    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        export(source(log=str(log), fails_at=7), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    done = log.read_text().splitlines()
    log.unlink()
    export(source(log=str(log)), tmp_path / "out")
    again = log.read_text().splitlines()
    assert len(done) == 4
    assert again == [done[-1], "test 0"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "other",
    [
        {"sources": source(train=6)},
        {"checks": changed_checks(max_duration=29.0)},
        {"train_fraction": 0.5},
        {"sources": source(shard_size=4)},
    ],
)
def test_shards_of_other_data_or_settings_are_not_reused(tmp_path, other):
    settings = {"sources": source()} | other
    export(out_dir=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        export(source(fails_at=9), tmp_path / "out")
    log = tmp_path / "log"
    settings["sources"] = dataclasses.replace(settings["sources"], log=str(log))
    export(out_dir=tmp_path / "out", **settings)
    assert len(log.read_text().splitlines()) == len({*log.read_text().splitlines()}) >= 3
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_unfinished_shard_is_removed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        export(source(fails_at=7), tmp_path / "out")
    half = tmp_path / ".out.partial/base/train-00002.unfinished-1"
    half.mkdir()
    (half / "0.wav").write_bytes(b"half")
    export(source(), tmp_path / "out")
    assert not (tmp_path / ".out.partial").exists()


def test_the_replaced_corpus_of_a_killed_export_is_removed(tmp_path, monkeypatch):
    """The kill comes when the new corpus has its name, before the old one is removed."""

    class Killed(BaseException):
        pass

    remove = exporter.outputs.remove

    def killed(path):
        if path.name.startswith(".base.atc-"):
            raise Killed
        remove(path)

    export(source(), tmp_path / "out")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(exporter.outputs, "remove", killed)
        export(source(train=8), tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 2
    exporter.outputs.remove_stale.cache_clear()  # as in a new process
    export(source(train=8), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["base"]


def test_a_full_disk_is_an_input_error_and_leaves_no_folder(tmp_path, monkeypatch):
    write = audio.write_wav
    calls = []

    def full(path, samples):
        calls.append(path)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, samples)

    monkeypatch.setattr(audio, "write_wav", full)
    with pytest.raises(InputError, match=r"out: no space left on the disk; .*\.out\.partial"):
        export(source(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*unfinished*"))
    monkeypatch.undo()
    export(source(), tmp_path / "out")
    export(source(), tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_full_disk_at_the_end_keeps_the_old_export(tmp_path, monkeypatch):
    export(source(train=3), tmp_path / "out")
    before = contents(tmp_path / "out")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporter.manifest, "write_manifest", full)
    with pytest.raises(InputError, match="no space left"):
        export(source(), tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_second_export_at_the_same_time_is_refused(tmp_path):
    with shards.locked(tmp_path / ".out.partial"), pytest.raises(InputError, match="another export"):
        export(source(), tmp_path / "out")
    export(source(), tmp_path / "out")


def test_an_older_export_is_replaced_and_other_files_are_kept(tmp_path):
    export(source(), tmp_path / "out")
    export(source(train=3), tmp_path / "out")
    assert len(list((tmp_path / "out/base/wavs").iterdir())) == 7
    (tmp_path / "out/mine").mkdir()
    (tmp_path / "out/mine/thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt, which is not of this output"):
        export({"mine": source()}, tmp_path / "out")
    assert (tmp_path / "out/mine/thesis.txt").exists()
    (tmp_path / "out/base/wavs/mine.wav").write_text("a recording")
    with pytest.raises(InputError, match="wavs: holds 8 files, wanted the 7"):
        export(source(), tmp_path / "out")
    assert (tmp_path / "out/base/wavs/mine.wav").exists()
    with pytest.raises(InputError, match=r"thesis\.txt is a file"):
        export(source(), tmp_path / "out/mine/thesis.txt")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "/abs", "a b", "-x"])
def test_the_name_of_a_configuration_is_a_plain_name(tmp_path, name):
    with pytest.raises(InputError, match=r"export\.configs"):
        export({name: source()}, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_subsets_are_the_first_rows(tmp_path):
    export(source(train=10, valid=4), tmp_path / "all")
    export(source(train=10, valid=4), tmp_path / "subset", train_fraction=0.45, validation_samples=3)
    for split, count in (("train", 4), ("valid", 3), ("test", 2)):
        whole = (tmp_path / f"all/base/{split}.csv").read_text().splitlines()
        assert (tmp_path / f"subset/base/{split}.csv").read_text().splitlines() == whole[: count + 1]


def with_clips(*extra):
    return ListSource(source().clips + extra)


def test_duplicates_are_rejected_and_name_the_first(tmp_path):
    same_id = ("train", make_clip(90, id="0001"))
    same_audio = ("train", dataclasses.replace(make_clip(2), id="0091"))
    export(with_clips(same_id, same_audio), tmp_path / "out")
    assert (tmp_path / "out/base/rejected.csv").read_text().splitlines() == [
        "id,split,reason,value,limit",
        "base_train_0001,train,duplicate_id,as base_train_0001,once",
        "base_train_0091,train,duplicate_audio,as base_train_0002,once",
    ]
    wav = sf.read(tmp_path / "out/base/wavs/base_train_0001.wav", dtype="int16")[0]
    assert np.array_equal(wav, audio.to_pcm16(audio.decode(make_clip(1).audio)[:, 0], 8000))
    export(with_clips(same_audio), tmp_path / "allowed", checks=changed_checks(allow_duplicates=True))
    assert rows(tmp_path / "allowed/base/rejected.csv") == []


def test_identical_audio_across_splits_is_an_error_unless_allowed(tmp_path):
    leak = ("test", dataclasses.replace(make_clip(2), id="0091"))
    with pytest.raises(InputError, match=r"1 clips of train-test .*base_train_0002 = base_test_0091"):
        export(with_clips(leak), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(with_clips(leak), tmp_path / "out", checks=changed_checks(allow_leakage=True))
    leakage = json.loads((tmp_path / "out/base/stats.json").read_text())["leakage"]
    assert leakage["identical_audio"]["train-test"] == 1
    assert leakage["test"]["transcripts_seen_in_train"] == pytest.approx(1 / 3, abs=1e-6)


def test_leakage_from_another_configuration_is_an_error(tmp_path):
    more = ListSource((("train", dataclasses.replace(make_clip(9), id="0000")), ("train", make_clip(50))))
    with pytest.raises(InputError, match=r"part2_train_0000 = base_test_0009"):
        export({"base": source(), "part2": more}, tmp_path / "out")


def test_too_many_rejections_are_an_error_that_names_the_list(tmp_path):
    bad = [("train", make_clip(80 + number, text="[noise]")) for number in range(8)]
    with pytest.raises(InputError, match=r"8 of 15 train rows rejected \(empty_text 8\), wanted at most 50%") as error:
        export(with_clips(*bad), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(rows(Path(str(error.value).rpartition("see ")[2]))) == 8
    log = tmp_path / "log"
    export(dataclasses.replace(with_clips(*bad), log=str(log)), tmp_path / "out", max_rejected=0.6)
    assert not log.exists()  # the finished shards were reused


def test_an_empty_split_is_an_error(tmp_path):
    silent = ListSource((*source(test=0).clips, ("test", make_clip(99, text=None))))
    with pytest.raises(InputError, match="1 of 1 test rows rejected"):
        export(silent, tmp_path / "out", max_rejected=1.0)
    with pytest.raises(InputError, match="has no rows"):
        export(ListSource(()), tmp_path / "out")


def test_new_splits_keep_groups_together(tmp_path):
    clips = tuple(("train", make_clip(n, columns={"tape": f"t{n % 10}"})) for n in range(60))
    export(ListSource(clips), tmp_path / "out", split_by="tape", valid_fraction=0.1, test_fraction=0.2)
    tapes = {
        split: {row["tape"] for row in rows(tmp_path / f"out/base/{split}.csv")} for split in ("train", "valid", "test")
    }
    assert [len(tapes[split]) for split in ("train", "valid", "test")] == [7, 1, 2]
    assert len(set.union(*tapes.values())) == 10
    with pytest.raises(InputError, match=r"has no speaker \(its columns: tape\)"):
        export(ListSource(clips), tmp_path / "two", split_by="speaker")


def test_existing_splits_are_kept(tmp_path):
    export(source(), tmp_path / "out")
    export(source(), tmp_path / "two", split_by="tape")
    assert contents(tmp_path / "out") == contents(tmp_path / "two")


def test_files_are_copied_where_hard_links_fail(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EPERM, "Operation not permitted")

    export(source(), tmp_path / "links")
    monkeypatch.setattr(exporter.os, "link", refuse)
    export(source(), tmp_path / "copies")
    assert contents(tmp_path / "links") == contents(tmp_path / "copies")


@dataclass(frozen=True)
class CountingSource(ListSource):
    """Counts calls of `shards`, which reads the corpus's manifests or transcripts."""

    calls: list = dataclasses.field(default_factory=list)

    def shards(self):
        self.calls.append("shards")
        return super().shards()


def test_the_corpus_is_listed_once(tmp_path):
    counting = CountingSource(source().clips)
    export(counting, tmp_path / "out")
    assert counting.calls == ["shards"]
