"""Reading manifests as a corpus."""

import json

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core.config import load_section
from atc_asr.core.errors import InputError
from atc_asr.corpus import clips, manifest_source
from atc_asr.corpus.params import CheckParams

NAMES = {"train": "train", "valid": "validation", "test": "test"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audio").mkdir()
    sf.write(tmp_path / "audio/a.flac", np.zeros(800), 8000)
    (tmp_path / "train.csv").write_text(
        "id,wav,duration,transcript,tape\na,audio/a.flac,0.1,Roger,t1\nb,audio/missing.wav,1,Wilco,t1\n"
    )
    row = {"id": "c", "wav": "audio/a.flac", "transcript": "Roger"}
    (tmp_path / "validation.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def test_clips_of_manifests(folder):
    source = manifest_source.open_manifests(str(folder), "base", splits=NAMES)
    shards = source.shards()
    assert [(shard.split, shard.size) for shard in shards] == [("train", 2), ("valid", 1)]
    first, missing = source.read(shards[0])
    assert (first.id, first.text, first.columns) == ("a", "Roger", {"tape": "t1"})
    assert first.audio == (folder / "audio/a.flac").read_bytes()
    assert missing.audio is None


def test_a_folder_per_configuration_with_the_names_of_an_export(folder):
    base = folder / "base"
    base.mkdir()
    (folder / "validation.jsonl").rename(base / "valid.jsonl")
    source = manifest_source.open_manifests(str(folder), "base", splits=NAMES)
    assert list(source.files) == ["valid"]


def test_shards_change_with_rows_and_audio(folder):
    source = manifest_source.open_manifests(str(folder), "base", splits=NAMES)
    before = source.shards()
    assert source.shards() == before
    sf.write(folder / "audio/a.flac", np.zeros(900), 8000)
    assert source.shards() != before


def test_a_missing_manifest_and_a_missing_column(folder):
    with pytest.raises(InputError, match=r"has no manifest, wanted one of train\.csv, validation\.csv"):
        manifest_source.open_manifests(str(folder / "audio"), "base", splits=NAMES)
    (folder / "train.csv").write_text("id,wav\na,audio/a.flac\n")
    with pytest.raises(InputError, match=r"train\.csv:2 \(id a\): column transcript is missing"):
        manifest_source.open_manifests(str(folder), "base", splits=NAMES).shards()


def test_json_lines_of_nemo(folder):
    rows = [
        {"audio_filepath": "audio/b.wav", "duration": 1.0, "text": "roger", "lang": "en"},
        {"audio_filepath": str(folder / "audio/b.wav"), "offset": 0.5, "duration": 1.0, "text": "wilco"},
        {"audio_filepath": "audio\\b.wav", "offset": 5.0, "duration": 1.0, "text": "beyond"},
        {"audio_filepath": "audio/b.wav", "offset": "x", "duration": 1.0, "text": "odd"},
    ]
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 16000).astype(np.float32)
    sf.write(folder / "audio/b.wav", samples, 8000, subtype="FLOAT")
    (folder / "test.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "train.csv").unlink()
    source = manifest_source.open_manifests(str(folder), "base", splits=NAMES)
    (shard,) = (shard for shard in source.shards() if shard.split == "test")
    whole, part, beyond, odd = source.read(shard)
    assert (whole.id, whole.text, whole.columns) == ("b", "roger", {"lang": "en"})
    assert whole.audio == (folder / "audio/b.wav").read_bytes()
    assert (part.id, part.sample_rate) == ("b_000000500", 8000)
    assert np.array_equal(part.audio[:, 0], samples[4000:12000])
    assert "not within the recording of 2.00 s" in beyond.problem
    assert "offset and duration are 'x' and '1.0'" in odd.problem


def test_a_missing_file_is_named_in_the_list_of_rejected_rows(folder):
    source = manifest_source.open_manifests(str(folder), "base", splits=NAMES)
    _, missing = source.read(source.shards()[0])
    row, _ = clips.make_row(missing, config="base", split="train", params=load_section(CheckParams))
    assert (row.rejection.reason, row.rejection.value) == ("no_audio", str(folder / "audio/missing.wav"))
