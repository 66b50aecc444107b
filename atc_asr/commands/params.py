"""Parameters of the command tune_decoding."""

from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeFloat

from atc_asr.core.config import Section, param


class TuneParams(Section):
    """Grid over decode's weights; each list is an axis, named after a key of `decode`."""

    section: ClassVar[str] = "tune"
    beam_sizes: list[Annotated[int, Field(ge=2)]] = param("beam widths")
    lm_weights: list[NonNegativeFloat] = param("n-gram weights")
    word_scores: list[float] = param("word scores, natural log")
    oov_scores: list[Annotated[float, Field(le=0)]] = param("out-of-vocabulary scores, natural log")
    oov_uncertainty_penalties: list[Annotated[float, Field(le=0)]] = param("penalties per expected wrong token")
    unseen_fraction: float = param("expected fraction of utterances with a new word; 0 = as in valid", ge=0, le=1)
