"""Parameters and flags of the stage posteriors."""

from pathlib import Path
from typing import ClassVar

from atc_asr.core.config import Flags, Section, argument, param


class PosteriorsParams(Section):
    """Forward pass over manifests."""

    section: ClassVar[str] = "posteriors"
    batch_seconds: float = param("audio per batch, padding included, seconds; 4 times as much on a GPU", gt=0)


class PosteriorsFlags(Flags):
    """Run the network over a split once, so that another search setting reruns only the search.

    Reads   checkpoint_dir  run folder of stages.train
            manifest        CSV or JSONL with id,wav,duration,transcript; several make one file
    Writes  out_file        log-probabilities as float16 (atc_asr/posteriors/store.py)
    """

    checkpoint_dir: Path = argument("run folder of stages.train")
    manifest: list[Path] = argument("manifests, CSV or JSONL")
    out_file: Path = argument("log-probabilities to write, .npz", output=True)
    trust: bool = argument("execute the run folder's hyperparams.yaml, which can run any code (read it as data)", False)
