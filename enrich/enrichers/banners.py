"""Banners: what servers and clients say they are, in every log that carries a banner."""

from __future__ import annotations

import polars as pl

from enrich.banners import Banners
from enrich.columns import SOFTWARE_FIELDS
from enrich.model import Enricher, Resources, Use, Work

FOLDER = "banners"
# Service, log, column that holds the banner, prefix of what it gives.
CARRIERS: tuple[tuple[str, str, str, str], ...] = (
    ("ssh", "ssh", "client", "ssh_client."),
    ("ssh", "ssh", "server", "ssh_server."),
    ("smtp", "smtp", "greeting", "smtp_server."),
    ("http_server", "http", "server", "http_server."),
    ("sip", "sip", "user_agent", "sip_client."),
    ("rfb", "rfb", "server", "rfb_server."),
)


def load(resources: Resources) -> Banners:
    """The banner tables, with the site's own (``[tables] banners``) and its Recog directory (``[recog] directory``)."""

    def build() -> Banners:
        first = bool(resources.settings("recog").get("first", False))
        recog = resources.setting_path("recog", "directory")
        return Banners(resources.path(FOLDER), recog, first, resources.overlays(FOLDER))

    return resources.shared("banner tables", build)


def _enricher(service: str, log: str, column: str, prefix: str) -> Enricher:
    def prepare(resources: Resources) -> Work:
        banners = load(resources)

        def work(keys: pl.DataFrame) -> pl.DataFrame:
            parsed = banners.parse_many(service, keys["banner"].fill_null("").to_list())
            return pl.DataFrame(
                {name: pl.Series([getattr(b, name) for b in parsed], dtype=pl.String) for name in SOFTWARE_FIELDS}
            )

        return work

    return Enricher(
        name=prefix.rstrip("."),
        doc=f"What the {service.replace('_', ' ')} banner in {log}.{column} says: product, version, vendor, system.",
        keys={"banner": pl.String},
        adds=dict.fromkeys(SOFTWARE_FIELDS, pl.String),
        uses=(Use((log,), (column,), prefix),),
        prepare=prepare,
        tables=(f"{FOLDER}/{service}.toml",),
    )


ENRICHERS = tuple(_enricher(*carrier) for carrier in CARRIERS)
