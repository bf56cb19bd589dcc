"""What a run wrote beside its logs, read again: hosts, findings and the record of the run."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from enrich.errors import AbsentError, ConfigError, SourceError

Record = dict[str, Any]
_FILE = {"form", "logs", "outputs", "renamed"}
"""What ``run.json`` says of each file, as far as it is read here."""


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
    """One host's record. Raises AbsentError if the run saw no such host, ConfigError for what is no address."""
    try:
        ip_address(address.partition("%")[0])
    except ValueError:
        raise ConfigError(f"{address!r} is no IP address") from None
    found = next((record for record in read(directory, "hosts") if record["ip"] == address), None)
    if found is None:
        raise AbsentError(f"{directory}: no host {address!r} in hosts.ndjson")
    return found


def run_record(directory: Path) -> Record:
    """``run.json`` of a run's output. Raises SourceError if it is not one, or was written by another version."""
    path = directory / "run.json"
    try:
        run = json.loads(path.read_bytes())
        if all(file.keys() >= _FILE for file in run["files"]) and "config" in run:
            return dict(run)
    except FileNotFoundError:
        raise SourceError(f"{directory}: no run.json here; is it the output of zeek-enrich run?") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise SourceError(f"{path}: is not what this version of zeek-enrich writes; run again")
