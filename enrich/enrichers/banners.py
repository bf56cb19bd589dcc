"""Banners: what servers and clients say they are, in every log that carries a banner."""

from __future__ import annotations

import polars as pl

from enrich.banners import Banner, Banners
from enrich.columns import CARRIERS, SOFTWARE_FIELDS, SOFTWARE_TYPES, Carrier
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
        if carrier.service is not None:
            banners.prepare(carrier.service)

        def work(keys: pl.DataFrame) -> pl.DataFrame:
            parsed = [
                banners.parse(service, text) if service in banners.services else EMPTY
                for service, text in _texts(carrier, keys).iter_rows()
            ]
            return pl.DataFrame(
                {name: pl.Series([getattr(b, name) for b in parsed], dtype=pl.String) for name in SOFTWARE_FIELDS}
            )

        return work

    keys, columns = {"banner": pl.String}, [carrier.column]
    if carrier.only is not None:
        keys["condition"] = pl.String
        columns.append(carrier.only[0])
    if carrier.instead is not None:
        keys["instead"] = pl.String
        columns.append(carrier.instead[1])
    if carrier.service is None:
        keys["service"] = pl.String
        columns.append(carrier.named_by)
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


def _texts(carrier: Carrier, keys: pl.DataFrame) -> pl.DataFrame:
    """The service and the text of each banner; "" where there is none."""
    service: pl.Expr = pl.lit(carrier.service) if carrier.service is not None else pl.col("service")
    service, text = service.replace({kind: of for kind, (of, _) in SOFTWARE_TYPES.items()}), pl.col("banner")
    if carrier.instead is not None:
        service = pl.when(text.is_null()).then(pl.lit(carrier.instead[0])).otherwise(service)
        text = pl.coalesce(text, "instead")
    if carrier.only is not None:
        text = pl.when(pl.col("condition").eq_missing(pl.lit(carrier.only[1]))).then(text)
    return keys.select(service.alias("service"), text.fill_null("").alias("text"))


ENRICHERS = tuple(map(_enricher, CARRIERS))
