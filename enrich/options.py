"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Options:
    """What a run is asked to do."""

    inputs: tuple[str, ...]
    out: Path
    format: str = "ndjson"
    compress: str = "none"
    config: Path | None = None
    only: tuple[str, ...] = ()
    logs: frozenset[str] = frozenset()
    state: Path | None = None
