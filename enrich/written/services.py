"""The services that flows were seen to reach: a run's output, read again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import polars as pl
import zstandard

from enrich.errors import SourceError
from enrich.flows import NO_HOST
from enrich.sources.json_lines import seconds
from enrich.verdict import OBSERVED
from enrich.written.records import opened, usual

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "ts": pl.Float64,
    "id.orig_h": pl.String,
    "id.resp_h": pl.String,
    "id.resp_p": pl.Int64,
    "proto": pl.String,
    "conn_state": pl.String,
    "resp_pkts": pl.Int64,
    "resp.scope": pl.String,
    "app.protocol": pl.String,
    "app.evidence": pl.List(pl.String),
}
_LINES = 10_000
"""So many lines are looked at together where a damaged one is sought."""
_BY = ("host", "transport", "port")
_UNANSWERED = ("S0", "REJ", "SH", "RSTOS0", "RSTRH", "SHR")
# Of what is observed, analyzers alone name every protocol that is there, also those that the verdict's one carries.
_NAMING = OBSERVED - {"payload", "alpn"}
PRIVATE = frozenset({"private", "link_local", "cgnat"})


@dataclass(slots=True)
class Seen:
    """One service: an address and port that answered."""

    host: str
    transport: str
    port: int
    scope: str | None
    flows: int
    clients: int
    first_seen: float
    last_seen: float
    protocols: dict[str, int] = field(default_factory=dict)
    """Flows by the protocol of their verdict, most first; unknown ones left out."""
    observed: frozenset[str] = frozenset()
    """Protocols that a flow's own payload showed, whatever the port says."""

    @property
    def protocol(self) -> str | None:
        """The protocol of most flows."""
        return next(iter(self.protocols), None)


def services(directory: Path) -> dict[tuple[str, str, int], Seen]:
    """The services that answered in any flow of a run's output, by host, transport and port.

    Raises SourceError where the output holds no conn records as NDJSON or Parquet, or these are damaged.
    """
    files = _files(directory)
    if not files:
        raise SourceError(
            f"{directory}: holds no conn records; name the output of zeek-enrich run (--format ndjson or parquet)"
        )
    try:
        return _services(pl.concat([_scan(path) for path in files]))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{_damaged(files) or f'{directory}: cannot be read: {error}'}; run again") from error


def _services(scan: pl.LazyFrame) -> dict[tuple[str, str, int], Seen]:
    payload = pl.element().filter(pl.element().str.contains(f"^(?:{'|'.join(sorted(OBSERVED))}):"))
    answered = scan.filter(
        (pl.col("resp_pkts") > 0)
        & ~pl.col("conn_state").is_in(_UNANSWERED).fill_null(False)
        & ~pl.col("resp.scope").is_in(NO_HOST).fill_null(False)
        & pl.col("proto").is_in(["tcp", "udp", "sctp"])
    ).select(
        "ts",
        client="id.orig_h",
        host="id.resp_h",
        transport="proto",
        port="id.resp_p",
        scope="resp.scope",
        protocol="app.protocol",
        payload=pl.col("app.evidence").list.eval(payload).list.join(","),
    )
    whole = answered.group_by(_BY).agg(
        pl.col("scope").first(),
        pl.len().alias("flows"),
        pl.col("client").n_unique().alias("clients"),
        pl.col("ts").min().alias("first"),
        pl.col("ts").max().alias("last"),
    )
    parts = answered.group_by(*_BY, "protocol", "payload").agg(pl.len().alias("flows"))
    services_, shares = pl.collect_all([whole, parts], engine="streaming")
    found = {
        (host, transport, port): Seen(host, transport, port, scope, flows, clients, first or 0.0, last or 0.0)
        for text, transport, port, scope, flows, clients, first, last in services_.iter_rows()
        if port is not None and (host := usual(text)) is not None
    }
    counted: dict[tuple[str, str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    shown: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for text, transport, port, protocol, evidence, flows in shares.iter_rows():
        key = (usual(text) or "", transport, port)
        if protocol is not None:
            counted[key][protocol] += flows
            if evidence:
                shown[key].add(protocol)
        shown[key] |= {what for source, what in _pairs(evidence) if source in _NAMING}
    for key, seen in found.items():
        ordered = sorted(counted[key].items(), key=lambda item: (-item[1], item[0]))
        seen.protocols, seen.observed = dict(ordered), frozenset(shown[key])
    return found


def _pairs(evidence: str | None) -> Iterator[tuple[str, str]]:
    for item in (evidence or "").split(","):
        source, colon, what = item.partition(":")
        if colon:
            yield source, what


def _files(directory: Path) -> list[Path]:
    def holds_conn(path: Path) -> bool:
        parts = path.name.split(".")
        return "conn" in parts[:-1] and bool({"ndjson", "parquet"} & set(parts)) and not path.name.startswith(".")

    return sorted(path for path in directory.rglob("*") if holds_conn(path) and path.is_file())


def _damaged(files: Iterable[Path]) -> str | None:
    """Where the first thing is that cannot be read, and why."""
    for path in files:
        try:
            if path.suffix == ".parquet":
                _scan(path).collect(engine="streaming")
                continue
            with opened(path) as stream:
                number = 1
                while lines := list(islice(stream, _LINES)):
                    if _fault(b"".join(lines)) is not None:
                        return next(
                            f"{path}:{at}: is damaged: {fault}"
                            for at, line in enumerate(lines, number)
                            if (fault := _fault(line)) is not None
                        )
                    number += len(lines)
        except (OSError, EOFError, zstandard.ZstdError, pl.exceptions.PolarsError) as error:
            return f"{path}: cannot be read: {error}"
    return None


def _fault(lines: bytes) -> str | None:
    """Why lines cannot be read; None if they can."""
    try:
        pl.read_ndjson(lines, schema=_COLUMNS | {"ts": pl.String})
    except pl.exceptions.PolarsError as error:
        return str(error)
    return None


def _scan(path: Path) -> pl.LazyFrame:
    if path.suffix != ".parquet":
        return pl.scan_ndjson(path, schema=_COLUMNS | {"ts": pl.String}).with_columns(seconds(pl.col("ts")))
    scan = pl.scan_parquet(path)
    there = scan.collect_schema()
    return scan.select(
        (pl.col(name).cast(kind, strict=False) if name in there else pl.lit(None, kind)).alias(name)
        for name, kind in _COLUMNS.items()
    )
