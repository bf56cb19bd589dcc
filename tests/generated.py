"""Zeek TSV logs of any kind, made up: every type, value, separator and escape; and how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from enrich.batch import Batch, Dialect, Item, Reject
from enrich.sources import zeek_tsv
from enrich.sources.lines import Chunk

TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["-", "(empty)", "", "#", "#fields", "\\", "\\x41", "a,b", '"', "\t", "\n", "\r", "\0", "é", "\u2028", "NA", " 1"]
)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "enum": TEXT,
    "addr": st.ip_addresses().map(str),
    "count": st.integers(0, 2**64 - 1),
    "int": st.integers(-(2**63), 2**63 - 1),
    "port": st.integers(0, 65535),
    "double": FLOAT,
    "time": st.integers(0, 4_000_000_000_000_000).map(lambda n: n / 1e6),
    "interval": st.integers(0, 10**12).map(lambda n: n / 1e6),
    "bool": st.booleans(),
}
DIALECTS = [
    Dialect(),
    Dialect("|", ",", "(empty)", "-"),
    Dialect(",", ";", "EMPTY", "NULL"),
    Dialect(" ", ",", "(empty)", "?"),
    Dialect("\x01", "\x02", "(empty)", "-"),
    Dialect("||", ",", "(empty)", "-"),
    Dialect("<->", "::", "(none)", "(unset)"),
    Dialect(";", ",", "", "-"),
    Dialect(";", ",", "(empty)", ""),
    Dialect("§", ",", "(empty)", "-"),
]


def element(kind: str) -> str | None:
    return kind.partition("[")[2].rstrip("]") or None


def values(kind: str) -> st.SearchStrategy[Any]:
    inner = element(kind)
    if inner is None:
        return st.none() | VALUES[kind]
    lists = st.lists(st.none() | VALUES[inner], max_size=4)
    # A set of one empty text and an empty set look alike, in Zeek itself; so do one unset element and an unset field.
    return st.none() | lists.filter(lambda items: items not in ([""], [None]))


kinds = st.sampled_from([*VALUES, *(f"{box}[{kind}]" for box in ("set", "vector", "table") for kind in VALUES)])


@dataclass(frozen=True)
class Log:
    dialect: Dialect
    types: dict[str, str]
    rows: list[list[Any]]

    def lines(self) -> list[bytes]:
        d = self.dialect
        head = ["#separator " + "".join(f"\\x{byte:02x}" for byte in d.separator.encode())]
        for name in ("set_separator", "empty_field", "unset_field"):
            head.append(f"#{name}{d.separator}{hexed(getattr(d, name), d.separator)}")
        head += [f"#path{d.separator}thing", f"#open{d.separator}2026-11-22-00-00-00"]
        head += [d.separator.join(["#fields", *self.types]), d.separator.join(["#types", *self.types.values()])]
        rows = []
        for row in self.rows:
            line = d.separator.join(self.cell(v, kind) for v, kind in zip(row, self.types.values(), strict=True))
            rows.append(f"\\x23{line[1:]}" if line.startswith("#") else line)
        return [line.encode() for line in [*head, *rows, f"#close{d.separator}2026-11-22-01-00-00"]]

    def cell(self, value: Any, kind: str, special: str = "") -> str:
        d = self.dialect
        if value is None:
            return d.unset_field
        inner = element(kind)
        if inner is not None:
            return d.set_separator.join(self.cell(v, inner, d.set_separator) for v in value) or d.empty_field
        if kind == "bool":
            return "T" if value else "F"
        if not isinstance(value, str):
            return repr(value)
        if value == "":
            return d.empty_field
        if value in (d.unset_field, d.empty_field):
            return hexed(value, value)
        return hexed(value, special + d.separator + "\\\x7f" + "".join(map(chr, range(32))))


def hexed(text: str, special: str) -> str:
    return "".join("".join(f"\\x{byte:02x}" for byte in c.encode()) if c in special else c for c in text)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    dialect = draw(st.sampled_from(DIALECTS))
    least = 2 if "" in (dialect.empty_field, dialect.unset_field) else 1  # one column without text is a blank line
    chosen = draw(st.lists(kinds, min_size=least, max_size=6))
    rows = draw(st.lists(st.tuples(*map(values, chosen)).map(list), max_size=6))
    return Log(dialect, {f"c{n}": kind for n, kind in enumerate(chosen)}, rows)


def chunks(lines: Sequence[bytes], sizes: list[int]) -> list[Chunk]:
    """Chunks of so many lines each, the last of all that are left."""
    out, line = [], 1
    for size in [*sizes, len(lines)]:
        part, lines = lines[:size], lines[size:]
        if part:
            out.append(Chunk(b"".join(text + b"\n" for text in part), line))
            line += len(part)
    return out


def read(
    pieces: list[Chunk], names: frozenset[str] | None = None, raw: bool = True
) -> tuple[list[Batch], list[Reject], list[Item]]:
    items = list(zeek_tsv.read(pieces, "unknown", lambda _: names, raw))
    batches = [b for item in items if isinstance(item, list) for b in item if isinstance(b, Batch)]
    rejects = [r for item in items if isinstance(item, list) for r in item if isinstance(r, Reject)]
    return batches, rejects, items


SIZES = st.lists(st.integers(1, 5), max_size=5)
