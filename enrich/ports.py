"""Service names by port and transport: the site's own, then names in use, then IANA's registry."""

from __future__ import annotations

import polars as pl

from enrich.errors import TableError
from enrich.model import Resources
from enrich.tables import read_csv

REGISTRY, IN_USE = "ports/iana.csv", "ports/in_use.csv"


def expand(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """One row a port and transport; the first row that speaks of a port wins. Raises TableError for a bad range."""
    numbers = table.with_columns(
        pl.col("port").cast(pl.UInt16, strict=False),
        pl.coalesce("last_port", "port").cast(pl.UInt16, strict=False).alias("last_port"),
    )
    wrong = numbers.select(
        pl.col("port").is_null() | pl.col("last_port").is_null() | (pl.col("port") > pl.col("last_port"))
    ).to_series()
    if wrong.any():
        row = ",".join(cell or "" for cell in table.filter(wrong).row(0))
        raise TableError(f"{name}: not a port or range of ports: {row}")
    return (
        numbers.with_columns(
            pl.int_ranges("port", pl.col("last_port").cast(pl.Int64) + 1, dtype=pl.UInt16).alias("port"),
            pl.col("transport").str.split("+"),
        )
        .explode("port", empty_as_null=False)
        .explode("transport", empty_as_null=False)
        .unique(["port", "transport"], keep="first", maintain_order=True)
        .drop("last_port")
    )


_COLUMNS = ["port", "last_port", "transport", "name"]


def services(resources: Resources) -> pl.DataFrame:
    """Service by port and transport, once a run: the site's own rows, then names in use, then IANA's."""

    def build() -> pl.DataFrame:
        return _services([(resources.csv(name).select(_COLUMNS), name) for name in (IN_USE, REGISTRY)])

    return resources.shared("services by port", build)


def own_services(resources: Resources) -> pl.DataFrame:
    """The same of the site's own rows alone."""
    none = pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String))
    own = [(path, name) for name in (IN_USE, REGISTRY) for path in resources.overlays(name)]
    rows = [(pl.concat([none, read_csv(path)], how="diagonal").select(_COLUMNS), name) for path, name in own]
    return _services([(none, IN_USE), *rows])


def _services(layers: list[tuple[pl.DataFrame, str]]) -> pl.DataFrame:
    names = pl.concat([expand(table, name) for table, name in layers])
    return names.unique(["port", "transport"], keep="first", maintain_order=True).rename({"name": "service"})
