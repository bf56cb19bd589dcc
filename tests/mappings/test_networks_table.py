"""The tables of organisations' own networks: well formed, and saying what everybody can check."""

from __future__ import annotations

import csv
import ipaddress
from pathlib import Path

import polars as pl
import pytest

from enrich import applications, networks
from enrich.errors import TableError
from enrich.tables import Tables, provenance

PATHS = sorted((Path(__file__).parents[2] / "mappings" / "networks").glob("*.csv"))
ROWS = [
    (path.name, row)
    for path in PATHS
    for row in csv.DictReader(line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
]


def of(tables: Tables, *addresses: str) -> list[str | None]:
    return networks.load(tables).of(pl.Series(addresses)).to_list()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_table_says_where_it_comes_from(path: Path) -> None:
    assert provenance(path).source


def test_every_row_is_a_prefix_of_a_known_application() -> None:
    catalogue = applications.load(Tables())
    for name, row in ROWS:
        assert row.keys() == {"prefix", "application", "note"}, name
        assert str(ipaddress.ip_network(row["prefix"])) == row["prefix"], (name, row)
        assert row["application"] in catalogue.applications, (name, row)


def test_every_prefix_is_public_stands_once_and_says_something_new() -> None:
    by_network = {ipaddress.ip_network(row["prefix"]): row["application"] for _, row in ROWS}
    assert len(by_network) == len(ROWS)
    for network, application in by_network.items():
        assert network.is_global, network
        wider = (network.supernet(new_prefix=length) for length in range(network.prefixlen - 1, 0, -1))
        around = next((by_network[other] for other in wider if other in by_network), None)
        assert around != application, f"{network} lies in a wider network of {application}"


def test_single_addresses_are_published_ones() -> None:
    """A prefix of one address is no network of an organisation; Tor's authorities are in its source code."""
    single = [row for _, row in ROWS if ipaddress.ip_network(row["prefix"]).num_addresses == 1]
    assert {row["application"] for row in single} == {"tor"}


@pytest.mark.parametrize(
    "address, application",
    [
        ("157.240.22.35", "facebook"),
        ("2a03:2880:f12f:83:face:b00c:0:25de", "facebook"),
        ("149.154.167.50", "telegram"),
        ("2001:67c:4e8:f002::a", "telegram"),
        ("17.253.144.10", "apple"),
        ("17.252.1.2", "applepush"),
        ("142.251.36.14", "google"),
        ("142.250.82.10", "googlemeet"),
        ("52.113.194.132", "teams"),
        ("140.82.121.4", "github"),
        ("162.125.66.18", "dropbox"),
        ("208.80.154.224", "wikipedia"),
        ("34.120.1.1", None),
        ("77.234.41.10", "avast"),
        ("185.88.236.10", "threema"),
        ("69.49.100.1", None),
        ("104.16.1.1", None),
        ("52.216.1.1", None),
        ("10.0.0.1", None),
    ],
)
def test_well_known_addresses(address: str, application: str | None) -> None:
    assert of(Tables(), address) == [application]


def test_a_site_lays_its_own_prefixes_over(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("prefix,application\n203.0.113.0/24,intranet\n157.240.0.0/16,blocked\n")
    tables = Tables(config={"tables": {"networks": "own.csv"}}, config_path=tmp_path / "site.toml")
    assert of(tables, "203.0.113.7", "157.240.22.35", "31.13.64.1") == ["intranet", "blocked", "facebook"]


@pytest.mark.parametrize(
    "row, reason",
    [
        ("203.0.113.1/24,x", "203.0.113.1/24"),
        ("203.0.113.0/24,", "line 2: every row needs"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "own.csv").write_text(f"prefix,application\n{row}\n")
    tables = Tables(config={"tables": {"networks": "own.csv"}}, config_path=tmp_path / "site.toml")
    with pytest.raises(TableError, match=reason):
        networks.load(tables)
