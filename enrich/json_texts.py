"""JSON made by columns, as :mod:`json` would write it row by row, at a small part of the cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

encode = json.JSONEncoder(ensure_ascii=False).encode
_ESCAPED = r'["\\\x00-\x1f]'
"""What does not stand for itself in a string (RFC 8259 section 7)."""


class Line(Mapping[str, Any]):
    """A record that is text already: it is written as it is, and read again for who asks for its members."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, name: str) -> Any:
        """The value of a member."""
        return json.loads(self.text)[name]

    def __iter__(self) -> Iterator[str]:
        """The members' names."""
        return iter(json.loads(self.text))

    def __len__(self) -> int:
        """How many members there are."""
        return len(json.loads(self.text))


def texts(values: pl.Series) -> pl.Series:
    """Each string, number or truth value as JSON; null stays null."""
    if values.dtype != pl.String:
        return values.cast(pl.String)
    if values.str.contains(_ESCAPED).any():
        return pl.Series(values.name, [value and encode(value) for value in values], dtype=pl.String)
    return pl.select('"' + pl.lit(values) + '"').to_series()


def objects(members: Mapping[str, pl.Series], *, nulls: bool = True) -> pl.Series:
    """An object a row, of members that are JSON; those that are null are left out, unless ``nulls``."""
    parts: list[pl.Expr] = []
    for name, text in members.items():
        key = pl.lit(f", {encode(name)}: ")
        if nulls or not text.null_count():
            parts += (key, pl.lit(text.fill_null("null")))
        elif text.null_count() < text.len():
            parts.append((key + pl.lit(text)).fill_null(""))
    return pl.select("{" + pl.concat_str(parts).str.strip_prefix(", ") + "}").to_series()
