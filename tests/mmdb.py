"""Writes databases in MaxMind's format (its specification, version 2.0), as small as tests need them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_SEPARATOR, _MARK = bytes(16), b"\xab\xcd\xefMaxMind.com"
_TEXT, _MAP, _LIST, _TWO_BYTES, _FOUR_BYTES, _EIGHT_BYTES = 2, 7, 11, 5, 6, 9
_LARGEST = 28


class _Number(NamedTuple):
    kind: int
    value: int


def write(
    path: Path,
    records: Mapping[str, Mapping[str, object]],
    *,
    kind: str = "Test",
    bits: int = 24,
    ip_version: int = 6,
) -> Path:
    """A database that tells a record of each network; IPv4 ones lie behind 96 zeros where IPv6 has a place, too."""
    tree: list[list[int | bytes | None]] = [[None, None]]
    networks = ((ipaddress.ip_network(text), record) for text, record in records.items())
    for network, record in sorted(networks, key=lambda item: item[0].prefixlen + (item[0].version == 4) * 96):
        number, length = int(network.network_address), network.prefixlen
        width = 128 if ip_version == 6 else 32
        if network.version == 4:
            length += width - 32
        at = 0
        for place in range(length - 1):
            side = number >> (width - 1 - place) & 1
            inner = tree[at][side]
            if not isinstance(inner, int):
                tree.append([inner, inner])  # a wider network's record goes on for the rest of it
                tree[at][side] = inner = len(tree) - 1
            at = inner
        tree[at][number >> (width - length) & 1] = _encoded(dict(record))
    return _assembled(path, tree, kind, bits, ip_version)


def _assembled(path: Path, tree: list[list[int | bytes | None]], kind: str, bits: int, ip_version: int) -> Path:
    data, places = b"", dict[bytes, int]()
    nodes = b""
    for pair in tree:
        numbers = []
        for record in pair:
            if isinstance(record, bytes) and record not in places:
                places[record] = len(data)
                data += record
            empty = len(tree)
            numbers.append(
                record if isinstance(record, int) else empty if record is None else empty + 16 + places[record]
            )
        left, right = numbers
        if bits == 28:
            middle = (left >> 24) << 4 | right >> 24
            nodes += (left & 0xFFFFFF).to_bytes(3) + bytes([middle]) + (right & 0xFFFFFF).to_bytes(3)
        else:
            nodes += left.to_bytes(bits // 8) + right.to_bytes(bits // 8)
    about = {
        "binary_format_major_version": _Number(_TWO_BYTES, 2), "binary_format_minor_version": _Number(_TWO_BYTES, 0),
        "build_epoch": _Number(_EIGHT_BYTES, 1), "database_type": kind, "description": {}, "languages": [],
        "ip_version": _Number(_TWO_BYTES, ip_version), "record_size": _Number(_TWO_BYTES, bits),
        "node_count": _Number(_FOUR_BYTES, len(tree)),
    }  # fmt: skip
    path.write_bytes(nodes + _SEPARATOR + data + _MARK + _encoded(about))
    return path


def _encoded(value: object) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        if len(text) <= _LARGEST:
            return bytes([_TEXT << 5 | len(text)]) + text
        return bytes([_TEXT << 5 | 29, len(text) - 29]) + text
    if isinstance(value, int):
        value = _Number(_FOUR_BYTES, value)
    if isinstance(value, _Number):
        kind, width = value.kind, {_TWO_BYTES: 2, _FOUR_BYTES: 4, _EIGHT_BYTES: 8}[value.kind]
        return (bytes([kind << 5 | width]) if kind < 8 else bytes([width, kind - 7])) + value.value.to_bytes(width)
    if isinstance(value, Mapping):
        return bytes([_MAP << 5 | len(value)]) + b"".join(
            _encoded(name) + _encoded(item) for name, item in value.items()
        )
    if isinstance(value, list):
        return bytes([len(value), _LIST - 7]) + b"".join(map(_encoded, value))
    raise TypeError(value)
