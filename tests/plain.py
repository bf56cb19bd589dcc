"""Logs read the plain way, a line at a time, sharing nothing with the package: what its output is held against."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NUMBERS = {"count": int, "counter": int, "int": int, "port": int, "time": float, "interval": float, "double": float}
NOTHING = object()


def lines(path: Path) -> list[bytes]:
    """The lines of a log; of a damaged gzip, what can be had."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error):
            data = zlib.decompressobj(31).decompress(data)
    return data.split(b"\n")


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a Zeek log, TSV or JSON, or of an EVE file."""
    separator, set_separator, empty, unset = b"\t", b",", b"(empty)", b"-"
    names: list[str] = []
    types: list[str] = []
    for line in lines(path):
        if line.startswith(b"{"):
            yield json.loads(line)
        elif line.startswith(b"#separator "):
            separator = unescape(line[11:])
        elif line.startswith(b"#"):
            word, _, rest = line[1:].partition(separator)
            if word == b"set_separator":
                set_separator = unescape(rest)
            elif word == b"empty_field":
                empty = unescape(rest)
            elif word == b"unset_field":
                unset = unescape(rest)
            elif word == b"fields":
                names = rest.decode().split(separator.decode())
            elif word == b"types":
                types = rest.decode().split(separator.decode())
        elif line:
            cells = line.split(separator)
            assert len(cells) == len(names) == len(types)
            values = [value(cell, kind, set_separator, empty, unset) for cell, kind in zip(cells, types, strict=True)]
            yield dict(zip(names, values, strict=True))


def value(cell: bytes, kind: str, set_separator: bytes, empty: bytes, unset: bytes) -> Any:
    """One cell as JSON would hold it."""
    if cell == unset:
        return None
    if "[" in kind:
        if cell == empty:
            return []
        inner = kind.partition("[")[2].rstrip("]")
        return [value(part, inner, set_separator, empty, unset) for part in cell.split(set_separator)]
    if kind == "bool":
        return {b"T": True, b"F": False}[cell]
    if kind in NUMBERS:
        return NUMBERS[kind](cell)
    return "" if cell == empty else unescape(cell).decode("utf-8", "backslashreplace")


def unescape(text: bytes) -> bytes:
    """Undo Zeek's escapes, one byte after the other."""
    out, at = bytearray(), 0
    while at < len(text):
        if text[at : at + 2] == b"\\x" and len(text) >= at + 4:
            try:
                out.append(int(text[at + 2 : at + 4].decode(), 16))
                at += 4
                continue
            except ValueError:
                pass
        if text[at : at + 2] == b"\\\\":
            at += 1
        out.append(text[at])
        at += 1
    return bytes(out)


def holds(record: dict[str, Any], original: dict[str, Any]) -> bool:
    """Whether every field of a record is there, with its value and type; null and left out are the same."""
    return all(
        same(record.get(name, NOTHING), value) or (value is None and name not in record)
        for name, value in original.items()
    )


def same(a: Any, b: Any) -> bool:
    """Equal in value and type: 1 is not True, and not "1"."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b
