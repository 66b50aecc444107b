"""The model card in Markdown."""

import re
from typing import Any

from atc_asr.report.contents import Contents, Score

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


def escape(value: Any) -> str:
    """A value on one line, with Markdown's special characters escaped; a float with six digits."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return MARKUP.sub(r"\\\1", " ".join(text.split()))


def format_score(score: Score) -> str:
    """A row of the table of scores."""
    count = "" if score.count is None else f"{score.count:,}"
    return f"| {escape(score.label)} | {score.percent} | {score.interval} | {count} |"


def render_card(contents: Contents) -> str:
    """The model card as Markdown."""
    run = contents.run
    fields = [
        f"| {label} | {escape(run[key])} |" for key, label in RUN_FIELDS.items() if run.get(key) not in (None, "")
    ]
    training = ["## Training", "", "| | |", "|---|---|", *fields, ""] if fields else []
    return "\n".join(
        [
            f"# {escape(contents.title)}",
            "",
            "Conformer-CTC speech recogniser for air-traffic-control radio, made with SpeechBrain.",
            "",
            f"Measured on {', '.join(contents.subtitle[:2])}.",
            "",
            "## Scores",
            "",
            f"| | % | {contents.interval_name} | n |",
            "|---|---|---|---|",
            *map(format_score, [*contents.headline, *contents.scorecard]),
            "",
            *training,
            "## Use and limits",
            "",
            "The model transcribes single transmissions, 16 kHz mono. The scores hold for speech like that of the test",
            "set; error rates can be much higher for other accents, phraseology, radios or noise. Do not base control",
            "decisions on its output: a substituted digit in a callsign, level or frequency looks like a correct one.",
            "",
        ]
    )
