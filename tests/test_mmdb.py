"""Databases in MaxMind's format tell of many addresses what the format's own library tells of each."""

from __future__ import annotations

import ipaddress
import random
from pathlib import Path

import maxminddb
import mmdb
import polars as pl
import pytest

from enrich.enrichers.addresses import COUNTRY
from enrich.errors import ConfigError
from enrich.ip_numbers import ip_numbers
from enrich.mmdb import Database
from enrich.tables import MAPPINGS

NETWORKS = {
    "1.0.0.0/8": {"country_code": "AU"},
    "1.2.0.0/16": {"country": "CN"},
    "1.2.3.4/32": {"country": {"iso_code": "JP"}, "asn": "AS64500", "as_name": "One"},
    "128.0.0.0/1": {"autonomous_system_number": 64501, "autonomous_system_organization": "Half of all"},
    "2001:db8::/32": {"country_code": "NO", "organization": "Documents"},
    "2001:db8::1/128": {"country_code": "SE"},
    "fc00::/7": {"country_code": "too long", "asn": "none"},
}
FOUR = {network: record for network, record in NETWORKS.items() if ":" not in network}


def told(path: Path, *addresses: str | None) -> list[tuple[object, ...]]:
    return Database(path).of(ip_numbers(pl.Series(addresses, dtype=pl.String)).unmapped()).rows()


@pytest.mark.parametrize("bits", [24, 28, 32])
def test_every_size_of_record_and_both_versions(tmp_path: Path, bits: int) -> None:
    path = mmdb.write(tmp_path / "own.mmdb", NETWORKS, bits=bits)
    asked = (
        "1.255.0.1",
        "1.2.0.0",
        "1.2.3.4",
        "1.2.3.5",
        "127.9.9.9",
        "255.255.255.255",
        "::1.2.3.4",
        "::ffff:1.2.3.4",
    )
    assert told(path, *asked) == [
        ("AU", None, None),
        ("CN", None, None),
        ("JP", 64500, "One"),
        ("CN", None, None),
        (None, None, None),
        (None, 64501, "Half of all"),
        ("JP", 64500, "One"),
        ("JP", 64500, "One"),
    ]
    six = ("2001:db8::1", "2001:db8::2%eth0", "2001:db9::", "fd00::1", "::", "no address", "1.2.3", None)
    nothing = (None, None, None)
    assert told(path, *six) == [("SE", None, None), ("NO", None, "Documents"), *[nothing] * 6]


@pytest.mark.parametrize("bits", [24, 28, 32])
def test_a_database_of_ipv4_alone(tmp_path: Path, bits: int) -> None:
    path = mmdb.write(tmp_path / "four.mmdb", FOUR, bits=bits, ip_version=4)
    expected = [("JP", 64500, "One"), (None, None, None), (None, 64501, "Half of all")]
    assert told(path, "1.2.3.4", "102:304::1", "200.1.1.1") == expected


def test_a_number_that_no_autonomous_system_has_is_none(tmp_path: Path) -> None:
    path = mmdb.write(tmp_path / "own.mmdb", {"1.0.0.0/8": {"asn": "AS99999999999", "country_code": "AU"}})
    assert told(path, "1.1.1.1") == [("AU", None, None)]


def test_no_addresses(tmp_path: Path) -> None:
    assert told(mmdb.write(tmp_path / "own.mmdb", NETWORKS)) == []


ASN = {"autonomous_system_number": 1103, "autonomous_system_organization": "A network"}
COUNTRY_RECORD = {"country": {"iso_code": "NL"}}


@pytest.mark.parametrize(
    ("kind", "record", "expected"),
    [
        ("GeoLite2-Country", COUNTRY_RECORD, ("NL", None, None)),
        ("GeoLite2-City", {**COUNTRY_RECORD, "city": {"names": {"en": "Delft"}}}, ("NL", None, None)),
        ("GeoLite2-ASN", ASN, (None, 1103, "A network")),
        ("GeoIP2-ISP", {**ASN, "isp": "Another"}, (None, 1103, "A network")),
        ("GeoIP2-Enterprise", {**COUNTRY_RECORD, "traits": ASN}, ("NL", 1103, "A network")),
        ("GeoIP2-Connection-Type", {"connection_type": "Cellular"}, (None, None, None)),
        ("DBIP-Country-Lite", COUNTRY_RECORD, ("NL", None, None)),
        ("DBIP-ASN-Lite", ASN, (None, 1103, "A network")),
        ("DBIP-ASN-Lite (compat=GeoLite2-ASN)", ASN, (None, 1103, "A network")),
        ("DBIP-Location-ISP (compat=Enterprise)", {**COUNTRY_RECORD, "traits": ASN}, ("NL", 1103, "A network")),
        ("GeoLite2-Country", {"country": {"iso_code": 7}}, (None, None, None)),
        ("ours", {"country_code": "nl", "asn": "AS1103", "organization": "A network"}, ("NL", 1103, "A network")),
    ],
)
def test_kinds_of_databases(tmp_path: Path, kind: str, record: dict[str, object], expected: tuple[object, ...]) -> None:
    path = mmdb.write(tmp_path / "own.mmdb", {"145.94.0.0/16": record}, kind=kind)
    assert told(path, "145.94.1.1", "145.95.1.1", "2001:610::1") == [expected, (None, None, None), (None, None, None)]


def test_the_shipped_database_agrees_with_its_library_on_many_addresses() -> None:
    draw = random.Random(7)
    four = [str(ipaddress.IPv4Address(draw.getrandbits(32))) for _ in range(3000)]
    six = [str(ipaddress.IPv6Address(1 << 125 | draw.getrandbits(125))) for _ in range(1000)]
    six += [str(ipaddress.IPv6Address(0x2001 << 112 | draw.getrandbits(112))) for _ in range(1000)]
    mapped = [f"::ffff:{address}" for address in four[:100]]
    asked = [*four, *six, *mapped]
    with maxminddb.open_database(str(MAPPINGS / COUNTRY)) as reader:
        records = [reader.get(address.removeprefix("::ffff:")) for address in asked]
    expected = [record.get("country_code") if isinstance(record, dict) else None for record in records]
    assert [country for country, _, _ in told(MAPPINGS / COUNTRY, *asked)] == expected
    assert 1000 < sum(country is not None for country in expected) < len(asked)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mmdb"
    bad.write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigError, match=r"bad\.mmdb: not a MaxMind-format database"):
        Database(bad)


def test_a_database_that_is_cut_short_is_named(tmp_path: Path) -> None:
    whole = mmdb.write(tmp_path / "own.mmdb", NETWORKS).read_bytes()
    cut = tmp_path / "cut.mmdb"
    cut.write_bytes(whole[whole.index(b"\xab\xcd\xefMaxMind.com") :])
    with pytest.raises(ConfigError, match=r"cut\.mmdb: not a MaxMind-format database"):
        Database(cut)


@pytest.mark.parametrize(
    ("kind", "record"),
    [("GeoLite2-Country", {"country": {"iso_code": "NL"}}), ("GeoLite2-City", {"country": "NL"}), ("ours", ASN)],
)
def test_a_damaged_database_is_named_whatever_is_wrong_with_it(
    tmp_path: Path, kind: str, record: dict[str, object]
) -> None:
    path = mmdb.write(tmp_path / "own.mmdb", {"1.0.0.0/8": record, "2.0.0.0/8": {"country_code": "AU"}}, kind=kind)
    whole, draw, damaged = path.read_bytes(), random.Random(kind), 0
    for _ in range(400):
        data = bytearray(whole)
        data[draw.randrange(len(data))] = draw.randrange(256)
        path.unlink()  # the one before is still open
        path.write_bytes(data)
        try:
            told(path, "1.1.1.1", "2.2.2.2")
        except ConfigError as error:
            assert str(error).startswith(f"{path}: ")
            damaged += 1
    assert damaged > 20
