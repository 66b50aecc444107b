"""The network of a recogniser folder in onnxruntime: waveforms -> log-probabilities, without torch.

S samples, T encoder frames, V tokens.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, Json, ValidationError

from atc_asr.core.errors import InputError
from atc_asr.core.workers import available_cores
from atc_asr.deploy.recognizer_folder import RecognizerFolder
from atc_asr.posteriors.store import MAX_FRAME, as_stored

# As in atc_asr.deploy.onnx_export: names, types and axes of the graph's inputs and outputs.
INPUTS = {"wavs": ("tensor(float)", 2), "num_samples": ("tensor(int64)", 1)}
OUTPUTS = {"log_probs": ("tensor(float)", 3), "num_frames": ("tensor(int64)", 1)}
FATAL = 4  # onnxruntime's level of log messages: its errors are raised
TRIAL_SECONDS = 0.3  # of silence, which the graph must be able to run


class Metadata(BaseModel):
    """What the graph says about itself."""

    tokens: Json[tuple[str, ...]]
    sample_rate: Annotated[int, Field(ge=8_000, le=48_000)]
    frame_seconds: Annotated[float, Field(gt=0, le=MAX_FRAME)]


class OnnxNetwork:
    """A `Recognizer` of a recogniser folder.

    Every waveform runs alone, so that its result depends on no other one and no padding is computed; several run at a
    time, each in a thread of its own.
    """

    def __init__(self, folder: RecognizerFolder) -> None:
        """
        Raises:
            InputError: the graph is no recogniser, or has other tokens than the folder.
        """
        import onnxruntime

        self._path = folder.network
        self._threads = available_cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # Both keep memory for every new duration.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.log_severity_level = FATAL
        try:
            self._session = onnxruntime.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
            metadata = Metadata.model_validate(self._session.get_modelmeta().custom_metadata_map)
        except ValidationError as error:
            name = error.errors()[0]["loc"][0]
            raise InputError(
                f"{self._path}: is not the graph of a recogniser: its metadata has no valid {name}"
            ) from None
        except Exception as error:  # onnxruntime raises several that have no common class
            raise InputError(f"{self._path}: onnxruntime cannot load it: {' '.join(str(error).split())}") from error
        for wanted, nodes in ((INPUTS, self._session.get_inputs()), (OUTPUTS, self._session.get_outputs())):
            found = {node.name: (node.type, len(node.shape)) for node in nodes}
            if found != wanted:
                raise InputError(f"{self._path}: is not the graph of a recogniser: got {found}, wanted {wanted}")
        if metadata.tokens != folder.tokens.symbols:
            raise InputError(f"{self._path}: its tokens are not those of {folder.path}")
        self.tokens = folder.tokens
        self.sample_rate = metadata.sample_rate
        self.frame_seconds = metadata.frame_seconds
        self._run(np.zeros(round(TRIAL_SECONDS * self.sample_rate), dtype=np.float32), str(self._path))

    def log_probs(self, signals: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Log-probabilities (T, V) float16 of waveforms (S,) float32 in [-1, 1); `names` are for messages.

        Raises:
            InputError: the graph fails, or its outputs are no log-probabilities.
        """
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(self._run, signals, names))

    def _run(self, signal: np.ndarray, name: str) -> np.ndarray:
        inputs = {"wavs": signal[None], "num_samples": np.array([len(signal)], dtype=np.int64)}
        try:
            log_probs, num_frames = self._session.run(list(OUTPUTS), inputs)
        except Exception as error:  # as above
            raise InputError(f"{name}: onnxruntime: {' '.join(str(error).split())}") from error
        frames = num_frames.tolist()
        if len(frames) != 1 or log_probs.shape != (1, *frames, len(self.tokens)):
            wanted = f"(1, {frames}, {len(self.tokens)})"
            raise InputError(f"{self._path}: got log-probabilities of shape {log_probs.shape}, wanted {wanted}")
        return as_stored(log_probs[0], name)
