"""First payloads: the protocol that the first bytes of each side belong to, in logs that keep these bytes."""

from __future__ import annotations

import polars as pl

from enrich.model import Enricher, Resources, Use, Work
from enrich.payload import FOLDER, load


def prepare(resources: Resources) -> Work:
    """Load the signatures; the work matches each flow's two payloads against all of them."""
    payloads = load(resources)

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        return payloads.identify_many(keys).select("protocol", "rule")

    return work


ENRICHER = Enricher(
    name="payload",
    doc="Protocol that the first payloads of a flow belong to, and the signature that says so.",
    keys={
        "transport": pl.String,
        "resp_port": pl.UInt16,
        "orig": pl.String,
        "resp": pl.String,
        "orig_port": pl.UInt16,
    },
    adds={"protocol": pl.String, "rule": pl.String},
    uses=(Use(("payload",), ("proto", "id.resp_p", "orig_payload_hex", "resp_payload_hex", "id.orig_p"), "payload."),),
    prepare=prepare,
    tables=(FOLDER,),
    distinct=False,
)
