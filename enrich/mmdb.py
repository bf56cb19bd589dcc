"""Databases in MaxMind's format, of any publisher, asked for many addresses at a time.

The search tree is walked for all of them at once, and each record that they lead to is read once, by the library.
Source: the MaxMind DB file format specification, version 2.0.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.errors import ConfigError
from enrich.ip_numbers import FOUR, SIX, IpNumbers, Numbers

TELLS = {"country": pl.String, "asn": pl.UInt32, "as_org": pl.String}
Record = dict[str, object]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Nodes = npt.NDArray[np.int64]
# The kinds that MaxMind's own library knows, in its words, and its methods for them.
_METHODS = {
    "GeoLite2-ASN": "asn",
    "GeoIP2-ISP": "isp",
    "Enterprise": "enterprise",
    "City": "city",
    "Country": "country",
}
_COUNTRY, _ASN = re.compile("[A-Za-z]{2}"), re.compile("[0-9]{1,10}")


class Database:
    """Country, number and organisation of the autonomous system of addresses, as far as a database tells them.

    ``kind`` is what its publisher calls its kind, ``built`` the day on which it was made.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises ConfigError for what is no such database."""
        import maxminddb

        self.path, self._broken = path, maxminddb.InvalidDatabaseError
        try:
            reader = maxminddb.open_database(str(path))
            about = reader.metadata()
            self._tree = _Tree(path, about.node_count, about.record_size, about.ip_version)
            self.kind = about.database_type
            self.built = datetime.fromtimestamp(about.build_epoch, UTC).date().isoformat()
        except (OSError, ValueError, OverflowError, self._broken) as error:
            raise ConfigError(f"{path}: not a MaxMind-format database: {error}") from error
        self._read = _geoip2(path, about.database_type) or _plainly(reader)

    def of(self, numbers: IpNumbers) -> pl.DataFrame:
        """What is told of addresses, given as numbers, unmapped: the columns of ``TELLS``, null where nothing is.

        Raises ConfigError where the database is damaged.
        """
        records, first, of_row = np.unique(self._tree.records(numbers), return_index=True, return_inverse=True)
        try:
            told = [
                self._read(numbers.address(row)) if record else {} for record, row in zip(records, first, strict=True)
            ]
        except (self._broken, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.path}: damaged: {error}") from error
        columns = {name: [record.get(name) for record in told] for name in TELLS}
        return pl.DataFrame(columns, schema=TELLS, strict=False)[of_row]


class _Tree:
    """The search tree: nodes of two records each, one for either value of an address's next bit."""

    def __init__(self, path: Path, nodes: int, record_bits: int, ip_version: int) -> None:
        self._nodes, self._bits, self._has_six = nodes, record_bits, ip_version == 6
        size = nodes * record_bits // 4
        self._bytes = np.asarray(np.memmap(path, np.uint8, "r"))
        if record_bits not in (24, 28, 32) or len(self._bytes) < size:
            raise ValueError(f"a search tree of {nodes} nodes of two records of {record_bits} bits is not in it")
        zeros = (np.zeros(1, np.uint64), np.zeros(1, np.uint64))
        # IPv4 addresses are behind 96 zeros where there are IPv6 addresses, too.
        self._four = int(self._walk(0, zeros, 96)[0]) if self._has_six else 0

    def records(self, numbers: IpNumbers) -> Nodes:
        """Which record each address leads to, from 1; 0 for none."""
        out = np.zeros(len(numbers.low), np.int64)
        for width, start, bits in ((FOUR, self._four, 32), (SIX, 0, 128)):
            rows = np.flatnonzero(numbers.width == width)
            if len(rows) and (width == FOUR or self._has_six):
                high, low = numbers.high[rows], numbers.low[rows]
                ends = self._walk(start, (low << np.uint64(32), low) if width == FOUR else (high, low), bits)
                out[rows] = np.maximum(ends - self._nodes, 0)
        return out

    def _walk(self, start: int, halves: tuple[Numbers, Numbers], bits: int) -> Nodes:
        """From a node, along so many bits of each pair of halves, to what is no node any more."""
        at = np.full(len(halves[0]), start)
        for bit in range(bits):
            inner = np.flatnonzero(at < self._nodes)
            if not len(inner):
                break
            side = halves[bit // 64][inner] >> np.uint64(63 - bit % 64) & np.uint64(1)
            at[inner] = self._next(at[inner], side.astype(np.int64))
        return at

    def _next(self, nodes: Nodes, side: Nodes) -> Nodes:
        """The left or right (0, 1) record of each node."""
        step = self._bits // 4
        first = nodes * step + side * (step - self._bits // 8)  # of 28 bits, the middle byte is half of either record's
        number = np.zeros(len(nodes), np.int64)
        for place in range(self._bits // 8):
            number = number << 8 | self._bytes[first + place]
        if self._bits == 28:
            middle = self._bytes[nodes * step + 3].astype(np.int64)
            number |= np.where(side == 1, middle & 0x0F, middle >> 4) << 24
        return number


def _geoip2(path: Path, kind: str) -> Callable[[Address], Record] | None:
    """How a database of a kind that MaxMind's own library knows is asked; None for another."""
    method = next((method for name, method in _METHODS.items() if name in kind), None)
    if method is None:
        return None
    import geoip2.database
    import geoip2.errors

    ask = getattr(geoip2.database.Reader(str(path)), method)

    def read(address: Address) -> Record:
        try:
            answer = ask(address)
        except geoip2.errors.AddressNotFoundError:
            return {}
        network = getattr(answer, "traits", answer)
        number, organisation = network.autonomous_system_number, network.autonomous_system_organization
        return _told(answer.country.iso_code if hasattr(answer, "country") else None, number, organisation)

    return read


def _plainly(reader: Any) -> Callable[[Address], Record]:
    """How a database is asked that MaxMind's own library does not know: by the names that publishers use."""

    def read(address: Address) -> Record:
        record = reader.get(address)
        if not isinstance(record, dict):
            return {}
        country = record.get("country_code") or record.get("country")
        number = record.get("autonomous_system_number") or record.get("asn")
        organisation = record.get("autonomous_system_organization") or record.get("as_name")
        code = country.get("iso_code") if isinstance(country, dict) else country
        return _told(code, number, organisation or record.get("organization"))

    return read


def _told(country: object, number: object, organisation: object) -> Record:
    """What a record says, without what cannot be."""
    digits = number.upper().removeprefix("AS") if isinstance(number, str) else str(number)
    return {
        "country": country.upper() if isinstance(country, str) and _COUNTRY.fullmatch(country) else None,
        "asn": int(digits) if _ASN.fullmatch(digits) else None,
        "as_org": organisation if isinstance(organisation, str) else None,
    }
