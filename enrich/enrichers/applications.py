"""What a name and a port claim about the application: evidence for the verdict, in columns that are not written out."""

from __future__ import annotations

import polars as pl

from enrich.applications import FOLDER, Catalogue, load
from enrich.model import Enricher, Resources, Use, Work
from enrich.names import host_name
from enrich.services import services


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


def asserted(catalogue: Catalogue, port: int | None, transport: str | None, service: str | None) -> str | None:
    """The protocol that a port asserts: the site's or the catalogue's claim, else what its registered name means."""
    if port is None or transport is None:
        return None
    claimed = catalogue.by_port.get((port, transport))
    return claimed or (catalogue.canonical(service) if service else None)


def _prepare_ports(resources: Resources) -> Work:
    catalogue = load(resources)
    names = {(port, transport): name for port, transport, name in services(resources).select("port", "transport", "service").iter_rows()}

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        claims = [asserted(catalogue, port, proto, names.get((port, proto))) for port, proto in keys.iter_rows()]
        return pl.DataFrame({"asserts": pl.Series(claims, dtype=pl.String)})

    return work


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
)
