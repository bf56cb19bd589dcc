"""One value at a time: the same enrichers that a run applies, for ``zeek-enrich lookup`` and for Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

import polars as pl

from enrich import applications, names
from enrich.enrichers import addresses, banners, ports, sites, user_agents
from enrich.enrichers import applications as asserting
from enrich.errors import ConfigError, meant
from enrich.model import Enricher
from enrich.tables import Tables

Found = dict[str, Any]
BATCH = 10_000
TRANSPORTS = ("tcp", "udp", "sctp", "dccp")


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be looked up: which values are well formed, how these are called, and what is found of them."""

    well_formed: Callable[[str], bool]
    expected: str
    find: Callable[[Sequence[str], Sequence[str], Tables], list[Found]]


def look_up(kind: str, args: Sequence[str], values: Sequence[str], tables: Tables) -> Iterator[Found]:
    """Look values up; one record a value, in their order. What is unknown has nulls, what is malformed an ``error``.

    Raises ConfigError for an unknown banner service.
    """
    what = KINDS[kind]
    for start in range(0, len(values), BATCH):
        piece = values[start : start + BATCH]
        good = [value for value in piece if what.well_formed(value)]
        found = iter(what.find(args, good, tables))
        for value in piece:
            if what.well_formed(value):
                yield {"value": value, **next(found)}
            else:
                yield {"value": value, "error": f"expected {what.expected}"}


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
    asserted = _applied(asserting.PORTS, keys, tables)
    return [
        {"transport": proto, **row, "protocol": says["asserts"]}
        for (_, proto), row, says in zip(keys.iter_rows(), found, asserted, strict=True)
    ]


def _banner(args: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    known = banners.load(tables)
    service = args[0]
    if service not in known.services:
        raise ConfigError(f"no banner table for {service!r}; {meant(service, known.services)}")
    return [asdict(banner) for banner in known.parse_many(service, values)]


def _user_agent(_: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    return _applied(user_agents.ENRICHER, pl.DataFrame({"user_agent": pl.Series(values, dtype=pl.String)}), tables)


def _site(_: Sequence[str], values: Sequence[str], tables: Tables) -> list[Found]:
    values = [value.strip() for value in values]
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
    return _applied(
        addresses.ENRICHER,
        pl.DataFrame({"ip": pl.Series([value.strip() for value in values], dtype=pl.String)}),
        tables,
    )


def _is_text(_: str) -> bool:
    return True


def _is_name(value: str) -> bool:
    return "/" not in value and names.host_name(value.strip()) is not None


def _is_port(value: str) -> bool:
    number, slash, transport = value.strip().lower().partition("/")
    known = transport in TRANSPORTS if slash else True
    return number.isascii() and number.isdecimal() and len(number) <= 5 and int(number) < 65536 and known


def _is_address(value: str) -> bool:
    try:
        return "%" not in value and bool(ip_address(value.strip()).version)
    except ValueError:
        return False


KINDS = {
    "port": Kind(_is_port, f"a port from 0 to 65535, tcp unless it says /{', /'.join(TRANSPORTS)}", _port),
    "banner": Kind(_is_text, "the text of a banner", _banner),
    "ua": Kind(_is_text, "the text of a User-Agent", _user_agent),
    "site": Kind(_is_name, "a host name, without a path", _site),
    "ip": Kind(_is_address, "an IPv4 or IPv6 address", _ip),
}
