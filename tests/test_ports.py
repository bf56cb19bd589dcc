"""Service names by port: layers, ranges, and rows that cannot be read."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from enrich.enrichers.applications import PORTS
from enrich.errors import TableError
from enrich.ports import IN_USE, expand, services
from enrich.tables import Tables

HEADER = "port,last_port,transport,name,description\n"


def site(folder: Path, rows: str) -> Tables:
    (folder / "ours.csv").write_text(HEADER + rows)
    return Tables(config={"tables": {IN_USE: "ours.csv"}}, config_path=folder / "site.toml")


def named(tables: Tables, port: int, transport: str) -> str | None:
    found = services(tables).filter((pl.col("port") == port) & (pl.col("transport") == transport))["service"]
    return found.item() if found.len() else None


def test_the_site_then_what_is_in_use_then_the_registry(tmp_path: Path) -> None:
    tables = site(tmp_path, "80,,tcp,intranet,\n40000,40002,tcp+udp,cameras,\n")
    assert named(tables, 80, "tcp") == "intranet"
    assert named(tables, 80, "udp") == named(Tables(), 80, "udp")
    assert [named(tables, port, "udp") for port in (40000, 40002)] == ["cameras", "cameras"]
    assert named(Tables(), 80, "tcp") == "http"  # the registry says www-http
    assert named(Tables(), 22, "tcp") == "ssh"


@pytest.mark.parametrize("row", ["x,,tcp,a", "70000,,tcp,a", "20,10,tcp,a", "1,70000,udp,a"])
def test_a_row_that_is_no_range_is_named(row: str) -> None:
    cells = [cell or None for cell in row.split(",")]
    table = pl.DataFrame([cells], ["port", "last_port", "transport", "name"], orient="row")
    with pytest.raises(TableError, match=f"^ports.csv: not a port or range of ports: {row}$"):
        expand(table, "ports.csv")


def test_a_row_without_a_port_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"ours\.csv, line 3: every row needs a value in column port"):
        site(tmp_path, "80,,tcp,good,\n,,tcp,a,\n").csv(IN_USE)
    with pytest.raises(TableError, match=r"ours\.csv, line 5: every row needs a value in column port"):
        site(tmp_path, "# of the lab\n80,,tcp,good,\n\n,,tcp,a,\n").csv(IN_USE)


def test_what_the_site_calls_a_port_is_what_it_asserts(tmp_path: Path) -> None:
    tables = site(tmp_path, "443,,tcp,ssh,\n8080,8081,tcp,postgresql,\n80,,tcp,intranet,\n")
    keys = pl.DataFrame({"port": pl.Series([443, 8081, 80, 22], dtype=pl.UInt16), "proto": "tcp"})
    assert PORTS.prepare(tables)(keys).to_series().to_list() == ["ssh", "postgresql", "http", "ssh"]
    assert PORTS.prepare(Tables())(keys).to_series().to_list()[0] == "tls"
