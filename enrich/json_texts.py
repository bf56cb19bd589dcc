"""JSON made by columns, as :mod:`json` would write it row by row, at a small part of the cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
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


def objects(
    values: pl.DataFrame, made: Mapping[str, pl.Series] = MappingProxyType({}), *, nulls: bool = True
) -> pl.Series:
    """An object a row: strings, numbers and truth values, and behind them members that are JSON already.

    Members that are null are left out, unless ``nulls``.
    """
    parts: list[pl.Expr] = []
    for text in (*_texts(values), *(text.alias(name) for name, text in made.items())):
        key = pl.lit(f", {encode(text.name)}: ")
        if nulls or not text.null_count():
            parts += (key, pl.lit(text.fill_null("null")))
        elif text.null_count() < text.len():
            parts.append((key + pl.lit(text)).fill_null(""))
    return pl.select("{" + pl.concat_str(parts).str.strip_prefix(", ") + "}").to_series()


def strings(values: pl.Series) -> pl.Series:
    """Strings as JSON; null stays null."""
    return _texts(values.to_frame()).to_series()


def _texts(values: pl.DataFrame) -> pl.DataFrame:
    escaped = values.select(pl.col(pl.String).str.contains(_ESCAPED).any())
    return values.select(
        pl.lit(pl.Series(name, [None if text is None else encode(text) for text in values[name]], dtype=pl.String))
        if name in escaped.columns and escaped[name].item()
        else pl.concat_str(pl.lit('"'), name, pl.lit('"')).alias(name)
        if kind == pl.String
        else pl.col(name).cast(pl.String)
        for name, kind in values.schema.items()
    )
