"""Parameters of the command transcribe."""

from typing import ClassVar, Literal

from atc_asr.core.config import Section, param


class SegmentParams(Section):
    """Detection of transmissions in a recording."""

    section: ClassVar[str] = "segment"
    detector: Literal["level", "vad", "none"] = param(
        "level, vad (Silero's voice activity detector) for an open squelch, or none: a recording is a transmission"
    )
    threshold_db: float = param("a transmission starts this far above the noise floor, dB (level)", gt=0)
    min_level: float = param("lowest level at which a transmission can start, dB of full scale (level)", le=0)
    hangover_seconds: float = param("silence that ends a transmission, seconds", gt=0)
    padding_seconds: float = param("audio kept before and after a transmission, seconds", ge=0)
    max_seconds: float = param("longer transmissions are cut where they are quietest, seconds", gt=1)
