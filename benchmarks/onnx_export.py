"""Size, differences and speed of the ONNX file of a preset's network with random weights, compared with PyTorch.

python -m benchmarks.onnx_export [--preset presets/atc0.yaml] [--threads 2]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
import torch

from atc_asr.commands import preset
from atc_asr.core.config import PARAMS_FILE, load_section
from atc_asr.deploy import onnx_export
from atc_asr.model import network, run_folder
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.model.run_folder import Recognizer
from atc_asr.tokenizer.tokens import char_tokens

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ ."
SIZES = ((1, 0.3), (1, 1.0), (1, 4.6), (1, 20.0), (1, 45.0), (2, 7.0), (8, 4.6), (16, 6.1))  # utterances, seconds
REPEATS = 7


def random_recognizer(preset_file: Path, folder: Path) -> Recognizer:
    """Write a run folder with the preset's network, whose probabilities differ like those of a trained network."""
    params = folder / PARAMS_FILE.name
    shutil.copy(PARAMS_FILE, params)
    preset.run(preset_file, params)
    tokens = char_tokens([ALPHABET])
    torch.manual_seed(0)
    model, specaugment = load_section(ModelParams, params), load_section(SpecAugmentParams, params)
    values = network.hparams_values(model, specaugment, len(tokens))
    text = network.fill_placeholders(network.HPARAMS_FILE, values)
    hparams = network.build(text, str(preset_file))
    hparams.normalizer(hparams.compute_features(0.1 * torch.randn(2, 160_000)), torch.ones(2))
    torch.nn.init.normal_(hparams.ctc_head.w.weight, std=1.0)
    run_folder.save_weights(folder, hparams_text=text, hparams=hparams, tokens=tokens)
    return run_folder.load_recognizer(folder, device="cpu")


def milliseconds(function: Callable[[], object]) -> float:
    """Milliseconds of a call."""
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
    random = torch.Generator().manual_seed(0)
    print("| utterances x seconds of the longest | largest difference | PyTorch, ms | onnxruntime, ms | ratio |")
    for size, seconds in SIZES:
        wavs, num_samples = onnx_export.make_noise(size, seconds, recognizer.sample_rate, random)
        off = onnx_export.largest_difference(recognizer, session, wavs, num_samples)
        inputs = {"wavs": wavs.numpy(), "num_samples": num_samples.numpy()}
        calls = (partial(recognizer.log_probs, wavs, num_samples / wavs.shape[1]), partial(session.run, None, inputs))
        times = [[milliseconds(call) for call in calls] for _ in range(REPEATS)]
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {size} x {seconds} | {off:.1e} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
