"""The model card, in Markdown, from the same numbers as the page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from atc_asr.report.contents import Contents, Figure

FACTS = {
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


def escape(text: Any) -> str:
    """A text of unknown origin as Markdown shows it unchanged, on one line."""
    return MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def show(value: Any) -> str:
    """A fact as people write it: a float to six digits."""
    return escape(f"{value:g}" if isinstance(value, float) else value)


def score_lines(figures: Sequence[Figure]) -> list[str]:
    """A table's lines of figures."""
    lines = []
    for figure in figures:
        interval = "" if figure.low is None or figure.high is None else f"{figure.low:.1f} to {figure.high:.1f}"
        population = "" if figure.population is None else f"{figure.population:,}"
        lines.append(f"| {escape(figure.label)} | {figure.value:.1f} | {interval} | {population} |")
    return lines


def render_card(contents: Contents, run: Mapping[str, Any]) -> str:
    """The card.

    Args:
        contents: what the page is made from.
        run: the run's own `metrics.json`; empty when it is not known.
    """
    known = [f"| {label} | {show(run[key])} |" for key, label in FACTS.items() if run.get(key) not in (None, "")]
    training = ["## Training", "", "| | |", "|---|---|", *known, ""] if known else []
    return "\n".join(
        [
            f"# {escape(contents.title)}",
            "",
            "Conformer-CTC speech recogniser for air-traffic-control radio, made with SpeechBrain.",
            "",
            f"Measured on {', '.join(contents.facts[:2])}.",
            "",
            "## Scores",
            "",
            f"| | % | {contents.interval_name} | population |",
            "|---|---|---|---|",
            *score_lines([*contents.headline, *contents.scorecard]),
            "",
            *training,
            "## Use and limits",
            "",
            "Transcribes single transmissions, 16 kHz mono. Scores hold for speech like that of the test set: other",
            "accents, phraseology, radios or noise can do much worse. It is no basis for control decisions: a",
            "substituted digit in a callsign, level or frequency reads like a right one.",
            "",
        ]
    )
