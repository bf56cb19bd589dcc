"""What sources hand on: batches of one log's records, headers, and records that could not be read."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import polars as pl

_COUNTS = tuple(f"{side}_{what}" for side in ("orig", "resp") for what in ("pkts", "bytes", "ip_bytes"))
LARGEST_COUNT = 1 << 48
"""So many bytes, 281 terabytes, a flow may have."""


class Form(Enum):
    """How records are written in the input."""

    TSV = "Zeek TSV"
    JSON = "Zeek JSON"
    EVE = "Suricata EVE"


@dataclass(frozen=True, slots=True)
class Dialect:
    """A Zeek TSV header's conventions."""

    separator: str = "\t"
    set_separator: str = ","
    empty_field: str = "(empty)"
    unset_field: str = "-"


@dataclass(slots=True)
class Header:
    """Header or footer lines of a Zeek TSV log, as they are, without the last newline, and a batch of no records."""

    text: str
    empty: Batch


@dataclass(slots=True)
class Batch:
    """Some consecutive records of one log.

    ``frame`` holds decoded columns under the vocabulary's names: all of them, typed, for Zeek TSV (unless only some
    were asked for); those that were asked for, otherwise. ``raw`` holds each record's own text. ``rows`` says where in
    its chunk each record stood, when a chunk holds several logs. The log of ``told`` records was told from their
    fields; that of ``untold`` ones by nothing, so that they go by the name of the file.
    """

    log: str
    form: Form
    frame: pl.DataFrame
    raw: pl.Series | None = None
    rows: pl.Series | None = None
    dialect: Dialect = field(default_factory=Dialect)
    types: dict[str, str] = field(default_factory=dict)
    told: int = 0
    untold: int = 0

    @property
    def height(self) -> int:
        """The number of records."""
        return self.frame.height

    @property
    def fields(self) -> pl.DataFrame:
        """The decoded columns that are the record's own: of EVE those that have a name in the vocabulary."""
        return self.frame.select(pl.exclude("^_.*$")) if self.form is Form.EVE else self.frame

    def pieces(self, size: int) -> Iterator[tuple[slice, Batch]]:
        """The batch in pieces of at most ``size`` records, each with where it stood."""
        for start in range(0, self.height, size):
            part = slice(start, min(start + size, self.height))
            raw, rows = (None if own is None else own[part] for own in (self.raw, self.rows))
            yield part, replace(self, frame=self.frame[part], raw=raw, rows=rows)


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be read: its line number (from 1), why, and its text."""

    line: int
    reason: str
    raw: bytes

    def record(self) -> dict[str, Any]:
        """As it is told. In the text of what is not UTF-8, its bytes cannot be told from escapes that the log has."""
        text = self.raw.decode("utf-8", "backslashreplace")
        told = {"line": self.line, "reason": self.reason, "raw": text}
        return told if text.encode() == self.raw else told | {"raw_base64": b64encode(self.raw).decode()}


@dataclass(frozen=True, slots=True)
class Damage:
    """The input ended early: what is wrong with it, and the last good line before that."""

    line: int
    reason: str

    @property
    def told(self) -> str:
        """What the user has to know, beside where it is."""
        return f"{self.reason}; everything before that was read"


Item = Header | list[Batch] | list[Reject] | Damage


def standing_alone(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with texts of its own: those of a few rows would keep all the text of the batch that they were in.

    Texts in lists still do.
    """
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(pl.concat_str(pl.col(name), pl.lit("")).alias(name) for name in texts)


def possible_count(count: pl.Expr) -> pl.Expr:
    """A number of packets or bytes; null if no flow has it: below 0, or beyond all sums."""
    return pl.when(count.is_between(0, LARGEST_COUNT)).then(count)


def possible_counts(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without numbers of packets and bytes that no flow has."""
    names = [name for name in _COUNTS if frame.schema.get(name, pl.Null).is_integer()]
    if not names or all(frame.select(pl.col(names).is_between(0, LARGEST_COUNT).all()).row(0)):
        return frame
    return frame.with_columns(possible_count(pl.col(name)) for name in names)


def possible_times(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without times (``ts``) that no clock shows: not a number, before 1970 or beyond 32 bits of seconds."""
    if frame.schema.get("ts") != pl.Float64:
        return frame
    return frame.with_columns(pl.when(pl.col("ts").is_between(0, 2**32 - 1)).then("ts"))


def timed(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that say a possible time."""
    frame = possible_times(frame)
    return frame.filter(pl.col("ts").is_not_null()) if frame["ts"].null_count() else frame
