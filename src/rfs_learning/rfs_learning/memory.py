"""Memory of a process that trains."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt(3)."""


def keep_freed_memory() -> None:
    """Let the C library keep what an update frees, for the next one.

    glibc gives large blocks back to the kernel at once, and every update has the kernel clear the same pages
    again: with batches of 256 that is a tenth of offline training. Elsewhere than with glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 1 << 30)
