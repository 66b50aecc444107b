"""Several corpora: exports by name, their joined manifests, leakage among them, and what is refused before any work."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from atc_asr.commands import check_params, preset
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import read_manifest
from stages import export

ROOT = Path(__file__).resolve().parents[2]
THREE = """
export: {corpus: null}
checks: {allow_leakage: false}
corpora:
  us: {weight: 3.0, role: train, export: {corpus: us, layout: manifests}}
  eu: {weight: 1.0, role: train, export: {corpus: eu, layout: manifests, configs: [a, b]}}
  atco2: {weight: 0, role: test, export: {corpus: atco2, layout: manifests, checks: {min_duration: 0.1}}}
"""
NEW = {"audio": range(10), "id": range(10, 15), "tape": range(15, 20)}  # clips of eu's test that are in train of us


def noise(seed):
    return np.random.default_rng(seed).normal(0, 3000, 16000).astype(np.int16)


def write_corpus(folder, splits, suffix=".wav"):
    """A corpus of manifests; split -> (id, seed of the audio, tape) of each clip."""
    folder.mkdir(parents=True)
    for split, clips in splits.items():
        lines = []
        for name, seed, tape in clips:
            soundfile.write(folder / f"{split}{name}{suffix}", noise(seed), 16000)
            lines.append([name, f"{split}{name}{suffix}", 1, "TURN LEFT", tape])
        with open(folder / f"{split}.csv", "w", newline="") as file:
            csv.writer(file).writerows([["id", "wav", "duration", "transcript", "tape"], *lines])


def numbered(first, count):
    """Clips whose ids and tapes are numbers, as those of other corpora."""
    return [(f"{place:03d}", first + place, "1") for place in range(count)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A project with the exports of three corpora that share nothing."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "three.yaml").write_text(THREE)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        preset.run(Path("three.yaml"), Path("params.yaml"))
        us_train = [(f"dfw_{place}", place, f"tape_{place}") for place in range(20)]
        write_corpus(Path("us"), {"train": us_train, "valid": numbered(100, 2), "test": numbered(110, 3)})
        write_corpus(Path("eu/a"), {"train": numbered(200, 2), "valid": numbered(210, 2), "test": numbered(220, 2)})
        write_corpus(Path("eu/b"), {"train": numbered(300, 3)})
        write_corpus(Path("atco2"), {"train": numbered(400, 4), "test": numbered(410, 5)})
        for name in ("us", "eu", "atco2"):
            export.main(["--name", name, "--out_dir", f"data/corpora/{name}", "--processes", "1"])
    return folder


@pytest.fixture
def project(exported, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(exported, folder)
    monkeypatch.chdir(folder)
    return folder


def join():
    export.main(["--out_dir", "data/corpus"])
    return {split: read_manifest(Path("data/corpus/base", f"{split}.csv")) for split in ("train", "valid", "test")}


def names(rows):
    return [row.columns["corpus"] for row in rows]


def edit(old, new):
    path = Path("params.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_manifests_have_what_the_roles_use(project):
    rows = join()
    assert names(rows["train"]) == ["eu"] * 5 + ["us"] * 20
    assert names(rows["valid"]) == ["eu"] * 2 + ["us"] * 2
    assert names(rows["test"]) == ["eu"] * 2 + ["atco2"] * 5 + ["us"] * 3
    first = rows["train"][0]
    assert first.id == "a_train_eu_000"
    assert first.wav.resolve() == project / "data/corpora/eu/a/wavs/a_train_eu_000.wav"
    assert len({row.columns["audio_hash"] for split in rows.values() for row in split}) == 39
    stats = json.loads(Path("data/corpus/base/stats.json").read_text())
    assert {split: one["rows"] for split, one in stats["splits"].items()} == {"train": 25, "valid": 4, "test": 10}
    assert sum(stats["splits"]["train"]["histograms"]["duration"]["counts"]) == 25
    assert stats["leakage"] == {}
    assert Path("data/corpus/base/histograms/level.csv").is_file()


def test_a_weight_of_0_leaves_a_corpus_for_the_scores(project):
    before = {path: path.stat().st_mtime_ns for path in Path("data/corpora").rglob("*")}
    edit("weight: 1.0", "weight: 0")
    rows = join()
    assert names(rows["train"]) == ["us"] * 20
    assert names(rows["valid"]) == ["us"] * 2
    assert names(rows["test"]) == ["eu"] * 2 + ["atco2"] * 5 + ["us"] * 3
    assert {path: path.stat().st_mtime_ns for path in Path("data/corpora").rglob("*")} == before


def plant():
    """Add 20 clips of train of us to test of eu, by audio in another format, by id or by tape."""
    clips = [(f"other{place}", place, "") for place in NEW["audio"]]
    clips += [(f"dfw_{place}", 500 + place, "") for place in NEW["id"]]
    clips += [(f"other{place}", 600 + place, f"tape_{place}") for place in NEW["tape"]]
    shutil.rmtree("eu/a")
    splits = {"train": numbered(200, 2), "valid": numbered(210, 2), "test": [*numbered(220, 2), *clips]}
    write_corpus(Path("eu/a"), splits, suffix=".flac")
    export.main(["--name", "eu", "--out_dir", "data/corpora/eu", "--processes", "1"])


def test_20_planted_clips_are_found(project, caplog):
    plant()
    with pytest.raises(InputError) as refusal:
        join()
    message = str(refusal.value)
    assert message.startswith("corpora: eu test in us's train 20 clips (audio 10, id 5, tape 5): ")
    assert "a_test_eu_other0 = base_train_us_dfw_0" in message
    assert message.endswith("wanted none (checks.allow_leakage: true accepts them)")
    assert not Path("data/corpus").exists()
    edit("allow_leakage: false", "allow_leakage: true")
    assert len(join()["test"]) == 30
    stats = json.loads(Path("data/corpus/base/stats.json").read_text())
    assert stats["leakage"] == {"eu test in us": {"clips": 20, "audio": 10, "id": 5, "tape": 5}}
    assert "20 clips" in caplog.text


def test_a_corpus_that_is_not_trained_on_leaks_nothing(project):
    plant()
    edit("weight: 3.0", "weight: 0")
    assert len(join()["test"]) == 30


def test_another_text_version_is_refused(project):
    path = Path("data/corpora/eu/b/stats.json")
    stats = json.loads(path.read_text())
    path.write_text(json.dumps(stats | {"text_version": "1"}))
    with pytest.raises(InputError, match=r"data/corpora/eu/b: text version: got 1, wanted 2 as in the other corpora"):
        join()


def test_a_corpus_without_export_is_refused(project):
    shutil.rmtree("data/corpora/us")
    with pytest.raises(InputError, match=r"data/corpora/us: has no export, wanted that of stages\.export --name us"):
        join()


def test_a_role_without_a_split_is_refused_when_the_corpus_has_none(project):
    shutil.rmtree("data/corpora/atco2/base/wavs")
    Path("data/corpora/atco2/base/test.csv").unlink()
    path = Path("data/corpora/atco2/base/stats.json")
    stats = json.loads(path.read_text())
    del stats["splits"]["test"]
    path.write_text(json.dumps(stats))
    with pytest.raises(InputError, match=r"corpora\.atco2: role test with weight 0 needs the split test, data/corpora"):
        join()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  us:", "  eu:", "params.yaml: is not valid YAML: .*duplicate key"),
        ("weight: 3.0", "weight: -3.0", r"corpora\.us\.weight: got -3\.0, wanted float >= 0"),
        ("corpus: us\n", "corpus: us\n      train_split: null\n", r"corpora\.us: role train with weight 3 needs the s"),
        ("corpus: atco2\n", "corpus: atco2\n      test_split: null\n", r"corpora\.atco2: role test with weight 0 n"),
        ("corpus: us\n", "copus: us\n", r"corpora\.us\.export\.copus: unknown key; did you mean corpus\?"),
        ("min_duration: 0.1\n", "min_durations: 0.1\n", r"corpora\.atco2\.export\.checks\.min_durations: unknown key"),
        ("  corpus: null  ", "  corpus: synthetic  ", "export.corpus: got 'synthetic' beside section corpora, wanted"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(project, old, new, message):
    edit(old, new)
    with pytest.raises(InputError, match=message):
        check_params.main([])


def test_an_unknown_name_and_a_missing_corpus_are_refused(project):
    with pytest.raises(InputError, match=r"--name: got 'usa', wanted one of section corpora: us, eu, atco2"):
        export.main(["--name", "usa"])
    edit("corpus: us\n", "revision: null\n")
    with pytest.raises(InputError, match=r"corpora\.us\.export\.corpus: missing"):
        export.main(["--name", "us"])


def test_a_preset_replaces_all_corpora_and_keeps_comments(project):
    before = (ROOT / "params.yaml").read_text()
    Path("one.yaml").write_text("export: {corpus: synthetic}\ncorpora: {}\n")
    preset.run(Path("one.yaml"), Path("params.yaml"))
    assert Path("params.yaml").read_text() == before
