"""One value at a time: the same enrichers that a run applies, for ``zeek-enrich lookup`` and for Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from enrich import applications, names
from enrich.enrichers import addresses, banners, ports, sites, user_agents
from enrich.errors import ConfigError
from enrich.model import Enricher
from enrich.tables import Tables

Found = dict[str, Any]
BATCH = 10_000


def look_up(kind: str, args: Sequence[str], values: Sequence[str], tables: Tables) -> Iterator[Found]:
    """Look values up; one record a value, in their order. Raises ConfigError for an unknown banner service."""
    for start in range(0, len(values), BATCH):
        piece = values[start : start + BATCH]
        for value, found in zip(piece, KINDS[kind](args, piece, tables), strict=True):
            yield {"value": value, **found}


def _applied(enricher: Enricher, keys: pl.DataFrame, tables: Tables, prefix: str = "") -> list[Found]:
    work = tables.shared(f"work of {enricher.name}", lambda: enricher.prepare(tables))
    return [
        {name.removeprefix(prefix): value for name, value in row.items()} for row in work(keys).iter_rows(named=True)
    ]


def _port(_: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    parts = [value.strip().lower().partition("/") for value in values]
    keys = pl.DataFrame(
        {
            "port": pl.Series([number for number, _, _ in parts], dtype=pl.String).cast(pl.UInt16, strict=False),
            "proto": pl.Series([transport or "tcp" for _, _, transport in parts], dtype=pl.String),
        }
    )
    found = _applied(ports.ENRICHER, keys, tables, "port.")
    catalogue = applications.load(tables)
    claims = [catalogue.by_port.get((port, proto)) for port, proto in keys.iter_rows()]
    return [
        {"transport": proto, **row, "protocol": claim}
        for (_, proto), row, claim in zip(keys.iter_rows(), found, claims, strict=True)
    ]


def _banner(args: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    known = banners.load(tables)
    service = args[0]
    if service not in known.services:
        raise ConfigError(f"no banner table for {service!r}; there are: {', '.join(known.services)}")
    from dataclasses import asdict

    return [asdict(banner) for banner in known.parse_many(service, values)]


def _user_agent(_: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    return _applied(user_agents.ENRICHER, pl.DataFrame({"user_agent": pl.Series(values, dtype=pl.String)}), tables)


def _site(_: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    found = _applied(sites.ENRICHER, pl.DataFrame({"name": pl.Series(values, dtype=pl.String)}), tables)
    catalogue = applications.load(tables)
    out = []
    for value, row in zip(values, found, strict=True):
        folded = names.host_name(value)
        application = catalogue.application_of(folded) if folded else None
        name = application[0] if application else None
        out.append(
            {
                **row,
                "registered_domain": names.registered_domain(value),
                "application": name,
                "application_category": catalogue.category(None, name),
            }
        )
    return out


def _ip(_: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    return _applied(addresses.ENRICHER, pl.DataFrame({"ip": pl.Series(values, dtype=pl.String)}), tables)


KINDS: dict[str, Callable[[Sequence[str], Sequence[str], Tables], list[Found]]] = {
    "port": _port,
    "banner": _banner,
    "ua": _user_agent,
    "site": _site,
    "ip": _ip,
}
