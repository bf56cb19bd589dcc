"""The header of a Zeek TSV log: its conventions, its log, its columns and their types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from enrich.batch import Dialect
from enrich.logs import log_name
from enrich.sources.zeek_types import unescape

_WORDS = b"separator|set_separator|empty_field|unset_field|path|open|close|start|end|fields|types"
_SEPARATOR = re.compile(rb"#separator ([^\r\n]*)")


@dataclass(frozen=True, slots=True)
class Schema:
    """What a header says: the log's name, its fields in order (made unique) and their Zeek types.

    ``problem`` is why rows cannot be read, if they cannot.
    """

    log: str
    dialect: Dialect = field(default_factory=Dialect)
    fields: tuple[str, ...] = ()
    types: dict[str, str] = field(default_factory=dict)
    problem: str | None = "no #fields header before this row"


@lru_cache(maxsize=16)
def _header_line(separator: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"#(?:" + _WORDS + rb")(?: |\r?\n|\r?\Z|" + re.escape(separator) + rb")")


def runs(data: bytes, separator: bytes) -> Iterator[tuple[int, int, bool]]:
    """Cut lines into runs of header lines and runs of rows: start, end, whether it is a header.

    A line that begins with ``#`` but with none of Zeek's header words is a row. ``separator`` is the one in force where
    the data begins; headers change it as they come.
    """
    at = 0
    while at < len(data):
        end, header = at, _header_line(separator)
        if header.match(data, at):
            while header.match(data, end):
                named = _SEPARATOR.match(data, end)
                if named:
                    separator = unescape(named[1]).encode() or separator
                    header = _header_line(separator)
                end = data.find(b"\n", end) + 1 or len(data)
            yield at, end, True
        else:
            end = data.find(b"\n#", at) if b"#" in data else -1
            while end >= 0 and not header.match(data, end + 1):
                end = data.find(b"\n#", end + 1)
            end = len(data) if end < 0 else end + 1
            yield at, end, False
        at = end


def parse(text: str, old: Schema) -> Schema:
    """The schema after some header lines: what they do not say stays as it was."""
    dialect, log, fields, types = old.dialect, old.log, None, None
    for line in text.split("\n"):
        if line.startswith("#separator "):
            dialect = replace(dialect, separator=unescape(line[len("#separator ") :].encode()))
            continue
        word, _, value = line[1:].partition(dialect.separator or "\t")
        if word in ("set_separator", "empty_field", "unset_field"):
            dialect = replace(dialect, **{word: unescape(value.encode())})
        elif word == "path":
            log = log_name(value)
        elif word == "fields":
            fields = value.split(dialect.separator or "\t")
        elif word == "types":
            types = value.split(dialect.separator or "\t")
    if fields is None and types is None:
        return replace(old, log=log, dialect=dialect, problem=_problem(dialect) or old.problem)
    names = old.fields if fields is None else _unique(fields)
    kinds = ["string"] * len(names) if types is None else types
    problem = _problem(dialect)
    if problem is None and len(kinds) != len(names):
        problem = f"the header names {len(names)} fields but {len(kinds)} types"
    return Schema(log, dialect, names, dict(zip(names, kinds, strict=False)), problem)


def _problem(dialect: Dialect) -> str | None:
    for name in ("separator", "set_separator"):
        if getattr(dialect, name) in ("", "\n", "\r"):
            return f"the header's #{name} separates nothing"
    return None


def _unique(names: list[str]) -> tuple[str, ...]:
    """The names, those that repeat numbered: one column each, and none of two fields."""
    out: dict[str, None] = {}
    for name in names:
        free, number = name, 2
        while free in out or (number > 2 and free in names):
            free, number = f"{name}_{number}", number + 1
        out[free] = None
    return tuple(out)
