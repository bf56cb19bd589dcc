"""What a run takes of the machine. Has to be said before Polars is imported, which looks then."""

from __future__ import annotations

import gc
import os

_ALLOCATOR = "narenas:2,dirty_decay_ms:2000"
_OBJECTS = 20_000


def keep_memory() -> None:
    """Let Polars' allocator (jemalloc, in its wheels for Linux) use memory again before it hands it back.

    A batch needs what the one before it needed; handed back and taken anew, every page of it costs the system a fault.
    What the user has set stays. And look for circles of objects seldom: a run makes many objects, and no circles.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", _ALLOCATOR)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy multiplies no matrices here
    gc.set_threshold(_OBJECTS)


def use_cores(count: int) -> None:
    """Let this process run on so many of the processor's cores only (Linux), and Polars with as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ["POLARS_MAX_THREADS"] = str(min(count, os.cpu_count() or count))
