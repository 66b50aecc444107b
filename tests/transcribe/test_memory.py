"""What is freed goes back to the system, and what the user has set stays; each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
# A large block raises the limit above which glibc maps them; then blocks are freed, small ones between them stay.
SCRIPT = """
import os, sys
import numpy as np
from atc_asr.transcribe.memory import keep_few_kernels, return_freed
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
keep_few_kernels()
del_me = np.ones(30 * 2**20, np.uint8); del del_me
before, blocks, kept = resident(), [], []
for _ in range(200):
    blocks.append(np.ones(2**20, np.uint8))
    kept.append(np.ones(2**15, np.uint8))
del blocks
if sys.argv[1] == 'returned':
    return_freed()
print(resident() - before, os.environ.get('ONEDNN_PRIMITIVE_CACHE_CAPACITY'))
"""


def run(how: str, **variables: str) -> tuple[float, str]:
    """MiB more in memory after 200 were freed, and oneDNN's limit."""
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != LIMIT} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    more, limit = answer.stdout.split()
    return float(more), limit


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_freed_blocks_go_back():
    assert run("left alone")[0] > 100
    more, limit = run("returned")
    assert more < 50
    assert limit == "16"
    assert run("returned", **{LIMIT: "3"})[1] == "3"
