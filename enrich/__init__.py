"""zeek-enrich: what application every flow in Zeek and Suricata logs really is, on what evidence, and how sure.

The public API is small: :func:`read` gives a log as a pandas DataFrame, :func:`enrich_frame` adds this project's
columns to one. The command line is ``zeek-enrich``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enrich.frames import enrich_frame, read

__all__ = ["enrich_frame", "read"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the command line starts quickly.
    if name in __all__:
        from enrich import frames

        return getattr(frames, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
