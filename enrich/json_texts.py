"""JSON made by columns: the values that :mod:`json` would write row by row, at a small part of the cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import polars as pl

encode = json.JSONEncoder(ensure_ascii=False).encode
_ESCAPED = r'["\\\x00-\x1f]'
"""What does not stand for itself in a string (RFC 8259 section 7)."""


class Line(Mapping[str, Any]):
    """A record that is text already: it is written as it is, and read again for who asks for its members."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _members(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    def __getitem__(self, name: str) -> Any:
        """The value of a member."""
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        """The members' names."""
        return iter(self._members)

    def __len__(self) -> int:
        """How many members there are."""
        return len(self._members)


def objects(
    values: pl.DataFrame, made: Mapping[str, pl.Series] = MappingProxyType({}), *, nulls: bool = True
) -> pl.Series:
    """An object a row, and behind the columns members that are JSON already.

    Members that are null are left out, unless ``nulls``.
    """
    parts: list[pl.Expr] = []
    for text in (*texts(values), *(text.alias(name) for name, text in made.items())):
        key = pl.lit(f", {encode(text.name)}: ")
        if nulls or not text.null_count():
            parts += (key, pl.lit(text.fill_null("null")))
        elif text.null_count() < text.len():
            parts.append((key + pl.lit(text)).fill_null(""))
    if not parts:
        return pl.repeat("{}", values.height, eager=True)
    return pl.select("{" + pl.concat_str(parts).str.strip_prefix(", ") + "}").to_series()


def texts(values: pl.DataFrame) -> pl.DataFrame:
    """Each value as JSON; null stays null. A number that JSON does not know (NaN, infinity) is the text ``null``."""
    strings = [values[name] for name, kind in values.schema.items() if kind == pl.String]
    plain = {string.name for string in strings if not string.str.contains(_ESCAPED).any()}
    return values.select(_text(name, kind, name in plain) for name, kind in values.schema.items())


def _text(name: str, kind: pl.DataType, plain: bool) -> pl.Expr:
    value = pl.col(name)
    if plain:
        return pl.concat_str(pl.lit('"'), value, pl.lit('"')).alias(name)
    if kind.is_integer() or kind == pl.Boolean:
        return value.cast(pl.String)
    if kind.is_float():
        return pl.when(value.is_finite() | value.is_null()).then(value.cast(pl.String)).otherwise(pl.lit("null"))
    whole = pl.struct(value.alias("")).struct.json_encode()
    return pl.when(value.is_not_null()).then(whole.str.slice(len('{"":')).str.head(-1)).alias(name)
