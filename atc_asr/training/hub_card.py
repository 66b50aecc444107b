"""README.md of a run folder: the Hub's metadata block, the scores and how to use the recogniser."""

import html
import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

TASK = "automatic-speech-recognition"

PAGE = """---
# license: yours to choose before sharing
{metadata}
---

# {model}

A Conformer-CTC speech recogniser for SpeechBrain with {parameters:,} parameters. Input: {sample_rate} Hz mono audio.
Output: {tokenizer[size]} tokens (`{tokenizer[type]}`), one frame per {frame_ms} ms. \
Texts are upper case; the only punctuation is `.`
and `/`.

{adapted}

## Word error rates

| split of {dataset_part} | WER, % |
|---|---|
{rows}

Beam width {beam_size}, no language model. Text normalisation {text_version}: rates under another one are not
comparable.

## Use

```python
from speechbrain.inference.ASR import EncoderASR

recogniser = EncoderASR.from_hparams(source="this folder or its name on the Hub", savedir="opened")
print(recogniser.transcribe_file("clip.wav"))
```

`hyperparams.yaml` is HyperPyYAML and can run code when it is opened: open only folders of people whom you trust.
`metrics.json` records how the network was trained.
"""


def one_line(text: object) -> str:
    """A text on one line; line ends could close the metadata block or a table."""
    return " ".join(str(text).split())


def plain(text: object) -> str:
    """A user's text on one line of Markdown, with its markup escaped."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~>-])", r"\\\1", html.escape(one_line(text), quote=False))


def metadata(card: Mapping[str, Any]) -> str:
    """The YAML block that the Hub reads: language, tags, task and word error rates."""
    dataset = one_line(card["dataset_part"])
    results = [
        EvalResult(
            TASK, dataset, dataset, "wer", round(wer, 2), dataset_split=split, metric_name=f"WER on {split}, per cent"
        )
        for split, wer in card["wer"].items()
    ]
    data = ModelCardData(
        language=one_line(card["language"]),
        library_name="speechbrain",
        pipeline_tag=TASK,
        tags=["speechbrain", "CTC", "Conformer", TASK],
        metrics=["wer"],
        model_name=one_line(card["model"]),
        eval_results=results,
    )
    return data.to_yaml().strip()


def hub_card(card: Mapping[str, Any]) -> str:
    """The page of a model_card.json's content."""
    trained, peft = card["trainable_parameters"], card["peft"]
    adapted = f"{trained:,} of the parameters were trained."
    if peft["peft"] == "lora":
        lora = f"rank {peft['lora_r']}, alpha {peft['lora_alpha']:g}, {len(peft['adapted'])} matrices, merged"
        adapted = f"Adapted with LoRA ({lora}): {trained:,} parameters were trained."
    if card["init_from"]:
        adapted += f" Initial weights: {plain(card['init_from'])}."
    rows = "\n".join(f"| {split} | {wer:.2f} |" for split, wer in card["wer"].items())
    escaped = {name: plain(card[name]) for name in ("model", "dataset_part", "text_version")}
    return PAGE.format(**{**card, **escaped, "metadata": metadata(card), "adapted": adapted, "rows": rows})
