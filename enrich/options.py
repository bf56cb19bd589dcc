"""Options of a run, whoever asks for it: the command line, a capture's run, a test."""

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
