"""Addresses: scope (special-purpose registries), country, autonomous system."""

from __future__ import annotations

import polars as pl

from enrich.ip_numbers import ip_numbers
from enrich.mmdb import TELLS, Database
from enrich.model import Enricher, Resources, Use, Work
from enrich.prefixes import Prefixes

SPECIAL, COUNTRY = "addresses/special.csv", "countries/country.mmdb"
_ORIG = Use(("*",), ("id.orig_h",), "orig.")
_RESP = Use(("*",), ("id.resp_h",), "resp.")


def _databases(resources: Resources) -> list[Database]:
    """The site's own databases in their order, then the shipped one; the first that knows a value gives it."""
    named = resources.settings("databases")
    paths = [resources.setting_path("databases", key) for key in named]
    return [Database(path) for path in [*paths, resources.path(COUNTRY)] if path is not None]


def prepare(resources: Resources) -> Work:
    """Open the databases; the work looks up each distinct public address."""
    scopes = Prefixes(resources.csv(SPECIAL).select("prefix", "scope").iter_rows(), default="public")
    databases = resources.shared("databases", lambda: _databases(resources))

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        numbers = ip_numbers(keys["ip"]).unmapped()
        scope = scopes.of_numbers(numbers).alias("scope")
        public = (scope == "public").fill_null(False).arg_true()
        asked = numbers.at(public.to_numpy())
        told = [database.of(asked) for database in databases]
        columns = [scope]
        for name, kind in TELLS.items():
            found = pl.select(pl.coalesce(*(one[name] for one in told))).to_series()
            columns.append(pl.Series(name, [None], kind).new_from_index(0, keys.height).scatter(public, found))
        return pl.DataFrame(columns)

    return work


ENRICHER = Enricher(
    name="addresses",
    doc="Scope of both addresses, their country and, where a database names it, their autonomous system.",
    keys={"ip": pl.String},
    adds={"scope": pl.String, **TELLS},
    uses=(_ORIG, _RESP),
    prepare=prepare,
    tables=(SPECIAL, COUNTRY),
)
