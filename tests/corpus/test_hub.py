"""Reading Hub datasets and local folders."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from atc_asr.core import hub_token
from atc_asr.core.errors import InputError
from atc_asr.corpus import hub

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
COLUMNS = hub.Columns("audio", "text", "path", ())
TOKEN = "hf_" + "s3cr3t" * 5


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """Run without the token and the `.env` file of the user who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in hub_token.TOKEN_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def write_parquet(path, count, *, group=10, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = [{"bytes": b"audio%d" % number, "path": f"clip_{number:04d}.wav"} for number in range(count)]
    table = {"audio": audio, "text": [f"text {number}\n" for number in range(count)], **columns}
    pq.write_table(pa.table(table), path, row_group_size=group)
    return path


@pytest.fixture
def folder(tmp_path):
    corpus = tmp_path / "corpus"
    write_parquet(corpus / "base/train-0.parquet", 25)
    write_parquet(corpus / "base/train-1.parquet", 5)
    write_parquet(corpus / "base/test-0.parquet", 3)
    (corpus / "README.md").write_text(
        "---\nconfigs:\n- config_name: base\n  data_files:\n"
        "  - {split: train, path: base/train-*.parquet}\n  - {split: test, path: base/test-*.parquet}\n---\n"
    )
    return corpus


def open_folder(folder, config="base", columns=COLUMNS):
    return hub.open_hub(str(folder), config, revision=None, splits=SPLITS, columns=columns)


def clips(source):
    return {
        split: [clip for shard in source.shards() if shard.split == split for clip in source.read(shard)]
        for split in ("train", "valid", "test")
    }


def test_rows_of_a_local_folder_are_in_order(folder):
    found = clips(open_folder(folder))
    assert [len(found[split]) for split in ("train", "valid", "test")] == [30, 0, 3]
    first = found["train"][0]
    assert (first.id, first.audio, first.text) == ("clip_0000", b"audio0", "text 0\n")
    assert [clip.audio for clip in found["train"][23:27]] == [b"audio23", b"audio24", b"audio0", b"audio1"]


@pytest.mark.parametrize(
    ("group", "shard_rows", "largest"), [(10, 25, 4096), (40, 25, 4096), (10, 10, 4), (1000, 10, 7)]
)
def test_every_row_is_in_one_range(tmp_path, monkeypatch, group, shard_rows, largest):
    monkeypatch.setattr(hub, "SHARD_ROWS", shard_rows)
    monkeypatch.setattr(hub, "MAX_SHARD_ROWS", largest)
    path = write_parquet(tmp_path / "x.parquet", 100, group=group)
    ranges = hub.split_file(str(path), COLUMNS)
    found = [row["text"] for rows in ranges for row in hub.read_rows(rows, COLUMNS)]
    assert found == [f"text {number}\n" for number in range(100)]
    assert all(0 < rows.stop - rows.start <= max(shard_rows, largest) for rows in ranges)
    assert len(ranges) > 1


def test_columns_and_ids(tmp_path):
    path = write_parquet(
        tmp_path / "x.parquet", 2, speaker=["tower", None], number=[7, 8], words=["roger", None], sound=[b"x", None]
    )
    columns = hub.Columns("sound", "words", "number", ("speaker",))
    first, second = (hub.to_clip(row, columns) for row in hub.read_rows(hub.split_file(str(path), columns)[0], columns))
    assert (first.id, first.audio, first.text, first.columns) == ("7", b"x", "roger", {"speaker": "tower"})
    assert (second.id, second.audio, second.text, second.columns) == ("8", None, None, {"speaker": ""})
    content = hub.Columns("audio", "text", "content", ())
    assert hub.to_clip({"audio": {"bytes": b"x", "path": "a.wav"}, "text": "x"}, content).id is None


def test_audio_in_separate_files(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"audio")
    row = {"audio": {"bytes": None, "path": str(tmp_path / "a.wav")}, "text": "x"}
    assert hub.to_clip(row, COLUMNS).audio == b"audio"
    row = {"audio": {"bytes": None, "path": str(tmp_path)}, "text": "x"}
    assert hub.to_clip(row, COLUMNS).audio is None
    assert hub.to_clip({"audio": None, "text": "x"}, COLUMNS).audio is None


def test_an_audio_folder(tmp_path):
    corpus = tmp_path / "corpus"
    (corpus / "train").mkdir(parents=True)
    sf.write(corpus / "train/one.wav", np.zeros(800), 8000)
    (corpus / "train/metadata.csv").write_text("file_name,text,speaker\none.wav,roger,tower\n")
    source = open_folder(corpus, "default", hub.Columns("audio", "text", "path", ("speaker",)))
    (clip,) = clips(source)["train"]
    assert (clip.id, clip.text, clip.columns) == ("one", "roger", {"speaker": "tower"})
    (corpus / "train/metadata.csv").unlink()
    with pytest.raises(InputError, match="audio folder without transcripts"):
        open_folder(corpus, "default")
    sf.write(corpus / "train/one.wav", np.zeros(800), 8000)
    assert clip.audio == (corpus / "train/one.wav").read_bytes()


def test_a_dataset_saved_to_disk(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"audio": [{"bytes": b"x", "path": "a.wav"}], "text": ["roger"]})
    datasets.DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "saved"))
    rows.save_to_disk(str(tmp_path / "one"))
    for name in ("saved", "one"):
        (clip,) = clips(open_folder(tmp_path / name))["train"]
        assert (clip.id, clip.audio, clip.text) == ("a", b"x", "roger")


def test_one_parquet_file_is_train(folder):
    assert len(clips(open_folder(folder / "base/train-0.parquet"))["train"]) == 25
    with pytest.raises(InputError, match="its files are of type md, wanted parquet"):
        open_folder(folder / "README.md")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"config": "part9"}, "part9"),
        ({"columns": hub.Columns("sound", "text", "path", ())}, "has no column sound, got audio, text"),
        ({"columns": hub.Columns("text", "text", "path", ())}, "column text holds string, wanted encoded audio"),
    ],
)
def test_a_missing_configuration_or_column(folder, change, wanted):
    with pytest.raises(InputError, match=wanted):
        open_folder(folder, **change).shards()


def test_two_splits_joined(folder):
    splits = {"train": "train+test", "valid": None, "test": None}
    source = hub.open_hub(str(folder), "base", revision=None, splits=splits, columns=COLUMNS)
    assert [(split, len(found)) for split, found in clips(source).items()] == [("train", 33), ("valid", 0), ("test", 0)]


def test_no_split_with_the_given_names(folder):
    for theirs, wanted in (("dev", "has no split dev, and its test, train is not used"), (None, "has splits")):
        with pytest.raises(InputError, match=wanted):
            hub.open_hub(
                str(folder),
                "base",
                revision=None,
                splits={"train": theirs, "valid": None, "test": None},
                columns=COLUMNS,
            )


def test_a_misspelt_split_is_an_error_and_a_missing_split_is_skipped(folder):
    def open_with(**changes):
        return hub.open_hub(str(folder), "base", revision=None, splits=SPLITS | changes, columns=COLUMNS)

    with pytest.raises(InputError, match=r"has no split tran, validation, and its train is not used; wanted"):
        open_with(train="tran")
    assert {shard.split for shard in open_with().shards()} == {"train", "test"}
    assert {shard.split for shard in open_with(train=None, valid=None).shards()} == {"test"}


def test_a_local_folder_has_no_revision(folder):
    with pytest.raises(InputError, match=r"export\.revision: got v1, but .* is a local path"):
        hub.open_hub(str(folder), "base", revision="v1", splits=SPLITS, columns=COLUMNS)


def test_a_damaged_parquet_file_is_named(folder):
    (folder / "base/test-0.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match=r"test-0\.parquet: cannot be read"):
        open_folder(folder).shards()


@pytest.mark.parametrize("name", ["no/such/folder", ""])
def test_a_name_that_is_neither_folder_nor_dataset(name):
    with pytest.raises(InputError, match=rf"export\.corpus: {name} is neither a local folder nor a Hub name"):
        open_folder(name)


class RefusingHub:
    """Replaces the Hub: refuses access, and repeats its arguments in the error message."""

    def __init__(self, monkeypatch):
        self.tokens = []
        self.reason = "401 for {corpus}\nwith {token}"
        import datasets

        monkeypatch.setattr(datasets, "load_dataset_builder", self)

    def __call__(self, corpus, config, *, revision, token):
        self.tokens.append(token)
        raise ConnectionError(self.reason.format(corpus=corpus, token=token))


def test_the_message_without_token_names_variables_and_dataset(monkeypatch):
    refusing_hub = RefusingHub(monkeypatch)
    with pytest.raises(InputError) as error:
        open_folder("HF-SaLAI/salai_atc0")
    message = str(error.value)
    assert all(name in message for name in ("HF-SaLAI/salai_atc0", "HF_TOKEN", "HUGGINGFACE_TOKEN", ".env"))
    assert "\n" not in message
    assert refusing_hub.tokens == [None]


@pytest.mark.parametrize("origin", ["HF_TOKEN", "HUGGINGFACE_TOKEN", ".env"])
def test_the_token_is_sent_to_the_hub_only(monkeypatch, tmp_path, origin, caplog, capsys):
    if origin == ".env":
        (tmp_path / ".env").write_text(f"HUGGINGFACE_TOKEN={TOKEN}\n")
    else:
        monkeypatch.setenv(origin, TOKEN)
    refusing_hub = RefusingHub(monkeypatch)
    with pytest.raises(InputError) as error:
        open_folder("HF-SaLAI/salai_atc0")
    assert refusing_hub.tokens == [TOKEN]
    assert error.value.__cause__ is None
    printed = capsys.readouterr()
    assert TOKEN not in str(error.value) + caplog.text + printed.out + printed.err


def test_a_shortened_message_has_no_part_of_the_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    refusing_hub = RefusingHub(monkeypatch)
    for padding in range(hub_token.MAX_MESSAGE_LENGTH - 60, hub_token.MAX_MESSAGE_LENGTH):
        monkeypatch.setattr(refusing_hub, "reason", "x" * padding + TOKEN)
        with pytest.raises(InputError) as error:
            open_folder("HF-SaLAI/salai_atc0")
        assert TOKEN[:6] not in str(error.value)


def test_white_space_around_a_token_is_removed(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
    assert hub_token.read_token() == TOKEN
    monkeypatch.setenv("HF_TOKEN", " ")
    assert hub_token.read_token() is None


def test_the_token_is_not_used_for_a_local_folder(folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    refusing_hub = RefusingHub(monkeypatch)
    with pytest.raises(InputError):
        open_folder(folder)
    assert refusing_hub.tokens == [None]


def test_identity_depends_on_the_files_and_has_no_token(folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    source = open_folder(folder)
    before = json.dumps(source.identity(), sort_keys=True)
    assert TOKEN not in before
    write_parquet(folder / "base/test-0.parquet", 4)
    assert json.dumps(source.identity(), sort_keys=True) != before


@pytest.mark.parametrize("column", ["file_name", "audio_file_name"])
def test_an_audio_folder_with_metadata_in_parquet(tmp_path, column):
    corpus = tmp_path / "corpus"
    (corpus / "train").mkdir(parents=True)
    sf.write(corpus / "train/one.wav", np.zeros(800), 8000)
    pq.write_table(pa.table({column: ["one.wav"], "text": ["roger"], "number": [1]}), corpus / "train/metadata.parquet")
    (clip,) = clips(open_folder(corpus, "default"))["train"]
    assert (clip.id, clip.text, clip.columns) == ("one", "roger", {"number": "1"})
    assert clip.audio == (corpus / "train/one.wav").read_bytes()


def test_bare_views_of_bytes(tmp_path):
    table = pa.table({"audio": pa.array([b"sound"], pa.binary_view()), "text": pa.array(["roger"], pa.string_view())})
    pq.write_table(table, tmp_path / "x.parquet")
    with pa.ipc.new_stream(str(tmp_path / "x.arrow"), table.schema) as writer:
        writer.write_table(table)
    columns = hub.Columns("audio", "text", "content", ())
    for name in ("x.parquet", "x.arrow"):
        (rows,) = hub.split_file(str(tmp_path / name), columns)
        (row,) = hub.read_rows(rows, columns)
        assert hub.to_clip(row, columns).audio == b"sound"
