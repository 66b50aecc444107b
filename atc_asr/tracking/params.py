"""Labels of a run."""

from typing import ClassVar

from pydantic import field_validator

from atc_asr.core.config import Section, param
from atc_asr.core.errors import InputError

MAX_NAME = 200  # bytes of a model's name: a file name has at most 255, and the run folder's also has a time


class RecordParams(Section):
    """Labels: recorded with a run's numbers; changing them reruns nothing."""

    section: ClassVar[str] = "record"
    run_id: str = param("name of the run; empty = its start time YYYYmmdd_HHMMSS")
    model_name: str = param("free-form tag: first part of the run folder's name, column `model` of the CSV")
    run_stage: str = param("step of a sweep that the run belongs to: single, coarse, refine, ...")
    dataset_part: str = param("short name of the data: base, part2, part3, demo, ...")
    language: str = param("language of the speech, as in Whisper sweeps")
    task: str = param("task, as in Whisper sweeps")
    eval_strategy: str = param("as in Whisper sweeps; this trainer always evaluates after each epoch")
    eval_steps: int = param("steps between evaluations, as in Whisper sweeps; 0 = not by steps", ge=0)
    save_full_model: bool = param("full-model flag, as in Whisper sweeps; checkpoints are saved regardless")
    notes: str = param("free text for metrics.json; not written to the CSV")

    @field_validator("model_name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not name.isprintable() or set(name) & set("/\\") or not 0 < len(name.encode()) <= MAX_NAME:
            wanted = f"a name of 1 to {MAX_NAME} bytes without separators and control characters"
            raise InputError(f"record.model_name: got {name!r}, wanted {wanted}")
        return name
