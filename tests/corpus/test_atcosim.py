"""Reading ATCOSIM in its own distribution."""

import numpy as np
import pytest
import soundfile as sf

from atc_asr.core.errors import InputError
from atc_asr.core.text import normalize
from atc_asr.corpus import atcosim

SPLITS = {"train": "train", "valid": None, "test": None}
TEXTS = {"zf1_01_001": "~k ~l ~m three four six\n", "zf1_01_002": "bonjour [HNOISE]\n", "gm2_03_010": "swissair “two\n"}
TABLE = """\
recording_id,directory,subdirectory,filename,speaker_id,session_id,transcription,recording_corrupt,comments,length_sec
1,zf1,zf1_01,zf1_01_002,zf1,1,"bonjour [HNOISE],1,,1.5
2,gm2,gm2_03,gm2_03_011,gm2,3,only in the table,0,,1.0
"""


@pytest.fixture
def corpus(tmp_path):
    for name, text in TEXTS.items():
        folder = f"{name.split('_')[0]}/{name[:6]}"
        for kind in ("WAVdata", "TXTdata"):
            (tmp_path / kind / folder).mkdir(parents=True, exist_ok=True)
        sf.write(tmp_path / "WAVdata" / folder / f"{name}.wav", np.zeros(3200), 32_000)
        (tmp_path / "TXTdata" / folder / f"{name}.txt").write_text(text, encoding="latin-1", errors="replace")
    (tmp_path / "TXTdata/wordlist.txt").write_text("swissair 12\n")
    return tmp_path


def clips_of(corpus):
    source = atcosim.open_atcosim(str(corpus), "base", splits=SPLITS)
    return {clip.id: clip for shard in source.shards() for clip in source.read(shard)}


def test_utterances_with_their_speakers(corpus):
    clips = clips_of(corpus)
    assert list(clips) == ["gm2_03_010", "zf1_01_001", "zf1_01_002"]
    assert normalize(clips["zf1_01_001"].text) == "K L M THREE FOUR SIX"
    assert clips["gm2_03_010"].columns == {"speaker": "gm2", "tape": "gm2_03", "role": "controller"}
    assert clips["gm2_03_010"].audio == (corpus / "WAVdata/gm2/gm2_03/gm2_03_010.wav").read_bytes()


def test_the_table_marks_corrupt_recordings_and_has_transcripts(corpus):
    (corpus / "TXTdata/fulldata.csv").write_text(TABLE)
    (corpus / "TXTdata/zf1/zf1_01/zf1_01_001.txt").unlink()
    clips = clips_of(corpus)
    assert clips["zf1_01_002"].left_out == "marked_corrupt"
    assert clips["zf1_01_001"].problem.endswith("has no transcript, wanted zf1_01_001.txt in TXTdata")
    missing = clips["gm2_03_011"]
    assert (missing.text, missing.audio) == ("only in the table", None)
    assert missing.path == str(corpus / "WAVdata/gm2/gm2_03/gm2_03_011.wav")


def test_a_folder_without_utterances(tmp_path):
    with pytest.raises(InputError, match="has no utterances, wanted WAVdata"):
        clips_of(tmp_path)
