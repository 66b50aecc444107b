"""The ONNX file of the specification's network, with random weights: size, agreement and speed beside PyTorch.

python -m benchmarks.onnx_export [--preset presets/atc0.yaml] [--threads 2]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from atc_asr.commands import preset
from atc_asr.core.config import PARAMS_FILE, load_section
from atc_asr.deploy import onnx_export
from atc_asr.model import network, run_folder
from atc_asr.model.run_folder import Recognizer
from atc_asr.tokenizer.tokens import char_tokens

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ ."
TRIED = ((1, 0.3), (1, 1.0), (1, 4.6), (1, 20.0), (1, 45.0), (2, 7.0), (8, 4.6), (16, 6.1))  # utterances, seconds
REPEATS = 7


def random_recognizer(preset_file: Path, folder: Path) -> Recognizer:
    """The preset's network as a run folder, with a head whose probabilities differ as a trained one's do."""
    params = folder / PARAMS_FILE.name
    shutil.copy(PARAMS_FILE, params)
    preset.run(preset_file, params)
    units = char_tokens([ALPHABET])
    torch.manual_seed(0)
    values = network.hparams_values(
        load_section(network.ModelParams, params), load_section(network.SpecAugmentParams, params), len(units)
    )
    text = network.fill_placeholders(network.HPARAMS_FILE, values)
    hparams = network.build(text, str(preset_file))
    hparams.normalizer(hparams.compute_features(0.1 * torch.randn(2, 160_000)), torch.ones(2))
    torch.nn.init.normal_(hparams.ctc_head.w.weight, std=1.0)
    run_folder.save_weights(folder, hparams_text=text, hparams=hparams, tokens=units)
    return run_folder.load_recognizer(folder, device="cpu")


def noise(num_utterances: int, seconds: float, sample_rate: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Utterances of falling lengths, the last one 30 % of the first, and their samples."""
    num_samples = (torch.linspace(1, 0.3, num_utterances) * seconds * sample_rate).long()
    wavs = 0.1 * torch.randn(num_utterances, int(num_samples[0]))
    wavs[torch.arange(wavs.shape[1]) >= num_samples[:, None]] = 0.0
    return wavs, num_samples


def milliseconds(function: Callable[[], object]) -> float:
    """Time of a call."""
    started = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", type=Path, default=Path("presets/atc0.yaml"))
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        recognizer = random_recognizer(args.preset, Path(folder))
        path = Path(folder) / "asr.onnx"
        seconds = milliseconds(lambda: onnx_export.export(recognizer, path)) / 1000
        print(f"exported and checked in {seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    print("| utterances x seconds of the longest | greatest difference | PyTorch, ms | onnxruntime, ms | ratio |")
    for size, seconds in TRIED:
        wavs, num_samples = noise(size, seconds, recognizer.sample_rate)
        shares, inputs = num_samples / wavs.shape[1], {"wavs": wavs.numpy(), "num_samples": num_samples.numpy()}
        wanted, num_frames = recognizer.log_probs(wavs, shares)
        got, counted = session.run(None, inputs)
        assert counted.tolist() == num_frames.tolist()
        off = max(float(np.abs(got - wanted.numpy())[row, :frames].max()) for row, frames in enumerate(counted))
        times = [
            (milliseconds(lambda: recognizer.log_probs(wavs, shares)), milliseconds(lambda: session.run(None, inputs)))  # noqa: B023
            for _ in range(REPEATS)
        ]
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {size} x {seconds} | {off:.1e} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
