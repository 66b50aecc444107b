"""What a process sets before its first batch, so that its memory stays the same over hours of recordings."""

import contextlib
import ctypes
import os

M_MMAP_THRESHOLD = -3  # malloc.h of glibc
LARGE_BLOCK = 2**17  # bytes; glibc's own first limit
KEPT_KERNELS = 16  # compiled by oneDNN for one shape each, with their memory; its own limit is 1,024


def bound_memory() -> None:
    """Keep few of oneDNN's kernels, and have every large block go back to the system when it is freed.

    oneDNN reads its limit before its first kernel. Left alone, glibc raises its own to the largest block freed so far
    (mallopt(3)) and keeps the smaller ones on its heap, which batches of ever new shapes break into pieces. Where the C
    library is not glibc, nothing is asked of it.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KEPT_KERNELS))
    with contextlib.suppress(AttributeError, OSError, TypeError):  # what other systems' C libraries answer
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
