"""IP addresses as numbers, many at a time: what looking them up and hashing them works on."""

from __future__ import annotations

import ipaddress
from socket import AF_INET6, inet_pton
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.uint64]
FOUR, SIX = 4, 16
"""Bytes of an address of either family."""
_HALF, _LOW, _MAPPED = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(0xFFFF)


class IpNumbers(NamedTuple):
    """Addresses as two numbers of 64 bits (an IPv4 address as the lower one), and how many bytes wide; 0 for none."""

    high: Numbers
    low: Numbers
    width: npt.NDArray[np.uint8]

    def at(self, rows: npt.NDArray[Any]) -> IpNumbers:
        """Those of some rows."""
        return IpNumbers(*(column[rows] for column in self))

    def address(self, row: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """That of one row, which has one."""
        high, low = int(self.high[row]), int(self.low[row])
        return ipaddress.IPv4Address(low) if self.width[row] == FOUR else ipaddress.IPv6Address(high << 64 | low)

    def unmapped(self) -> IpNumbers:
        """The same, an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) as the IPv4 address that it holds."""
        mapped = (self.width == SIX) & (self.high == 0) & (self.low >> _HALF == _MAPPED)
        low = np.where(mapped, self.low & _LOW, self.low)
        return IpNumbers(self.high, low, np.where(mapped, np.uint8(FOUR), self.width))


def ip_numbers(texts: pl.Series) -> IpNumbers:
    """The number of each address in its usual form; a zone (``%eth0``) does not count. Null is none."""
    octets = texts.str.split_exact(".", 3).struct.unnest().cast(pl.UInt8, strict=False)
    canonical = octets.select(pl.concat_str(pl.all(), separator=".")).to_series()
    is_four = (canonical == texts).fill_null(False).to_numpy()
    place = [pl.col(name).cast(pl.UInt64) * 256 ** (3 - at) for at, name in enumerate(octets.columns)]
    low = np.where(is_four, octets.select(pl.sum_horizontal(place)).to_series().to_numpy(), np.uint64(0))
    high, width = np.zeros(len(low), np.uint64), np.where(is_four, np.uint8(FOUR), np.uint8(0))
    rows = texts.str.contains(":", literal=True).fill_null(False).arg_true().to_numpy()
    packed = [_six(text) for text in texts.gather(rows)]
    halves = np.frombuffer(b"".join(packed), dtype=">u8").reshape(-1, 2)
    rows = rows[[bool(address) for address in packed]]
    high[rows], low[rows], width[rows] = halves[:, 0], halves[:, 1], SIX
    return IpNumbers(high, low, width)


def _six(text: str) -> bytes:
    try:
        return inet_pton(AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):  # no address; a text with NUL
        return b""
