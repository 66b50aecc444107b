"""The presets: none depends on which was applied before it, and the whole pipeline runs with each recipe, cut short, on
stand-ins of its corpora in the Hub's layout and of its source in SpeechBrain's layout."""

import csv
import io
import json
import shutil
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from atc_asr.commands import preset
from atc_asr.core.config import load_section, read_yaml
from atc_asr.core.text import normalize
from atc_asr.corpus.params import ExportParams, SyntheticParams
from atc_asr.corpus.synthetic import SAMPLE_RATE, SyntheticSource
from atc_asr.model.params import ModelParams
from atc_asr.tokenizer.tokens import train_spm
from atc_asr.training import pretrained
from tests.pretrained_folder import build
from tests.test_pipeline import Project, copy_checkout

ROOT = Path(__file__).resolve().parents[1]
PRESETS = {path.stem: read_yaml(path) for path in sorted((ROOT / "presets").glob("*.yaml"))}
RECIPES = {name: values for name, values in PRESETS.items() if "train" in values}  # the others are corpora only
SMALL_CONFORMER = {  # recipes/LibriSpeech/ASR/transformer/hparams/conformer_small.yaml of SpeechBrain
    "n_mels": 80, "d_model": 144, "num_heads": 4, "num_layers": 12, "d_ffn": 1024, "kernel_size": 31,
    "channels": "(64, 32)", "input_size": 640,
}  # fmt: skip
NUM_PIECES = 40
CUT = {
    "model": {"num_layers": 2},
    "train": {"epochs": 1, "batch_size": 4, "grad_accum": 1, "warmup_epochs": 0.5, "num_workers": 0},
    "tokenizer": {"vocab_size": NUM_PIECES},
    "score": {"resamples": 200},
}
SPEAKERS = ("gf1", "gm2", "zf3", "zm4", "gm5", "sm6")


def test_there_are_recipes_and_corpora():
    assert set(RECIPES) == {"atc0", "atc0_finetune", "atc0_scratch", "us_europe"}
    assert set(PRESETS) - set(RECIPES) == {"atco2_1h", "atcosim", "ldc94s14a", "uwb_atcc"}


def test_no_preset_leaves_values_of_one_that_was_applied_before():
    """All recipes have the same keys, and the corpora those of them that describe the data."""
    keys = {name: {section: set(content) for section, content in values.items()} for name, values in RECIPES.items()}
    for one in keys.values():
        one["corpora"] = set()  # replaced as a whole
    assert all(one == keys["atc0"] for one in keys.values())
    for name in set(PRESETS) - set(RECIPES):
        sections = {section: set(content) for section, content in PRESETS[name].items()}
        assert sections == {section: keys["atc0"][section] for section in ("corpora", "export", "record")}, name


def test_the_last_preset_wins(tmp_path):
    one, other = (Path(shutil.copy(ROOT / "params.yaml", tmp_path / name)) for name in ("one.yaml", "other.yaml"))
    for name in ("us_europe", "uwb_atcc", "atc0_finetune"):
        preset.run(ROOT / "presets" / f"{name}.yaml", one)
    preset.run(ROOT / "presets" / "atc0_finetune.yaml", other)
    assert read_yaml(one) == read_yaml(other)


def test_the_corpora_of_us_europe_are_those_of_the_other_presets():
    """Their exports have the values of the presets with one corpus each."""
    values = PRESETS["us_europe"]
    corpora = {"atc0": "atc0_finetune", "atcosim": "atcosim", "uwb": "uwb_atcc", "atco2": "atco2_1h"}
    assert set(values["corpora"]) == set(corpora)
    for name, alone in corpora.items():
        assert values["export"] | values["corpora"][name]["export"] == PRESETS[alone]["export"]
    assert {name: corpus["role"] for name, corpus in values["corpora"].items()} == {
        "atc0": "train", "atcosim": "train", "uwb": "train", "atco2": "test",
    }  # fmt: skip


def test_the_network_is_that_of_the_source(tmp_path):
    build(tmp_path / "source", "conformersmall", tokens=train_spm(["AB CD", "ABBA CD"], 8), **SMALL_CONFORMER)
    architecture = pretrained.read_layout(tmp_path / "source").architecture
    started = [values for values in RECIPES.values() if values["train"]["init_from"]]
    assert len(started) == 2
    for values in started:
        assert values["train"]["init_from"] == "speechbrain/asr-conformersmall-transformerlm-librispeech"
        assert {key: values["model"][key] for key in architecture} == architecture


class Clips:
    """Short synthetic transmissions, each of them given once."""

    def __init__(self):
        params = load_section(SyntheticParams, ROOT / "params.yaml")
        source = SyntheticSource(params.model_copy(update={"num_valid": 0, "num_test": 0}))
        self._clips = (
            clip for shard in source.shards() for clip in source.read(shard) if len(clip.audio) < 4 * SAMPLE_RATE
        )
        self.texts = []

    def rows(self, ids):
        """A row of a Hub data set for each id: id, audio and text."""
        rows = []
        for name, clip in zip(ids, islice(self._clips, len(ids)), strict=True):
            wav = io.BytesIO()
            soundfile.write(wav, clip.audio, SAMPLE_RATE, format="WAV", subtype="PCM_16")
            rows.append({"id": name, "audio": {"bytes": wav.getvalue(), "path": f"{name}.wav"}, "text": clip.text})
            self.texts.append(normalize(clip.text))
        return rows


def write_hub_folder(folder, configs):
    """Write a data set as the Hub stores it; configs: name -> split -> rows."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            path = folder / config / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), path)
            lines.append(f"  - {{split: {split}, path: {config}/{path.name}}}")
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Folder with the data sets and the source of the presets, under the last part of their names on the Hub."""
    folder, clips = tmp_path_factory.mktemp("hub"), Clips()

    def numbered(beginning, count, end=""):
        return clips.rows([f"{beginning}{place:04d}{end}" for place in range(count)])

    parts = {"base": {"train": 12, "validation": 5, "test": 5}, "part2": {"train": 6}, "part3": {"train": 6}}
    write_hub_folder(
        folder / "salai_atc0",
        {part: {split: numbered(f"{part}_{split}_", count) for split, count in splits.items()}
         for part, splits in parts.items()},
    )  # fmt: skip
    simulator = {
        split: clips.rows([f"atcosim_{speaker}_{place}_{split}" for speaker in SPEAKERS for place in range(2)])
        for split in ("train", "test")
    }
    write_hub_folder(folder / "atcosim_corpus", {"default": simulator})
    tapes = [row for tape in range(6) for row in numbered(f"uwb-atcc_tape{tape}_0001_", 2, "_AT")]
    write_hub_folder(folder / "uwb_atcc", {"default": {"train": tapes, "test": numbered("uwb-atcc_last_1_", 4, "_PI")}})
    write_hub_folder(folder / "atco2_corpus_1h", {"default": {"test": numbered("atco2_", 4)}})
    sizes = SMALL_CONFORMER | {"num_layers": CUT["model"]["num_layers"]}
    source = folder / "asr-conformersmall-transformerlm-librispeech"
    build(source, "conformersmall", tokens=train_spm(clips.texts, NUM_PIECES), **sizes)
    return folder


def alone(name):
    """A recipe without a source: the pipeline with fresh weights is that of tests/test_pipeline.py."""
    return pytest.param(name, marks=pytest.mark.rehearsal)


def cut_short(name, stand_ins):
    """Values that cut a recipe short and replace what is on the Hub."""

    def local(values, key):
        return {key: str(stand_ins / values[key].split("/")[-1])} if values.get(key) else {}

    values = RECIPES[name]
    corpora = {
        corpus: one | {"export": one["export"] | local(one["export"], "corpus")}
        for corpus, one in values["corpora"].items()
    }
    train = CUT["train"] | local(values["train"], "init_from")
    return CUT | {"export": local(values["export"], "corpus"), "corpora": corpora, "train": train}


@pytest.mark.endurance
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name if RECIPES[name]["train"]["init_from"] else alone(name) for name in RECIPES])
def test_the_pipeline_runs_with_a_recipe_cut_short(tmp_path, stand_ins, name):
    project = Project(tmp_path / "a project")
    project.folder.mkdir()
    copy_checkout(project.folder)
    preset.run(ROOT / "presets" / f"{name}.yaml", project.folder / "params.yaml")
    preset.write(cut_short(name, stand_ins), "the cut", project.folder / "params.yaml")
    project.run("git", "init", "-q")
    project.commit("Start")
    project.run("dvc", "repro")

    export = load_section(ExportParams, project.folder / "params.yaml")
    rows = [
        row
        for config in export.configs
        for row in csv.DictReader((project.folder / f"data/corpus/{config}/train.csv").open())
    ]
    record = json.loads((project.folder / "models/asr/metrics.json").read_text())
    assert project.metrics("train.json")["utterances"] == len(rows)
    assert record["train_utterances"] == len(rows)
    model = load_section(ModelParams, project.folder / "params.yaml")
    assert model.model_dump() == RECIPES[name]["model"] | CUT["model"]
    if RECIPES[name]["train"]["init_from"]:
        assert record["load_pretrained"]["loaded_fraction"] > 0.95
    if name == "us_europe":
        assert {row["corpus"] for row in rows} == {"atc0", "atcosim", "uwb"}
        assert set(project.metrics("corpora.json")["wer"]) == {"atc0", "atcosim", "uwb", "atco2"}
    elif name != "atc0":
        assert len(rows) == 24  # of all three parts
    test = [json.loads(line) for line in (project.folder / "data/hyps/test.jsonl").read_text().splitlines()]
    assert test and all("greedy" in row for row in test)  # the lexicon was searched
    assert (project.folder / "models/recognizer").is_dir()
