"""Addresses: scope (special-purpose registries), country, autonomous system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from enrich.errors import ConfigError
from enrich.model import Enricher, Resources, Use, Work
from enrich.prefixes import Prefixes

SPECIAL, COUNTRY = "addresses/special.csv", "countries/country.mmdb"
_ORIG = Use(("*",), ("id.orig_h",), "orig.")
_RESP = Use(("*",), ("id.resp_h",), "resp.")
_ADDS = {"scope": pl.String, "country": pl.String, "asn": pl.UInt32, "as_org": pl.String}
Lookup = Callable[[str], dict[str, object]]


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
    methods = {"ASN": reader.asn, "ISP": reader.isp, "City": reader.city, "Enterprise": reader.enterprise}
    method = next((method for name, method in methods.items() if name in kind), reader.country)

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
    scopes = Prefixes(resources.csv(SPECIAL).select("prefix", "scope").iter_rows(), default="public")
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
    tables=(SPECIAL, COUNTRY),
)
