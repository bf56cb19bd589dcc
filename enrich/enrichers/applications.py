"""What a name and a port claim about the application: evidence for the verdict, in columns that are not written out."""

from __future__ import annotations

import polars as pl

from enrich.applications import FOLDER, load
from enrich.model import Enricher, Resources, Use, Work
from enrich.names import host_name
from enrich.ports import own_services, services


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

    def claims(named: pl.DataFrame) -> dict[tuple[int, str], str]:
        found = {}
        for port, transport, service in named.select("port", "transport", "service").iter_rows():
            claim = catalogue.canonical(service)
            if claim is not None and catalogue.runs_over(claim, transport):
                found[port, transport] = claim
        return found

    # The site knows best what its ports are for; then what protocols claim, then what ports are called.
    claimed = claims(services(resources)) | catalogue.by_port | claims(own_services(resources))
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
