"""benchmarks/presets: what the trainings of the presets cost.

    OMP_NUM_THREADS=1 python -m benchmarks.presets [--repeats 3]

For the network of each recipe in presets/, with random weights: the floating-point operations of an update, counted by
PyTorch (matrix products and convolutions, forward and backward), and the processor time of an update in one thread, for
4 utterances of 5 s of noise, with the modules of a GPU. From them two ESTIMATES of a whole training: hours on two
cores, from the speed of one of the networks in RESULTS.md, and hours on a V100, from a training that others published.
No GPU is used.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from atc_asr.core import config
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.training import optimizer
from atc_asr.training.params import TrainParams
from benchmarks import memory

UTTERANCES = 4  # of a batch, of memory.SECONDS each
# Hours and utterances of train: ATC0's parts (an upper limit for `base`), with ATCOSIM and UWB-ATCC.
ATC0, ALL = (25, 22_490), (43, 40_300)
CORPORA = {"atc0": ATC0, "atc0_finetune": ATC0, "atc0_scratch": ATC0, "us_europe": ALL}
CPU_PRESET, CPU_SPEED = "atc0", 30.1  # times real time on two AVX-512 cores: RESULTS.md, "Train: speed", at 3317a1f
# ESPnet, egs2/librispeech_100/asr1/README.md, "Conformer": 70 epochs of 100.6 h at three speeds took 57,072 s on a V100
# with mixed precision. Its encoder has the following shape; its decoder and larger front-end are not counted here.
V100_SPEED = 70 * 3 * 100.6 * 3600 / 57_072
V100_NETWORK = {"frame_ms": 40, "d_model": 256}


def operations(model: ModelParams, specaugment: SpecAugmentParams, inter_ctc: float) -> float:
    """Floating-point operations of an update for a second of audio."""
    hparams = memory.build(model, specaugment)
    with FlopCounterMode(display=False) as counter:
        memory.loss_of(hparams, UTTERANCES, inter_ctc).backward()
    return counter.get_total_flops() / (UTTERANCES * memory.SECONDS)


def processor_seconds(model: ModelParams, specaugment: SpecAugmentParams, train: TrainParams, repeats: int) -> float:
    """Processor time of an update for a second of audio: the median of some updates."""
    hparams = memory.build(model, specaugment)
    groups = optimizer.parameter_groups(hparams.model, hparams.ctc_head, train.encoder_lr)
    adamw = optimizer.make_adamw(groups, lr=train.lr, weight_decay=train.weight_decay)
    taken = []
    for _ in range(repeats + 1):
        started = time.process_time()
        memory.loss_of(hparams, UTTERANCES, train.inter_ctc).backward()
        adamw.step()
        adamw.zero_grad()
        taken.append(time.process_time() - started)
    return statistics.median(taken[1:]) / (UTTERANCES * memory.SECONDS)


def measure(preset: Mapping[str, Any], repeats: int) -> tuple[float, float, float]:
    """Operations and processor time of an update for a second of audio, and the operations of the published network."""
    model, specaugment, train = (memory.section(one, preset) for one in (ModelParams, SpecAugmentParams, TrainParams))
    published = operations(model.model_copy(update=V100_NETWORK), specaugment, train.inter_ctc)
    flops = operations(model, specaugment, train.inter_ctc)
    return flops, processor_seconds(model, specaugment, train, repeats), published


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    presets = {name: config.read_yaml(Path("presets") / f"{name}.yaml") for name in CORPORA}
    networks: dict[str, tuple[float, float, float]] = {}
    for preset in presets.values():
        if str(preset["model"]) not in networks:
            networks[str(preset["model"])] = measure(preset, args.repeats)
    cpu_seconds = networks[str(presets[CPU_PRESET]["model"])][1]
    print("| preset | audio, h | updates | GFLOP a second | processor, ms a second | two cores, h | V100, h |")
    print("|" + "---|" * 7)
    for name, preset in presets.items():
        train = memory.section(TrainParams, preset)
        flops, seconds, published = networks[str(preset["model"])]
        hours, utterances = (train.epochs * number for number in CORPORA[name])
        print(
            f"| {name} | {hours:,} | {utterances // (train.batch_size * train.grad_accum):,} | {flops / 1e9:.1f} | "
            f"{1000 * seconds:.0f} | {hours / CPU_SPEED * seconds / cpu_seconds:.1f} | "
            f"{hours / V100_SPEED * flops / published:.1f} |"
        )
    print(f"The published network: {published / 1e9:.1f} GFLOP a second of audio, {V100_SPEED:,.0f} times real time")


if __name__ == "__main__":
    main()
