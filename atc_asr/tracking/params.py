"""Labels of a run."""

from typing import ClassVar

from atc_asr.core.config import Section, param


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
