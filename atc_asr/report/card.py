"""The model card in Markdown."""

import re
from typing import Any

from atc_asr.report.contents import Contents

RUN_FIELDS = {
    "model": "Model",
    "dataset_part": "Training data",
    "parameters": "Parameters",
    "trainable_parameters": "Trained parameters",
    "epochs": "Epochs",
    "learning_rate": "Learning rate",
    "effective_batch_size": "Effective batch size",
    "train_runtime": "Training time, seconds",
    "device": "Device",
    "gpu": "GPU",
    "seed": "Seed",
    "text_version": "Text normalisation",
    "git_commit": "Commit",
}
MARKUP = re.compile(r"([\\`*_\[\]<>#|~&!])")
CARD = """\
# {title}

Conformer-CTC speech recogniser for air-traffic-control radio, made with SpeechBrain.

Measured on {test_set}.

## Scores

| | % | {interval} | n |
|---|---|---|---|
{scores}
{training}## Use and limits

The model transcribes single transmissions, 16 kHz mono. The scores hold for speech like that of the test
set; error rates can be much higher for other accents, phraseology, radios or noise. Do not base control
decisions on its output: a substituted digit in a callsign, level or frequency looks like a correct one.
"""


def _escape(value: Any) -> str:
    """A value on one line, with Markdown's special characters escaped; a float with six digits."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return MARKUP.sub(r"\\\1", " ".join(text.split()))


def render_card(contents: Contents) -> str:
    """The model card as Markdown."""
    scores = ""
    for score in (*contents.headline, *contents.scorecard):
        count = "" if score.count is None else f"{score.count:,}"
        scores += f"| {_escape(score.label)} | {score.percent} | {score.interval} | {count} |\n"
    known = {label: contents.run.get(key) for key, label in RUN_FIELDS.items()}
    fields = "".join(f"| {label} | {_escape(value)} |\n" for label, value in known.items() if value not in (None, ""))
    return CARD.format(
        title=_escape(contents.title),
        test_set=", ".join(contents.subtitle[:2]),
        interval=contents.interval_name,
        scores=scores,
        training=f"## Training\n\n| | |\n|---|---|\n{fields}\n" if fields else "",
    )
