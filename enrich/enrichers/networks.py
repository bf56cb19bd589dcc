"""Whose network each side of a flow lies in: evidence for the verdict, in columns that are not written out."""

from __future__ import annotations

import polars as pl

from enrich.model import Enricher, Resources, Use, Work
from enrich.networks import FOLDER, load


def _prepare(resources: Resources) -> Work:
    networks = load(resources)

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame({"app": networks.of(keys["ip"])})

    return work


ENRICHER = Enricher(
    name="networks",
    doc="Application whose own network each address lies in.",
    keys={"ip": pl.String},
    adds={"app": pl.String},
    uses=(Use(("conn",), ("id.resp_h",), "_resp_network_"), Use(("conn",), ("id.orig_h",), "_orig_network_")),
    prepare=_prepare,
    tables=(FOLDER,),
)
