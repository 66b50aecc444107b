"""Manifests: reading, validation and writing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atc_asr.core import manifest
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "wavs").mkdir()
    for name in ("a", "b"):
        (tmp_path / "wavs" / f"{name}.wav").write_bytes(b"x")
    return tmp_path


def write(folder, *lines, name="train.csv"):
    path = folder / name
    path.write_text("\n".join(["id,wav,duration,transcript,speaker", *lines]) + "\n", encoding="utf-8")
    return path


def test_further_columns_are_kept(folder):
    path = write(folder, "a,wavs/a.wav,1.5,turn left,tower", "b,wavs/b.wav,2,ROGER,")
    assert manifest.read_manifest(path) == [
        Utterance("a", folder / "wavs/a.wav", 1.5, "TURN LEFT", {"speaker": "tower"}),
        Utterance("b", folder / "wavs/b.wav", 2.0, "ROGER", {"speaker": ""}),
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("x,wavs/x.wav,1,ROGER,", "train.csv:3 (id x): "),
        ("x,,1,ROGER,", "does not exist"),
        ("x,wavs/b.wav,0.0,ROGER,", "(id x): duration is 0.0 s, wanted > 0"),
        ("x,wavs/b.wav,-1,ROGER,", "wanted > 0"),
        ("x,wavs/b.wav,nan,ROGER,", "wanted > 0"),
        ("x,wavs/b.wav,inf,ROGER,", "wanted > 0"),
        ("x,wavs/b.wav,long,ROGER,", "duration is 'long'"),
        ("a,wavs/b.wav,1,ROGER,", "(id a): duplicate id"),
        ("x,wavs/b.wav,1,[noise],", "empty after normalisation"),
        ("x,wavs/b.wav,1", "train.csv:3 (id x): column transcript is missing"),
        ("x,wavs/b.wav,1,ROGER,,more", "more cells"),
        (",wavs/b.wav,1,ROGER,", "the id is empty"),
    ],
)
def test_an_invalid_row_is_reported_with_file_line_and_id(folder, line, wanted):
    path = write(folder, "a,wavs/a.wav,1.5,turn left,tower", line)
    with pytest.raises(InputError) as error:
        manifest.read_manifest(path)
    assert wanted in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_line_numbers_count_line_breaks_in_quotes(folder):
    path = write(folder, 'a,wavs/a.wav,1.5,"turn\nleft",tower', "b,wavs/b.wav,0,ROGER,")
    with pytest.raises(InputError, match=r"train\.csv:4 \(id b\)"):
        manifest.read_manifest(path)


def test_jsonl_manifest(folder):
    path = folder / "train.jsonl"
    rows = [{"id": "a", "wav": "wavs/a.wav", "duration": 1.5, "transcript": "roger", "speaker": "x"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert manifest.read_manifest(path) == [Utterance("a", folder / "wavs/a.wav", 1.5, "ROGER", {"speaker": "x"})]
    path.write_text(path.read_text() + '{"id": "b", "wav"')
    with pytest.raises(InputError, match=r"train\.jsonl:2: is not JSON"):
        manifest.read_manifest(path)


@pytest.mark.parametrize("content", [b"", b"id,wav,duration,transcript\n", b"\xff\xfe\x00", b'id,wav\n"x'])
def test_empty_and_malformed_files(folder, content):
    path = folder / "train.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"train\.csv"):
        manifest.read_manifest(path)


def test_a_byte_order_mark_is_skipped(folder):
    path = folder / "train.csv"
    path.write_bytes("\ufeffid,wav,duration,transcript\r\na,wavs/a.wav,1,roger\r\n".encode())
    assert manifest.read_manifest(path)[0].id == "a"


def test_several_manifests_are_concatenated_with_unique_ids(folder):
    write(folder, "a,wavs/a.wav,1,roger,")
    write(folder, "b,wavs/b.wav,1,wilco,", name="part2.csv")
    assert [row.id for row in manifest.read_manifests([folder / "*.csv"])] == ["b", "a"]
    with pytest.raises(InputError, match="no such manifest"):
        manifest.read_manifests([folder / "*.tsv"])
    write(folder, "a,wavs/b.wav,1,wilco,", name="part2.csv")
    with pytest.raises(InputError, match=r"id a.*unique"):
        manifest.read_manifests([folder / "train.csv", folder / "part2.csv"])


def test_a_written_manifest_can_be_moved(folder):
    rows = [
        Utterance("b", folder / "wavs/b.wav", 2.0, "ROGER"),
        Utterance("a", folder / "wavs/a.wav", 1.23456, "WILCO"),
    ]
    manifest.write_manifest(folder / "train.csv", rows)
    assert (folder / "train.csv").read_text() == (
        "id,wav,duration,transcript\na,wavs/a.wav,1.2346,WILCO\nb,wavs/b.wav,2.0000,ROGER\n"
    )
    moved = folder.rename(folder.with_name("moved"))
    assert manifest.read_manifest(moved / "train.csv")[0].wav == moved / "wavs/a.wav"


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00\r"))


@given(columns=st.dictionaries(st.sampled_from(["speaker", "tape", "callsign"]), cells, min_size=3))
def test_a_written_manifest_reads_back_equal(tmp_path_factory, columns):
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "a.wav").write_bytes(b"x")
    row = Utterance("a", folder / "a.wav", 1.5, "ROGER", columns)
    manifest.write_manifest(folder / "m.csv", [row])
    assert manifest.read_manifest(folder / "m.csv") == [row]


def test_text_version_comes_from_stats_json(folder):
    assert manifest.text_version(folder / "train.csv") is None
    (folder / "stats.json").write_text('{"text_version": "1"}')
    assert manifest.text_version(folder / "train.csv") == "1"
    (folder / "stats.json").write_text("{}")
    with pytest.raises(InputError, match=r"stats\.json"):
        manifest.text_version(folder / "train.csv")


@pytest.mark.parametrize(
    "content",
    [
        ",id,wav,duration,transcript,speaker\n0,a,wavs/a.wav,1.5,roger,x\n",  # pandas with its index
        "id,wav,duration,transcript,speaker,\na,wavs/a.wav,1.5,roger,x,\n",  # a trailing comma
        "id,wav,duration,transcript,speaker\na,wavs/a.wav,1.5,roger,x,\n,,,,\n",
        "\ufeffid;wav;duration;transcript;speaker\r\na;wavs\\a.wav;1,5;roger;x\r\n",  # Excel with decimal commas
        "id\twav\tduration\ttranscript\tspeaker\na\twavs/a.wav\t1.5\troger, roger\tx\n",
    ],
)
def test_manifests_as_others_write_them(folder, content):
    path = folder / "train.csv"
    path.write_bytes(content.encode())
    (row,) = manifest.read_manifest(path)
    assert (row.id, row.wav, row.duration, row.columns) == ("a", folder / "wavs/a.wav", 1.5, {"speaker": "x"})


def test_a_back_slash_in_a_name_is_kept_where_a_file_has_it(folder):
    (folder / "wavs\\a.wav").write_bytes(b"x")
    assert manifest.audio_path(folder, "wavs\\a.wav") == folder / "wavs\\a.wav"
    assert manifest.audio_path(folder, "wavs\\b.wav") == folder / "wavs/b.wav"


def test_more_cells_than_columns_are_counted(folder):
    path = write(folder, "x,wavs/b.wav,1,ROGER,,more")
    with pytest.raises(InputError, match="more cells than columns: got 6, wanted 5"):
        manifest.read_manifest(path)
