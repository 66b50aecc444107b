"""How a process keeps its memory the same over hours of recordings."""

import contextlib
import ctypes
import os

KEPT_KERNELS = 16  # compiled by oneDNN for one shape each, with their memory; its own limit is 1,024


def keep_few_kernels() -> None:
    """Bound what oneDNN keeps; it reads its limit before its first kernel."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KEPT_KERNELS))


def return_freed() -> None:
    """Give memory that was freed back to the system, where the C library is glibc (malloc_trim(3)).

    Left alone, it stays on the heap, which batches of ever new shapes break into pieces. Having glibc map every large
    block by itself (mallopt(3)) bounds memory as well, but half of the time then goes into pages.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # what other systems' C libraries answer
        ctypes.CDLL(None).malloc_trim(0)
