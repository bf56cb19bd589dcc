"""Ports: what the responder port asserts, whether it deserves care, and the class of the originator port."""

from __future__ import annotations

import polars as pl

from enrich.model import Enricher, Resources, Use, Work
from enrich.ports import IN_USE, REGISTRY, expand, services

CARE = "ports/care.csv"


def prepare(resources: Resources) -> Work:
    """Lay the tables over each other; the work is one join."""
    care = expand(resources.csv(CARE), CARE)
    known = services(resources).join(
        care.select("port", "transport", "group", "note"), on=["port", "transport"], how="full", coalesce=True
    )

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        found = keys.join(
            known, left_on=["port", "proto"], right_on=["port", "transport"], how="left", maintain_order="left"
        )
        return found.select(
            pl.col("service").alias("port.service"),
            pl.col("group").alias("port.group"),
            pl.col("note").alias("port.note"),
        )

    return work


def _prepare_class(_: Resources) -> Work:
    def work(keys: pl.DataFrame) -> pl.DataFrame:
        port = pl.col("port")
        return keys.select(
            pl.when(~pl.col("proto").is_in(["tcp", "udp", "sctp", "dccp"]) | port.is_null())
            .then(None)
            .when(port < 1024)
            .then(pl.lit("privileged"))
            .when(port < 49152)
            .then(pl.lit("registered"))
            .otherwise(pl.lit("ephemeral"))
            .alias("orig.port_class")
        )

    return work


ENRICHER = Enricher(
    name="ports",
    doc="What the responder port asserts (IANA's name or the site's own), and why some ports deserve care.",
    keys={"port": pl.UInt16, "proto": pl.String},
    adds={"port.service": pl.String, "port.group": pl.String, "port.note": pl.String},
    uses=(Use(("conn",), ("id.resp_p", "proto")),),
    prepare=prepare,
    tables=(IN_USE, REGISTRY, CARE),
)
PORT_CLASS = Enricher(
    name="port_class",
    doc="Class of the originator port (RFC 6335 section 6).",
    keys={"port": pl.UInt16, "proto": pl.String},
    adds={"orig.port_class": pl.String},
    uses=(Use(("conn",), ("id.orig_p", "proto")),),
    prepare=_prepare_class,
    distinct=False,
)
