"""Parameters and flags of the stage train."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from atc_asr.core.config import Flags, Section, argument, param


class AugmentParams(Section):
    """Waveform augmentation of train batches."""

    section: ClassVar[str] = "augment"
    speeds: list[Annotated[int, Field(ge=50, le=200)]] = param(
        "speeds in per cent, one drawn for each batch; [100] = off"
    )
    radio_fraction: float = param("fraction of utterances sent through a simulated radio channel, 0 = off", ge=0, le=1)
    snr_low: float = param("lowest signal-to-noise ratio of that channel, dB; values are drawn up to snr_high")
    snr_high: float = param("highest signal-to-noise ratio of that channel, dB")


class LoraParams(Section):
    """Low-rank adapters."""

    section: ClassVar[str] = "lora"
    peft: Literal["none", "lora"] = param("none = train all weights, lora = train adapters and the CTC head only")
    lora_r: int = param("rank", ge=1)
    lora_alpha: float = param("scaling: an update is multiplied by lora_alpha / lora_r", gt=0)
    lora_dropout: float = param("dropout probability of an adapter's input", ge=0, le=0.99)
    lora_targets: Annotated[
        list[Literal["attention", "feed_forward", "convolution", "projection"]], Field(min_length=1)
    ] = param("adapted matrices of the encoder: attention, feed_forward, convolution, projection")


class TrainParams(Section):
    """Optimisation."""

    section: ClassVar[str] = "train"
    epochs: int = param("epochs", ge=1)
    lr: float = param("peak learning rate of AdamW", gt=0)
    batch_size: int = param("batch size in utterances of mean duration; batches are filled by duration", ge=1)
    grad_accum: int = param("gradient accumulation: batches per update, in each process", ge=1)
    num_processes: int = param("processes that train together, each on a GPU of its own where there are GPUs", ge=1)
    seed: int = param("seed of weights, batches, masks and dropout", ge=0)
    train_subset: int = param("use only the first N rows of the train manifest, 0 = all", ge=0)
    schedule: Literal["constant", "linear", "cosine", "noam"] = param("constant, linear, cosine, noam")
    warmup_epochs: float = param("epochs of linear warm-up to the peak learning rate", ge=0)
    weight_decay: float = param("AdamW's weight decay", ge=0)
    inter_ctc: float = param("weight of the intermediate CTC loss at half of the layers, 0 = off", ge=0, le=0.9)
    max_grad_norm: float = param("gradient clipping norm", gt=0)
    precision: Literal["auto", "fp32", "fp16", "bf16"] = param("auto (fp16 on CUDA, else fp32), fp32, fp16, bf16")
    audio_cache_mb: int = param("memory for a set's audio (115 MB an hour) and CPU features, MB; 0 = none", ge=0)
    cpu_fast_path: bool = param("faster equivalents of SpeechBrain's forward passes, used only on a CPU in fp32")
    num_workers: int = param("data-loader processes for audio that is not in memory, 0 = none", ge=0)
    patience: int = param("stop after N epochs without a lower validation WER, 0 = never", ge=0)
    ema_decay: float = param(
        "exponential moving average of the weights, 0 = off; 0.999 is usual",
        ge=0,
        le=1,
    )
    average_checkpoints: int = param("average the weights of N epochs for the final model, 1 = no averaging", ge=1)
    average_select: Literal["best", "last"] = param("epochs to average: best (lowest validation WER) or last")
    max_guard_wer: float | None = param(
        "highest validation WER of a guard corpus in an epoch that is used, per cent; null = no limit", ge=0
    )
    checkpoint_minutes: float = param("minutes between checkpoints within an epoch, 0 = only after epochs", ge=0)
    eval_beam_size: int = param("beam width of the evaluation after training, 1 = greedy", ge=1, flag="beam_size")
    init_from: str | None = param("run folder, SpeechBrain folder or Hub name to start from; null = none")
    min_loaded_fraction: float = param("smallest fraction of parameters that init_from must have, 0 to 1", ge=0, le=1)
    freeze_layers: int = param("freeze the front-end and the N lowest encoder layers of init_from, 0 = none", ge=0)
    encoder_lr: float = param("learning rate of front-end and encoder as a multiple of lr, at most 1", gt=0, le=1)


class TrainFlags(Flags):
    """Train a recogniser from manifests and tokens, and write its run folder.

    Reads   train_manifest, valid_manifest, test_manifest   CSV or JSONL, one or several
            tokenizer_dir   tokens of stages.tokenizer; built here from the train manifest or --spm_model if not given
            hparams_file    HyperPyYAML of the network (atc_asr/model/conformer_ctc.yaml)
    Writes  run_dir         the run folder (atc_asr/model/run_folder.py);
                            <output_dir>/<model_name>_<YYYYmmdd_HHMMSS> if not given
            metrics_file    numbers for `dvc metrics`
            metrics_csv     one appended row, in the 32 columns of the Whisper sweeps

    A training that was killed resumes from its last checkpoint when the same command is run again.
    """

    train_manifest: list[Path] = argument("train manifests, CSV or JSONL")
    valid_manifest: list[Path] = argument("validation manifests, CSV or JSONL")
    test_manifest: list[Path] | None = argument("test manifests, CSV or JSONL", None)
    skip_test: bool = argument("compute only the validation WER", False)
    tokenizer_dir: Path | None = argument("tokens of stages.tokenizer (built from the train manifest)", None)
    spm_model: Path | None = argument("SentencePiece model, with --tokenizer_type spm", None)
    hparams_file: Path | None = argument("HyperPyYAML of the network (atc_asr/model/conformer_ctc.yaml)", None)
    output_dir: Path = argument("parent folder of run folders (models)", Path("models"), output=True)
    run_dir: Path | None = argument(
        "the run folder itself (<output_dir>/<model_name>_<YYYYmmdd_HHMMSS>)", None, output=True
    )
    metrics_file: Path | None = argument("metrics to write for `dvc metrics`, JSON", None, output=True)
    metrics_csv: Path | None = argument("sweep CSV to append a row to", None, output=True)
    train_fraction: float | None = argument("recorded only (from stats.json): exported fraction of train", None)
    validation_samples: int | None = argument(
        "recorded only: limit of valid rows in the export (from stats.json)", None
    )
    lm_weight: float | None = argument("reserved by the specification: only 0; see stages.decode --lm_weight", None)
