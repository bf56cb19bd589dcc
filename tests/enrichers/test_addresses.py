"""Scope, country and autonomous system of addresses, with databases of the shipped flat kind and a site's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmdb
import polars as pl
import pytest

from enrich.enrichers.addresses import ENRICHER
from enrich.tables import Tables


def looked_up(*addresses: str | None, tables: Tables | None = None) -> list[dict[str, Any]]:
    work = ENRICHER.prepare(tables or Tables())
    return work(pl.DataFrame({"ip": pl.Series(addresses, dtype=pl.String)})).to_dicts()


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("11.0.0.0", "public"),
        ("172.15.255.255", "public"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.0", "public"),
        ("192.168.1.1", "private"),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link_local"),
        ("100.64.0.1", "cgnat"),
        ("100.63.255.255", "public"),
        ("100.128.0.0", "public"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("8.8.8.8", "public"),
        ("::1", "loopback"),
        ("fe80::1", "link_local"),
        ("fd00::1", "private"),
        ("ff02::fb", "multicast"),
        ("2001:db8::1", "documentation"),
        ("2606:4700:4700::1111", "public"),
        ("192.0.0.8", "reserved"),
        ("192.0.0.9", "public"),
        ("64:ff9b::808:808", "public"),
        ("64:ff9b:1::1", "private"),
        ("100:0:0:1::1", "reserved"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "public"),
        ("2001:1::1", "public"),
        ("2001:1::4", "reserved"),
        ("2001:2::1", "reserved"),
        ("2001:4:112::1", "public"),
        ("2001:5::1", "reserved"),
        ("2001:10::1", "reserved"),
        ("2001:20::1", "public"),
        ("2001:1ff::1", "reserved"),
        ("2001:200::1", "public"),
        ("2002:808:808::1", "public"),
        ("4000::1", "reserved"),
        ("::2", "reserved"),
        ("::ffff:8.8.8.8", "public"),
        ("::ffff:10.0.0.1", "private"),
        ("not an address", None),
        ("999.1.1.1", None),
        ("", None),
        (None, None),
    ],
)
def test_scope(address: str | None, scope: str | None) -> None:
    assert looked_up(address)[0]["scope"] == scope


def test_country_of_public_addresses_only() -> None:
    rows = looked_up("8.8.8.8", "2001:4860:4860::8888", "193.0.6.139", "10.0.0.1", "192.0.2.1", None)
    assert [row["country"] for row in rows] == ["US", "US", "NL", None, None, None]
    assert {row["asn"] for row in rows} == {None}


def test_a_site_s_own_databases_are_asked_first_and_the_shipped_one_fills_in(tmp_path: Path) -> None:
    mmdb.write(tmp_path / "asn.mmdb", {"8.8.8.0/24": {"asn": 15169, "as_name": "Ours"}})
    mmdb.write(tmp_path / "city.mmdb", {"193.0.0.0/16": {"country": "ZZ"}})
    tables = Tables({"databases": {"asn": "asn.mmdb", "city": "city.mmdb"}}, tmp_path / "site.toml")
    google, other = looked_up("8.8.8.8", "193.0.6.139", tables=tables)
    assert google == {"scope": "public", "country": "US", "asn": 15169, "as_org": "Ours"}
    assert other["country"] == "ZZ"


def test_only_public_addresses_are_looked_up_mapped_ones_too(tmp_path: Path) -> None:
    mmdb.write(tmp_path / "own.mmdb", {"10.0.0.0/8": {"country": "ZZ"}, "9.0.0.0/8": {"country": "ZZ"}})
    tables = Tables({"databases": {"own": "own.mmdb"}}, tmp_path / "site.toml")
    rows = looked_up("10.0.0.1", "9.9.9.9", "::ffff:9.9.9.9", "::ffff:10.0.0.1", tables=tables)
    assert [(row["scope"], row["country"]) for row in rows] == [
        ("private", None),
        ("public", "ZZ"),
        ("public", "ZZ"),
        ("private", None),
    ]
