"""Values by address prefix: the longest prefix that covers an IPv4 or IPv6 address gives it its value."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from socket import AF_INET6, inet_pton

import numpy as np
import polars as pl

from enrich.errors import TableError

_MAPPED = bytes(10) + b"\xff\xff"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Prefixes:
    """Looks up the value of the longest prefix over an address; ``default`` where no prefix covers it.

    The address space is cut at every prefix's border, so that a look-up is one binary search among sorted edges,
    whatever the number of prefixes. The first entry for a prefix stays. An IPv4-mapped IPv6 address (RFC 4291 section
    2.5.5.2) is looked up as the IPv4 address that it holds.
    """

    def __init__(self, entries: Iterable[tuple[str, str]], default: str | None = None) -> None:
        """``entries``: prefixes in CIDR notation with their values. Raises TableError for what is no prefix."""
        networks: dict[Network, str] = {}
        for text, value in entries:
            try:
                networks.setdefault(ipaddress.ip_network(text), value)
            except ValueError as error:
                raise TableError(f"not an address prefix: {error}") from error
        four = [(network, value) for network, value in networks.items() if network.version == 4]
        six = [(network, value) for network, value in networks.items() if network.version == 6]
        pieces = list(_pieces(four, default))
        self._edges = np.array([edge for edge, _ in pieces], dtype=np.uint64)
        self._values = pl.Series([value for _, value in pieces], dtype=pl.String)
        pieces = list(_pieces(six, default))
        self._six_edges = [edge for edge, _ in pieces]
        self._six_values = [value for _, value in pieces]

    def of(self, addresses: pl.Series) -> pl.Series:
        """The value of each address, as strings; null for null and for what is no address."""
        text = addresses.cast(pl.String)
        octets = text.str.split_exact(".", 3).struct.unnest()
        place = [
            pl.col(name).cast(pl.UInt8, strict=False).cast(pl.UInt64) * 256 ** (3 - at)
            for at, name in enumerate(octets.columns)
        ]
        number = octets.select((place[0] + place[1] + place[2] + place[3]).alias("number")).to_series()
        is_four = (number.is_not_null() & (text.str.count_matches(".", literal=True) == 3)).fill_null(False)
        at = np.searchsorted(self._edges, number.fill_null(0).to_numpy(), side="right") - 1
        out = self._values.gather(at).set(~is_four, None)
        rest = (~is_four & text.is_not_null()).arg_true()
        return out.scatter(rest, [self._six(value) for value in text.gather(rest)]) if rest.len() else out

    def _six(self, text: str) -> str | None:
        try:
            packed = inet_pton(AF_INET6, text.partition("%")[0])
        except (OSError, ValueError):
            return None
        if packed.startswith(_MAPPED):
            at = np.searchsorted(self._edges, int.from_bytes(packed[12:]), side="right") - 1
            value: str | None = self._values[int(at)]
            return value
        return self._six_values[bisect_right(self._six_edges, int.from_bytes(packed)) - 1]


def _pieces(networks: Sequence[tuple[Network, str]], default: str | None) -> Iterator[tuple[int, str | None]]:
    """The first address of each piece of the address space, in order, and the piece's value; the first piece is 0.

    Of two prefixes one holds the other or they are apart, so a stack of open ones is enough.
    """
    at: dict[int, str | None] = {0: default}
    open_ones: list[tuple[int, str]] = []
    ordered = sorted(networks, key=lambda item: (int(item[0].network_address), item[0].prefixlen))
    for network, value in ordered:
        first = int(network.network_address)
        while open_ones and open_ones[-1][0] <= first:
            after, _ = open_ones.pop()
            at[after] = open_ones[-1][1] if open_ones else default
        at[first] = value
        open_ones.append((first + network.num_addresses, value))
    while open_ones:
        after, _ = open_ones.pop()
        at[after] = open_ones[-1][1] if open_ones else default
    yield from sorted(at.items())
