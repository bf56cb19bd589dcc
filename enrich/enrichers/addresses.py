"""Addresses: scope (special-purpose registries), country, autonomous system."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from enrich.errors import ConfigError
from enrich.model import Enricher, Resources, Use, Work

COUNTRY = "countries/country.mmdb"
_ORIG = Use(("*",), ("id.orig_h",), "orig.")
_RESP = Use(("*",), ("id.resp_h",), "resp.")
_ADDS = {"scope": pl.String, "country": pl.String, "asn": pl.UInt32, "as_org": pl.String}
Lookup = Callable[[str], dict[str, object]]


class Scopes:
    """Scope of an address by the longest special prefix that covers it; public if none does, null if no address."""

    def __init__(self, table: pl.DataFrame) -> None:
        four: list[tuple[int, int, int, str]] = []
        six: list[tuple[ipaddress.IPv6Network, str]] = []
        for prefix, scope in table.select("prefix", "scope").iter_rows():
            network = ipaddress.ip_network(prefix)
            if isinstance(network, ipaddress.IPv4Network):
                first = int(network.network_address)
                four.append((network.prefixlen, first, first + network.num_addresses, scope))
            else:
                six.append((network, scope))
        self.six = sorted(six, key=lambda pair: -pair[0].prefixlen)
        # Cut the IPv4 space at every prefix border; each piece has the scope of the longest prefix over it.
        edges = sorted({0, *(edge for _, first, after, _ in four for edge in (first, after))})
        names = []
        for edge in edges:
            over = [(length, scope) for length, first, after, scope in four if first <= edge < after]
            names.append(max(over)[1] if over else "public")
        self.edges = np.array(edges, dtype=np.uint64)
        self.names = np.array(names)

    def of(self, addresses: pl.Series) -> pl.Series:
        """The scope of each address."""
        text = addresses.cast(pl.String)
        octets = text.str.split_exact(".", 3).struct.unnest()
        place = [pl.col(name).cast(pl.UInt8, strict=False).cast(pl.UInt64) * 256 ** (3 - at) for at, name in enumerate(octets.columns)]
        number = octets.select((place[0] + place[1] + place[2] + place[3]).alias("number")).to_series()
        is_four = number.is_not_null() & (text.str.count_matches(".", literal=True) == 3)
        at = np.searchsorted(self.edges, number.fill_null(0).to_numpy(), side="right") - 1
        scopes = pl.Series("scope", self.names[at])
        out = scopes.set(~is_four.fill_null(False), None)
        rest = (~is_four.fill_null(False) & text.is_not_null()).arg_true()
        if rest.len():
            out = out.scatter(rest, [self._six(value) for value in text.gather(rest)])
        return out

    def _six(self, text: str) -> str | None:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv4Address):
            return None
        if address.ipv4_mapped is not None:
            return self.of(pl.Series([str(address.ipv4_mapped)]))[0]
        return next((scope for network, scope in self.six if address in network), "public")


def open_database(path: Path) -> Lookup:
    """Open a MaxMind-format database of any publisher: a function from an address to country, asn and as_org."""
    import maxminddb

    try:
        reader = maxminddb.open_database(str(path))
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise ConfigError(f"{path}: not a MaxMind-format database: {error}") from error
    kind = reader.metadata().database_type
    if kind.startswith(("GeoIP2", "GeoLite2", "DBIP")):
        reader.close()
        return _geoip2(path, kind)

    def look_up(address: str) -> dict[str, object]:
        record = reader.get(address)
        if not isinstance(record, dict):
            return {}
        country = record.get("country_code") or record.get("country")
        if isinstance(country, dict):
            country = country.get("iso_code")
        asn = record.get("autonomous_system_number") or record.get("asn")
        org = record.get("autonomous_system_organization") or record.get("as_name") or record.get("organization")
        number = asn.upper().removeprefix("AS") if isinstance(asn, str) else asn
        return {
            "country": country if isinstance(country, str) and len(country) == 2 else None,
            "asn": int(number) if isinstance(number, int) or (isinstance(number, str) and number.isdecimal()) else None,
            "as_org": org if isinstance(org, str) else None,
        }

    return look_up


def _geoip2(path: Path, kind: str) -> Lookup:
    import geoip2.database
    import geoip2.errors

    reader = geoip2.database.Reader(str(path))
    method = reader.asn if "ASN" in kind else reader.isp if "ISP" in kind else None
    method = method or (reader.city if "City" in kind else reader.enterprise if "Enterprise" in kind else reader.country)

    def look_up(address: str) -> dict[str, object]:
        try:
            answer = method(address)
        except geoip2.errors.AddressNotFoundError:
            return {}
        country = getattr(answer, "country", None)
        return {
            "country": country.iso_code if country is not None else None,
            "asn": getattr(answer, "autonomous_system_number", None),
            "as_org": getattr(answer, "autonomous_system_organization", None),
        }

    return look_up


def _databases(resources: Resources) -> list[Lookup]:
    """The site's own databases in their order, then the shipped one; the first that knows a value gives it."""
    named = resources.settings("databases")
    paths = [resources.setting_path("databases", key) for key in named]
    return [open_database(path) for path in [*paths, resources.path(COUNTRY)] if path is not None]


def prepare(resources: Resources) -> Work:
    """Open the databases; the work looks up each distinct public address."""
    scopes = Scopes(resources.csv("addresses/special.csv"))
    databases = resources.shared("databases", lambda: _databases(resources))

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        addresses = keys["ip"]
        scope = scopes.of(addresses)
        found: dict[str, list[object]] = {name: [None] * keys.height for name in ("country", "asn", "as_org")}
        public = (scope == "public").fill_null(False).arg_true()
        for row in public:
            for database in databases:
                try:
                    answer = database(addresses[row])
                except ValueError:
                    break
                for name, value in answer.items():
                    if value is not None and found[name][row] is None:
                        found[name][row] = value
        columns = {name: pl.Series(name, values, _ADDS[name]) for name, values in found.items()}
        return pl.DataFrame({"scope": scope, **columns})

    return work


ENRICHER = Enricher(
    name="addresses",
    doc="Scope of both addresses, their country and, where a database names it, their autonomous system.",
    keys={"ip": pl.String},
    adds=_ADDS,
    uses=(_ORIG, _RESP),
    prepare=prepare,
    tables=("addresses/special.csv", COUNTRY),
)
