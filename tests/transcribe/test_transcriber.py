"""Freed memory is returned to the operating system; measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The large block raises the size from which glibc maps blocks on their own. Then large blocks are freed while small
# ones between them stay.
SCRIPT = """
import os, sys
import numpy as np
from atc_asr.transcribe.transcriber import release_freed_memory
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
large = np.ones(30 * 2**20, np.uint8); del large
before, blocks, kept = resident(), [], []
for _ in range(200):
    blocks.append(np.ones(2**20, np.uint8))
    kept.append(np.ones(2**15, np.uint8))
del blocks
print(resident() - before)
release_freed_memory()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_freed_blocks_are_returned() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    freed, returned = map(float, answer.stdout.split())  # MiB
    assert freed > 100
    assert returned < 50
