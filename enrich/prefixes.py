"""Values by address prefix: the longest prefix that covers an IPv4 or IPv6 address gives it its value."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl

from enrich.errors import TableError
from enrich.ip_numbers import FOUR, SIX, IpNumbers, ip_numbers

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Prefixes:
    """Looks up the value of the longest prefix over an address; ``default`` where no prefix covers it.

    The address space is cut at every prefix's border, so that a look-up is one binary search among sorted edges,
    whatever the number of prefixes. The first entry for a prefix stays. An IPv4-mapped IPv6 address (RFC 4291 section
    2.5.5.2) is looked up as the IPv4 address that it holds, and a prefix of such addresses is one of those.
    """

    def __init__(self, entries: Iterable[tuple[str, str]], default: str | None = None) -> None:
        """``entries``: prefixes in CIDR notation with their values. Raises TableError for what is no prefix."""
        networks: dict[Network, str] = {}
        for text, value in entries:
            try:
                networks.setdefault(_unmapped(ipaddress.ip_network(text)), value)
            except ValueError as error:
                raise TableError(f"not an address prefix: {error}") from error
        four, six = ([item for item in networks.items() if item[0].version == version] for version in (4, 6))
        self._four, self._six = _Pieces(four, FOUR, default), _Pieces(six, SIX, default)

    def of(self, addresses: pl.Series) -> pl.Series:
        """The value of each address, as strings; null for null and for what is no address."""
        return self.of_numbers(ip_numbers(addresses).unmapped())

    def of_numbers(self, numbers: IpNumbers) -> pl.Series:
        """The same, of addresses as numbers, unmapped."""
        out = pl.Series([None], dtype=pl.String).new_from_index(0, len(numbers.low))
        for width, pieces in ((FOUR, self._four), (SIX, self._six)):
            rows = np.flatnonzero(numbers.width == width)
            if len(rows):
                out = out.scatter(rows, pieces.of(numbers.at(rows)))
        return out


class _Pieces:
    """The addresses of one version, so many bytes wide, cut at every prefix's border."""

    def __init__(self, networks: Sequence[tuple[Network, str]], width: int, default: str | None) -> None:
        pieces = [piece for piece in _pieces(networks, default) if piece[0] < 256**width]
        self._width = width
        self._values = pl.Series([value for _, value in pieces], dtype=pl.String)
        self._edges = np.array([edge.to_bytes(width) for edge, _ in pieces], f"S{width}")

    def of(self, numbers: IpNumbers) -> pl.Series:
        """The value of each address."""
        octets = np.stack([numbers.high, numbers.low], axis=1).astype(">u8").view(np.uint8)[:, -self._width :]
        keys = np.ascontiguousarray(octets).view(f"S{self._width}").ravel()  # in the order of their numbers
        return self._values.gather(np.searchsorted(self._edges, keys, side="right") - 1)


def _unmapped(network: Network) -> Network:
    mapped = network.network_address.ipv4_mapped if network.version == 6 and network.prefixlen >= 96 else None
    return network if mapped is None else ipaddress.IPv4Network((mapped, network.prefixlen - 96))


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
