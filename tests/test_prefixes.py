"""The longest prefix over an address gives it its value, in both families and whatever the text."""

from __future__ import annotations

import ipaddress

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.errors import TableError
from enrich.prefixes import Network, Prefixes

NESTED = (
    ("10.0.0.0/8", "wide"),
    ("10.1.0.0/16", "narrow"),
    ("10.1.2.3/32", "one"),
    ("10.2.0.0/16", "beside"),
    ("255.255.255.255/32", "last"),
    ("2001:db8::/32", "six"),
    ("2001:db8:0:1::/64", "six narrow"),
)


def of(prefixes: Prefixes, *addresses: str | None) -> list[str | None]:
    return prefixes.of(pl.Series(addresses, dtype=pl.String)).to_list()


@pytest.mark.parametrize(
    "address, value",
    [
        ("10.0.255.255", "wide"),
        ("10.1.0.0", "narrow"),
        ("10.1.2.2", "narrow"),
        ("10.1.2.3", "one"),
        ("10.1.2.4", "narrow"),
        ("10.1.255.255", "narrow"),
        ("10.2.0.0", "beside"),
        ("10.3.0.0", "wide"),
        ("10.255.255.255", "wide"),
        ("9.255.255.255", None),
        ("11.0.0.0", None),
        ("0.0.0.0", None),
        ("255.255.255.254", None),
        ("255.255.255.255", "last"),
        ("2001:db8::1", "six"),
        ("2001:db8:0:1::1", "six narrow"),
        ("2001:db8:0:2::", "six"),
        ("2001:DB8::1%eth0", "six"),
        ("2001:db9::", None),
        ("::", None),
        ("::ffff:10.1.2.3", "one"),
        ("::ffff:11.1.2.3", None),
    ],
)
def test_the_longest_prefix_wins(address: str, value: str | None) -> None:
    assert of(Prefixes(NESTED), address) == [value]


@pytest.mark.parametrize(
    "text", [None, "", "x", "10.1.2", "10.1.2.3.4", "10.1.2.256", "10.1.2.-3", "1e1.0.0.0", "10.1.2.3/8"]
)
def test_what_is_no_address_has_no_value_and_no_default(text: str | None) -> None:
    assert of(Prefixes(NESTED, default="other"), text) == [None]


def test_a_default_is_for_addresses_that_no_prefix_covers() -> None:
    assert of(Prefixes(NESTED, default="other"), "10.0.0.1", "11.0.0.1", "fe80::1", "::ffff:11.0.0.1") == [
        "wide",
        "other",
        "other",
        "other",
    ]


def test_the_first_entry_for_a_prefix_stays() -> None:
    assert of(Prefixes([("10.0.0.0/8", "own"), ("10.0.0.0/8", "shipped")]), "10.0.0.1") == ["own"]


def test_a_prefix_of_mapped_addresses_is_one_of_those_that_they_hold() -> None:
    mapped = Prefixes([("::ffff:10.0.0.0/104", "ten"), ("::ffff:0:0/96", "four"), ("::/0", "six")])
    assert of(mapped, "10.1.1.1", "::ffff:10.1.1.1", "11.1.1.1", "::fffe:10.1.1.1") == ["ten", "ten", "four", "six"]


def test_no_prefixes_at_all() -> None:
    assert of(Prefixes([]), "10.0.0.1", "::1", None) == [None, None, None]


@pytest.mark.parametrize("prefix", ["10.0.0.1/8", "10.0.0.0/33", "example.com", ""])
def test_a_bad_prefix_is_named(prefix: str) -> None:
    with pytest.raises(TableError, match="not an address prefix"):
        Prefixes([(prefix, "x")])


FOUR = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda pair: ipaddress.ip_network((pair[0] >> (32 - pair[1]) << (32 - pair[1]), pair[1]))
)
SIX = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
    lambda pair: ipaddress.ip_network((ipaddress.IPv6Address(pair[0] >> (128 - pair[1]) << (128 - pair[1])), pair[1]))
)


@settings(deadline=None)
@given(st.lists(st.one_of(FOUR, SIX), max_size=12))
def test_it_agrees_with_looking_at_every_prefix(networks: list[Network]) -> None:
    """Asked at each prefix's borders and next to them, where mistakes would show."""
    value_of = {network: str(at) for at, network in reversed(list(enumerate(networks)))}
    borders = {
        edge + step
        for network in networks
        for edge in (network[0], network[-1])
        for step in (-1, 0, 1)
        if 0 <= int(edge) + step < 2**network.max_prefixlen
    }
    asked = [address for address in borders if getattr(address, "ipv4_mapped", None) is None]
    expected: list[str | None] = []
    for address in asked:
        over = [network for network in value_of if network.version == address.version and address in network]
        expected.append(value_of[max(over, key=lambda network: network.prefixlen)] if over else None)
    prefixes = Prefixes((str(network), str(at)) for at, network in enumerate(networks))
    assert of(prefixes, *map(str, asked)) == expected
