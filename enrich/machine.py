"""What a run takes of the machine; how much has to be said before Polars is imported, which looks then."""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress

_ALLOCATOR = "narenas:1,dirty_decay_ms:250,muzzy_decay_ms:0"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# One pool for all threads; what a chunk of input takes stays in it (mallopt(3), its largest values; bytes).
_MALLOC = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: 32 << 20, _M_TRIM_THRESHOLD: 32 << 20}
_OBJECTS = 500_000
"""So many new objects are worth looking for circles among them."""


def keep_memory() -> None:
    """Let what allocates memory use it again before it hands it back, and keep little for each thread.

    A batch needs what the one before it needed; handed back and taken anew, every page of it costs the system a fault.
    Polars has an allocator of its own (jemalloc, in its wheels for Linux), in which what the user has set stays; the
    rest is glibc's, where any thread may free what another has taken. And Python looks for circles of objects seldom:
    a run makes many objects, and no circles.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", _ALLOCATOR)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy multiplies no matrices here
    for option, value in _MALLOC.items():
        _tell_glibc("mallopt", option, value)
    gc.set_threshold(_OBJECTS)


def release_memory() -> None:
    """Hand memory that is free but kept by the C library back to the system, where that library can (glibc)."""
    _tell_glibc("malloc_trim", 0)


def _tell_glibc(function: str, *arguments: int) -> None:
    import ctypes  # not for --help

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None)[function](*arguments)


def let_interrupt() -> None:
    """Let Ctrl-C end a read that waits for input: Polars' handler of that signal would have it begin again."""
    signal.siginterrupt(signal.SIGINT, True)


def use_cores(count: int) -> None:
    """Let this process run on so many of the processor's cores only (Linux), and Polars with as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ["POLARS_MAX_THREADS"] = str(min(count, os.cpu_count() or count))
