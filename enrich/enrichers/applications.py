"""What a name and a port claim about the application: evidence for the verdict, in columns that are not written out."""

from __future__ import annotations

import polars as pl

from enrich.applications import FOLDER, load
from enrich.model import Enricher, Resources, Use, Work
from enrich.names import host_name
from enrich.ports import services


def _prepare_names(resources: Resources) -> Work:
    catalogue = load(resources)

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        found = [catalogue.application_of(name) if (name := host_name(text)) else None for text in keys["name"]]
        return pl.DataFrame(
            {
                "app": pl.Series([pair and pair[0] for pair in found], dtype=pl.String),
                "by": pl.Series([pair and pair[1] for pair in found], dtype=pl.String),
            }
        )

    return work


def _prepare_ports(resources: Resources) -> Work:
    catalogue = load(resources)
    named = services(resources).select("port", "transport", "service")
    claimed = dict(catalogue.by_port)
    for port, transport, service in named.iter_rows():
        claim = catalogue.canonical(service)
        if claim is not None and catalogue.runs_over(claim, transport):
            claimed.setdefault((port, transport), claim)
    known = pl.DataFrame(
        [(port, transport, name) for (port, transport), name in claimed.items()],
        schema={"port": pl.UInt16, "proto": pl.String, "asserts": pl.String},
        orient="row",
    )
    return lambda keys: keys.join(known, on=["port", "proto"], how="left", maintain_order="left").select("asserts")


NAMES = Enricher(
    name="applications",
    doc="Application that a flow's name, and the one name of its server, belong to.",
    keys={"name": pl.String},
    adds={"app": pl.String, "by": pl.String},
    uses=(Use(("conn",), ("resp.name",), "_name_"), Use(("conn",), ("_server_name",), "_server_")),
    prepare=_prepare_names,
    tables=(FOLDER,),
)
PORTS = Enricher(
    name="assertions",
    doc="Protocol that each side's port asserts.",
    keys={"port": pl.UInt16, "proto": pl.String},
    adds={"asserts": pl.String},
    uses=(Use(("conn",), ("id.resp_p", "proto"), "_resp_"), Use(("conn",), ("id.orig_p", "proto"), "_orig_")),
    prepare=_prepare_ports,
    tables=(FOLDER,),
    distinct=False,
)
