"""Benchmark of the built-in corpus: speed with one and several processes, memory, and equality of the bytes.

    .venv/bin/python -m benchmarks.synthetic [UTTERANCES] [PROCESSES]

Makes the first UTTERANCES (600) of train with one process and with PROCESSES (2), as 16-bit WAV files. Prints seconds
of audio per second, the peak memory of a process, and whether the two sets of files are equal.
"""

import hashlib
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from atc_asr.core.config import load_section
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.source import Shard
from atc_asr.corpus.synthetic import SyntheticSource


def write_shard(job: tuple[SyntheticSource, Shard, Path]) -> tuple[list[str], float]:
    """Write the WAVs of a shard; returns digests of WAVs and texts, and seconds of audio."""
    source, shard, folder = job
    digests, seconds = [], 0.0
    for clip in source.read(shard):
        path = folder / f"{clip.id}.wav"
        samples = np.rint(clip.audio * 32768).astype(np.int16)
        soundfile.write(path, samples, clip.sample_rate, subtype="PCM_16")
        digests.append(hashlib.sha256(path.read_bytes() + clip.text.encode()).hexdigest())
        seconds += len(samples) / clip.sample_rate
    return digests, seconds


def make(source: SyntheticSource, processes: int) -> tuple[list[str], float, float]:
    """Make the corpus; returns digests in order, seconds of audio, wall time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(source, shard, Path(folder)) for shard in source.shards()]
        start = time.perf_counter()
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            parts = pool.map(write_shard, jobs, chunksize=1)
        taken = time.perf_counter() - start
    return [one for part in parts for one in part[0]], sum(part[1] for part in parts), taken


def main() -> None:
    """Print one line per number of processes."""
    count, processes = (int(word) for word in (sys.argv[1:] + ["600", "2"][len(sys.argv) - 1 :]))
    sizes = {"num_train": count, "num_valid": 0, "num_test": 0}
    source = SyntheticSource(load_section(SyntheticParams).model_copy(update=sizes))
    results = {number: make(source, number) for number in (1, processes)}
    for number, (_, audio, taken) in results.items():
        print(f"{number} processes: {audio / 3600:.2f} h in {taken:.1f} s, {audio / taken:.0f} times real time")
    print("same bytes:", "yes" if results[1][0] == results[processes][0] else "NO")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory of one process: {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
