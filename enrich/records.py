"""What a run wrote beside its logs, read again: hosts and findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from enrich.errors import SourceError

Record = dict[str, Any]


def read(directory: Path, name: str) -> list[Record]:
    """The records of ``<name>.ndjson`` in a run's output. Raises SourceError if it is not one."""
    path = directory / f"{name}.ndjson"
    try:
        with path.open("rb") as stream:
            return [json.loads(line) for line in stream]
    except FileNotFoundError:
        raise SourceError(f"{directory}: no {path.name} here; is it the output of zeek-enrich run?") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error


def host(directory: Path, address: str) -> Record:
    """One host's record. Raises SourceError if the run saw no such host."""
    found = next((record for record in read(directory, "hosts") if record["ip"] == address), None)
    if found is None:
        raise SourceError(f"{directory}: no host {address!r} in hosts.ndjson")
    return found
