"""Parameters and flags of the stage export."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from atc_asr.core.config import Flags, Section, Shard, argument, param


class ExportParams(Section):
    """The corpus to export, its columns and its splits."""

    section: ClassVar[str] = "export"
    corpus: str | None = param(
        "synthetic (built in), a Hub dataset (HF-SaLAI/salai_atc0) or a local path; null = those of section corpora"
    )
    layout: Literal["datasets", "manifests", "lhotse", "ldc", "atcosim", "uwb", "atco2"] = param(
        "layout: datasets (Hub or folder), manifests (NeMo's too), lhotse, or a corpus's own: ldc, atcosim, uwb, atco2"
    )
    configs: list[str] = param("configurations, each exported to its own folder: base, part2, part3")
    revision: str | None = param("commit or tag of a Hub dataset; null = newest")
    train_split: str | None = param("the corpus's name for train, a+b joins two; null = none")
    valid_split: str | None = param("the corpus's name for valid; null = none")
    test_split: str | None = param("the corpus's name for test; null = none")
    audio_column: str = param("column with the audio")
    text_column: str = param("column with the transcript")
    convention: Literal["plain", "atc0", "atcosim", "uwb", "atco2"] = param(
        "transcription convention: plain, atc0, atcosim, uwb, atco2; plain = that of the layout, where it has one"
    )
    id_column: str = param("column with the id; path = name of the audio file, content = a hash")
    id_pattern: str | None = param(
        r"regular expression; its named groups in the ids become columns: _(?P<tape>\w+)_; null = off"
    )
    columns: list[str] = param("further columns to keep: speaker, tape, callsign, ...")
    train_fraction: float = param("first fraction of train to export", gt=0, le=1)
    validation_samples: int = param("number of valid rows to export, from the first; 0 = all", ge=0)
    split_by: str | None = param(
        "column (speaker, tape, ...) whose groups stay whole when valid or test is taken out of train; null = off"
    )
    valid_fraction: float = param("fraction of train that becomes valid, with split_by", ge=0, le=0.9)
    test_fraction: float = param("fraction of train that becomes test, with split_by", ge=0, le=0.9)
    max_rejected: float = param("largest fraction of a split that validation may reject; more is an error", ge=0, le=1)


class CheckParams(Section):
    """Validation limits: a clip outside of them is rejected, counted in stats.json and listed in rejected.csv."""

    section: ClassVar[str] = "checks"
    min_duration: float = param("shortest clip, seconds", gt=0)
    max_duration: float = param("longest clip, seconds", gt=0)
    min_level: float = param("lowest RMS level, dB of full scale; lower counts as silence", le=0)
    max_clipping: float = param("largest fraction of samples at full scale", ge=0, le=1)
    max_dc_offset: float = param("largest mean of the samples, full scale = 1", ge=0, le=1)
    min_bandwidth: float = param("smallest bandwidth of the content, Hz (8 kHz audio has 4000); 0 = report only", ge=0)
    max_characters_per_second: float = param("highest transcript rate", gt=0)
    max_foreign_characters: int = param("largest number of letters outside A-Z that have no plain form", ge=0)
    frame_ms: int = param("encoder frame that a transcript must fit, ms; not above model.frame_ms", ge=1)
    allow_duplicates: bool = param("whether the same audio may occur twice in a split")
    allow_leakage: bool = param("whether the same audio may occur in two splits")


class SyntheticParams(Section):
    """The built-in corpus: texts from a grammar, voices of espeak-ng, a simulated VHF channel."""

    section: ClassVar[str] = "synthetic"
    seed: int = param("seed of everything in the corpus", ge=0)
    num_train: int = param("utterances in train", ge=0)
    num_valid: int = param("utterances in valid", ge=0)
    num_test: int = param("utterances in test", ge=0)
    pilot_fraction: float = param("fraction of transmissions by pilots", ge=0, le=1)
    group_fraction: float = param("fraction of speakers who say numbers in groups", ge=0, le=1)
    snr_low: float = param("lowest signal-to-noise ratio, dB; values are drawn up to snr_high")
    snr_high: float = param("highest signal-to-noise ratio, dB")


class ExportFlags(Flags):
    """Export any corpus to validated 16 kHz mono WAVs and manifests.

    Reads   export.corpus     synthetic (built in), a Hub dataset, or a local folder; null: corpora_dir
    Writes  out_dir/<config>  wavs/, train.csv, valid.csv, test.csv, rejected.csv, stats.json, histograms/,
                              boost/ (call signs nearby, where the corpus lists them)
    """

    out_dir: Path = argument(
        "output folder, with a subfolder for each configuration (data/atc0)", Path("data/atc0"), output=True
    )
    config: str | None = argument("one configuration: the same as --configs with one name", None)
    name: str | None = argument("a corpus of section corpora (the corpus of section export)", None)
    corpora_dir: Path = argument(
        "exports of all corpora, with export.corpus null: <name>/<config> (data/corpora)", Path("data/corpora")
    )
    processes: PositiveInt | None = argument("number of processes; changes no output (one for each core)", None)
    shard: Shard | None = argument(
        "I/N: only the I-th of N parts, for several machines; afterwards the command without it joins the parts", None
    )
