"""Databases in MaxMind's format, of any publisher, asked for many addresses at a time.

The search tree is walked for all of them at once, and each record that they lead to is read once, by the library.
Source: the MaxMind DB file format specification, version 2.0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.errors import ConfigError
from enrich.ip_numbers import FOUR, SIX, IpNumbers, Numbers

TELLS = {"country": pl.String, "asn": pl.UInt32, "as_org": pl.String}
Record = dict[str, object]
Nodes = npt.NDArray[np.int64]


class Database:
    """Country, number and organisation of the autonomous system of addresses, as far as a database tells them."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises ConfigError for what is no such database."""
        import maxminddb

        self._path, self._broken = path, maxminddb.InvalidDatabaseError
        try:
            reader = maxminddb.open_database(str(path))
            about = reader.metadata()
            self._tree = _Tree(path, about.node_count, about.record_size, about.ip_version)
        except (OSError, ValueError, self._broken) as error:
            raise ConfigError(f"{path}: not a MaxMind-format database: {error}") from error
        self._look_up = _geoip2(path, about.database_type) or _flat(reader)

    def of(self, texts: pl.Series, numbers: IpNumbers) -> pl.DataFrame:
        """What is told of addresses, given as texts and as numbers: the columns of ``TELLS``, null where nothing is.

        Raises ConfigError where the database is damaged.
        """
        records, first, of_row = np.unique(self._tree.records(numbers), return_index=True, return_inverse=True)
        samples = texts.gather(first).str.split("%").list.first()
        try:
            told = [self._look_up(text) if record else {} for record, text in zip(records, samples, strict=True)]
        except self._broken as error:
            raise ConfigError(f"{self._path}: damaged: {error}") from error
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


def _flat(reader: Any) -> Callable[[str], Record]:
    """How a database is asked that MaxMind's own library does not know."""

    def look_up(address: str) -> Record:
        record = reader.get(address)
        if not isinstance(record, dict):
            return {}
        country = record.get("country_code") or record.get("country")
        if isinstance(country, dict):
            country = country.get("iso_code")
        asn = record.get("autonomous_system_number") or record.get("asn")
        org = record.get("autonomous_system_organization") or record.get("as_name") or record.get("organization")
        number = asn.upper().removeprefix("AS") if isinstance(asn, str) else asn
        return {
            "country": country if isinstance(country, str) and len(country) == 2 else None,
            "asn": int(number) if isinstance(number, int) or (isinstance(number, str) and number.isdecimal()) else None,
            "as_org": org if isinstance(org, str) else None,
        }

    return look_up


def _geoip2(path: Path, kind: str) -> Callable[[str], Record] | None:
    """How a database of a kind that MaxMind's own library knows is asked; None for another."""
    if not kind.startswith(("GeoIP2", "GeoLite2", "DBIP")):
        return None
    import geoip2.database
    import geoip2.errors

    reader = geoip2.database.Reader(str(path))
    methods = {
        "ASN": reader.asn, "ISP": reader.isp, "City": reader.city,
        "Enterprise": reader.enterprise, "Country": reader.country,
    }  # fmt: skip
    method = next((method for name, method in methods.items() if name in kind), None)
    if method is None:  # it tells of other things
        return None

    def look_up(address: str) -> Record:
        try:
            answer = method(address)
        except geoip2.errors.AddressNotFoundError:
            return {}
        country = getattr(answer, "country", None)
        return {
            "country": country.iso_code if country is not None else None,
            "asn": getattr(answer, "autonomous_system_number", None),
            "as_org": getattr(answer, "autonomous_system_organization", None),
        }

    return look_up
