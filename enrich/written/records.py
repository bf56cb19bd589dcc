"""What a run wrote beside its logs, read again: hosts, findings and the record of the run."""

from __future__ import annotations

import gzip
import io
import json
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

import zstandard

from enrich.errors import AbsentError, ConfigError, SourceError

Record = dict[str, Any]
_TEXT = (str, None)
_NUMBER = (int, float, None)
_SEEN = {"first_seen": _NUMBER, "last_seen": _NUMBER}
_FORMS: dict[str, Any] = {
    "hosts": {
        "ip": str,
        "scope": _TEXT,
        "own": bool,
        "names": [str],
        **_SEEN,
        "os": ({"name": _TEXT, "confidence": _NUMBER, "evidence": [str], "several?": ([str], None)}, None),
        "services": [
            {
                "port": int,
                "transport": str,
                "protocol?": _TEXT,
                "product?": _TEXT,
                "version?": _TEXT,
                "clients?": _NUMBER,
                **_SEEN,
            }
        ],
        "applications?": [{"name": _TEXT, "protocol": _TEXT, "category": _TEXT, "flows": int, "bytes": int}],
        "software?": [{"product": _TEXT, "version?": _TEXT, "source": str, **_SEEN}],
        "sites?": [{"product": _TEXT, "category": _TEXT, "contacts": int, **_SEEN}],
        "ephemeral_ports?": ({"low": int, "high": int, "ports": int, "system": _TEXT}, None),
    },
    "findings": {
        "ts": _NUMBER,
        "last_seen": _NUMBER,
        "kind": str,
        "severity": str,
        "host": str,
        "peer": _TEXT,
        "port": (int, None),
        "summary": str,
        "evidence": [str],
        "flows": int,
        "uids": [str],
    },
    "run": {
        "config": _TEXT,
        "enrichers": [str],
        "files": [{"form": str, "logs": [str], "outputs": [str], "renamed": [str]}],
    },
}
"""What is read of each record, as :func:`fits` takes it."""
_OTHER = "is not what this version of zeek-enrich writes; run again"


def fits(value: object, form: Any) -> bool:
    """Whether a JSON value has a form: a type, None, a list of one form, a tuple of several, or an object's members.

    Members whose name ends with ``?`` may be absent; an object may have others.
    """
    if isinstance(form, tuple):
        return any(fits(value, one) for one in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(item, form[0]) for item in value)
    if isinstance(form, dict):
        return isinstance(value, dict) and all(
            fits(value[name], inner) if (name := key.rstrip("?")) in value else key.endswith("?")
            for key, inner in form.items()
        )
    if isinstance(value, bool):  # which is an int to Python
        return form is bool
    return value is None if form is None else isinstance(value, form)


def read(directory: Path, name: str) -> list[Record]:
    """The records of ``<name>.ndjson`` in a run's output. Raises SourceError if it is not one, with the line."""
    path, found = directory / f"{name}.ndjson", []
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                record = parsed(line, f"{path}:{number}")
                if not fits(record, _FORMS[name]):
                    raise SourceError(f"{path}:{number}: {_OTHER}")
                found.append(record)
    except FileNotFoundError:
        raise SourceError(f"{directory}: no {path.name} here; is it the output of zeek-enrich run?") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    return found


def parsed(text: bytes, place: str) -> Any:
    """JSON that a run wrote. Raises SourceError, naming the place, for what is none."""
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{place}: is damaged: {error}; run again") from error


def host(directory: Path, address: str) -> Record:
    """One host's record. Raises AbsentError if the run saw no such host, ConfigError for what is no address."""
    asked = usual(address)
    if asked is None:
        raise ConfigError(f"{address!r} is no IP address")
    found = next((record for record in read(directory, "hosts") if usual(record["ip"]) == asked), None)
    if found is None:
        raise AbsentError(f"{directory}: no host {address!r} in hosts.ndjson")
    return found


def usual(address: str | None) -> str | None:
    """An address in its usual form; None for what is none."""
    try:
        return str(ip_address(address or ""))
    except ValueError:
        return None


def run_record(directory: Path) -> Record:
    """``run.json`` of a run's output. Raises SourceError if it is not one, or was written by another version."""
    path = directory / "run.json"
    try:
        run = parsed(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise SourceError(f"{directory}: no run.json here; is it the output of zeek-enrich run?") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not fits(run, _FORMS["run"]):
        raise SourceError(f"{path}: {_OTHER}")
    return dict(run)


def caveat(directory: Path) -> str | None:
    """What to know before a run's hosts and findings are believed; None if there is nothing, or no ``run.json``."""
    try:
        run = run_record(directory)
    except SourceError:
        return None
    if run.get("failed") is not None:
        return f"{directory}: the last run into it failed ({run['failed']}): what is here may be of an earlier one"
    if not any("conn" in file["logs"] for file in run["files"]):
        return f"{directory}: the run read no conn log, without which there are no hosts, no services and few findings"
    return None


def opened(path: Path) -> IO[bytes]:
    """An output's bytes, whatever it is compressed with."""
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.open(path, "rb"))
    return path.open("rb")
