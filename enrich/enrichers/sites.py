"""Subsidiary sites and registered domains, from the name a record carries."""

from __future__ import annotations

import polars as pl

from enrich.model import Enricher, Resources, Use, Work
from enrich.names import Suffixes, registered_domain

FOLDER = "sites"
Sites = Suffixes[tuple[str, str | None]]


def load(resources: Resources) -> Sites:
    """All sites tables as one, the site's own (``[tables] sites``) first."""

    def build() -> Sites:
        rows = resources.folder(FOLDER).select("domain", "category", "product").iter_rows()
        return Suffixes((domain, (category, product)) for domain, category, product in rows)

    return resources.shared("sites table", build)


def prepare(resources: Resources) -> Work:
    """Load the tables; the work is a look-up a label of each distinct name."""
    sites = load(resources)

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        return sites.columns(keys["name"], {"category": 0, "product": 1})

    return work


def _prepare_domains(_: Resources) -> Work:
    def work(keys: pl.DataFrame) -> pl.DataFrame:
        domains = [registered_domain(name) for name in keys["name"]]
        return pl.DataFrame({"registered_domain": pl.Series(domains, dtype=pl.String)})

    return work


_NAMES = (
    Use(("dns",), ("query",), "site."),
    Use(("http",), ("host",), "site."),
    Use(("ssl", "quic"), ("server_name",), "site."),
)
ENRICHER = Enricher(
    name="sites",
    doc="Subsidiary site (antivirus, torrent index, update, advertising, …) that a name belongs to.",
    keys={"name": pl.String},
    adds={"category": pl.String, "product": pl.String},
    uses=(*_NAMES, Use(("conn",), ("resp.name",), "site.")),
    prepare=prepare,
    tables=(FOLDER,),
)
DOMAINS = Enricher(
    name="registered_domains",
    doc="Registered domain of a name (Public Suffix List).",
    keys={"name": pl.String},
    adds={"registered_domain": pl.String},
    uses=tuple(Use(use.logs, use.columns, "name.") for use in _NAMES),
    prepare=_prepare_domains,
)
