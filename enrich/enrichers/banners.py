"""Banners: what servers and clients say they are, in every log that carries a banner."""

from __future__ import annotations

import polars as pl

from enrich.banners import Banner, Banners
from enrich.columns import CARRIERS, SOFTWARE_FIELDS, Carrier
from enrich.model import Enricher, Resources, Use, Work

FOLDER = "banners"
EMPTY = Banner()


def load(resources: Resources) -> Banners:
    """The banner tables, with the site's own (``[tables] banners``) and its Recog directory (``[recog] directory``)."""

    def build() -> Banners:
        first = bool(resources.settings("recog").get("first", False))
        recog = resources.setting_path("recog", "directory")
        return Banners(resources.path(FOLDER), recog, first, resources.overlays(FOLDER))

    return resources.shared("banner tables", build)


def _enricher(carrier: Carrier) -> Enricher:
    def prepare(resources: Resources) -> Work:
        banners = load(resources)

        def work(keys: pl.DataFrame) -> pl.DataFrame:
            texts = keys["banner"].fill_null("")
            if carrier.only is not None:
                texts = texts.set((keys["condition"] != carrier.only[1]).fill_null(True), "")
            services = keys["service"] if carrier.service is None else [carrier.service] * keys.height
            parsed = [
                banners.parse(service, text) if service in banners.services else EMPTY
                for service, text in zip(services, texts, strict=True)
            ]
            return pl.DataFrame(
                {name: pl.Series([getattr(b, name) for b in parsed], dtype=pl.String) for name in SOFTWARE_FIELDS}
            )

        return work

    keys, columns = {"banner": pl.String}, [carrier.column]
    if carrier.only is not None:
        keys["condition"] = pl.String
        columns.append(carrier.only[0])
    if carrier.service is None:
        keys["service"] = pl.String
        columns.append("service")
    what = (carrier.service or "service's").replace("_", " ")
    return Enricher(
        name=carrier.prefix.rstrip("."),
        doc=f"What the {what} banner in {carrier.log}.{carrier.column} says: product, version, vendor, system.",
        keys=keys,
        adds=dict.fromkeys(SOFTWARE_FIELDS, pl.String),
        uses=(Use((carrier.log,), tuple(columns), carrier.prefix),),
        prepare=prepare,
        tables=(FOLDER if carrier.service is None else f"{FOLDER}/{carrier.service}.toml",),
    )


ENRICHERS = tuple(map(_enricher, CARRIERS))
