"""README.md of a run folder: metadata that the Hub can read, and no markup from users' texts."""

import pytest
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from atc_asr.training.hub_card import hub_card, plain

CARD = {
    "model": "sb-conformer-ctc", "parameters": 2_100_000, "trainable_parameters": 90_000, "frame_ms": 40,
    "sample_rate": 16000, "language": "en", "dataset_part": "base", "beam_size": 1, "text_version": "1",
    "tokenizer": {"type": "char", "size": 28, "blank": 0}, "init_from": None,
    "peft": {"peft": "none", "lora_r": 16, "lora_alpha": 32.0, "lora_dropout": 0.1, "adapted": []},
    "wer": {"valid": 16.417, "test": 13.45},
}  # fmt: skip


def block(page: str) -> dict:
    return YAML(typ="safe").load(page.split("---\n", 1)[1].split("\n---\n")[0])


def test_the_hub_reads_task_tags_and_rates():
    data = ModelCard(hub_card(CARD)).data
    assert (data.language, data.library_name, data.pipeline_tag) == (
        "en",
        "speechbrain",
        "automatic-speech-recognition",
    )
    assert {"speechbrain", "CTC", "Conformer"} <= set(data.tags)
    found = {result.dataset_split: (result.dataset_name, result.metric_type, result.metric_value)
             for result in data.eval_results}  # fmt: skip
    assert found == {"valid": ("base", "wer", 16.42), "test": ("base", "wer", 13.45)}
    assert data.license is None


def test_names_adapters_and_initial_weights():
    card = CARD | {
        "peft": CARD["peft"] | {"peft": "lora", "adapted": ["layer.weight"] * 33},
        "init_from": "models/demo",
    }
    page = hub_card(card)
    assert (
        "LoRA (rank 16, alpha 32, 33 matrices, merged): 90,000 parameters were trained. Initial weights: models/demo."
        in page
    )


@pytest.mark.parametrize(
    "name", ["no", "x: [1]", "a\n---\nlicense: mit\n", "<script>alert(1)</script> | **b** {0}", "'"]
)
def test_markup_in_texts_is_escaped(name):
    card = CARD | {"model": name, "dataset_part": name, "language": name, "init_from": name}
    page = hub_card(card)
    found = block(page)
    assert found["language"] == found["model-index"][0]["name"] == " ".join(name.split())
    assert "license" not in found
    body = page.split("\n---\n\n", 1)[1]
    assert body.splitlines()[0] == f"# {plain(name)}"
    assert "<script>" not in body
    assert body.count("\n---") == hub_card(CARD).split("\n---\n\n", 1)[1].count("\n---")


def test_plain_escapes_markup():
    assert plain("[a](b)\n| *c* <d> `e`") == r"\[a\]\(b\) \| \*c\* &lt;d&gt; \`e\`"
