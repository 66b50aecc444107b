"""Reading the manifests of lhotse."""

import gzip
import json

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core.errors import InputError
from atc_asr.corpus import lhotse

RATE = 8000
SPLITS = {"train": "train", "valid": "dev", "test": "test"}
STEREO = np.random.default_rng(0).uniform(-0.3, 0.3, (RATE * 4, 2)).astype(np.float32)


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def recording(name="tape1", source="audio/tape1.wav", kind="file", channels=(0, 1)):
    sources = [{"type": kind, "channels": list(channels), "source": source}]
    return {"id": name, "sources": sources, "sampling_rate": RATE, "num_samples": RATE * 4, "duration": 4.0}


def supervision(name, **changes):
    values = {"id": name, "recording_id": "tape1", "start": 1.0, "duration": 0.5, "channel": 0, "text": "roger"}
    return values | {"language": "English", "speaker": "x", "custom": {"callsign": "DAL1", "words": ["a"]}} | changes


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "audio").mkdir()
    sf.write(tmp_path / "audio/tape1.wav", STEREO, RATE, subtype="FLOAT")
    write_lines(tmp_path / "atc_recordings_train.jsonl.gz", [recording()])
    write_lines(tmp_path / "atc_supervisions_train.jsonl.gz", [supervision("a"), supervision("b", channel=[0, 1])])
    return tmp_path


def clips_of(corpus):
    source = lhotse.open_lhotse(str(corpus), "base", splits=SPLITS)
    return [(shard.split, clip) for shard in source.shards() for clip in source.read(shard)]


def test_supervisions_are_cut_from_their_channel(corpus):
    (split, first), (_, both) = clips_of(corpus)
    assert (split, first.id, first.text, first.sample_rate) == ("train", "a", "roger", RATE)
    assert first.columns == {"tape": "tape1", "speaker": "x", "callsign": "DAL1"}
    assert np.array_equal(first.audio, STEREO[RATE : RATE * 3 // 2, 0])
    assert np.array_equal(both.audio, STEREO[RATE : RATE * 3 // 2])


def test_splits_by_name_and_by_folder_and_none(corpus):
    write_lines(corpus / "atc_recordings_dev.jsonl", [recording()])
    write_lines(corpus / "atc_supervisions_dev.jsonl", [supervision("c")])
    write_lines(corpus / "test/recordings.jsonl.gz", [recording(source="..\\audio\\tape1.wav")])
    write_lines(corpus / "test/supervisions.jsonl.gz", [supervision("d")])
    assert [(split, clip.id, clip.audio is None) for split, clip in clips_of(corpus)] == [
        ("train", "a", False),
        ("train", "b", False),
        ("valid", "c", False),
        ("test", "d", False),
    ]
    write_lines(corpus / "other/recordings.jsonl.gz", [recording()])
    write_lines(corpus / "other/supervisions.jsonl.gz", [supervision("e")])
    assert [(split, clip.id) for split, clip in clips_of(corpus / "other")] == [("train", "e")]


@pytest.mark.parametrize(
    ("changed", "supervised", "wanted"),
    [
        ({"name": "tape9"}, {}, "recording tape1 is in no manifest of recordings"),
        ({"kind": "command"}, {}, "is of type command, wanted file"),
        ({}, {"channel": 7}, "has no channel 7"),
        ({}, {"start": "soon"}, "is no supervision: ValueError"),
        ({}, {"start": 3.9, "duration": 2}, "not within the recording of 4.00 s"),
    ],
)
def test_a_supervision_that_cannot_be_used_is_a_rejected_row(corpus, changed, supervised, wanted):
    write_lines(corpus / "atc_recordings_train.jsonl.gz", [recording(**changed)])
    write_lines(corpus / "atc_supervisions_train.jsonl.gz", [supervision("a", **supervised)])
    ((_, clip),) = clips_of(corpus)
    assert wanted in clip.problem


def test_manifests_that_cannot_be_read(corpus):
    with pytest.raises(InputError, match=r"has no supervisions\.jsonl\.gz"):
        clips_of(corpus / "audio")
    path = corpus / "atc_supervisions_train.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": 1}\n[]\n'))
    with pytest.raises(InputError, match=r"train\.jsonl\.gz:2: got list, wanted an object"):
        clips_of(corpus)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"train\.jsonl\.gz: cannot be read"):
        clips_of(corpus)
    (corpus / "atc_recordings_train.jsonl.gz").unlink()
    with pytest.raises(InputError, match="has no recordings"):
        clips_of(corpus)
