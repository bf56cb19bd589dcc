"""Zeek's cells as typed values: bools, sets and vectors, the empty string, escapes."""

from __future__ import annotations

import polars as pl

from enrich.batch import Dialect
from enrich.sources.zeek_types import element, scalar, unescape

_BOOL = {"T": True, "F": False}


ESCAPE = "\\"


def typed(values: pl.Series, kind: str, dialect: Dialect, marks: frozenset[str]) -> tuple[pl.Series, pl.Series | None]:
    """Make of a column of cells (null: unset) what its Zeek type says: values, and which cells are not of the type.

    ``marks``: which of the escape character and the empty field occur in the cells' text at all; the others need not be
    looked for.
    """
    inner = element(kind)
    if inner is not None:
        return _lists(values, inner, dialect, marks)
    if values.dtype != pl.String:
        return values, None
    return _scalars(values, kind, dialect, marks)


def _scalars(
    values: pl.Series, kind: str, dialect: Dialect, marks: frozenset[str]
) -> tuple[pl.Series, pl.Series | None]:
    if kind == "bool":
        out = values.replace_strict(_BOOL, default=None, return_dtype=pl.Boolean)
    elif scalar(kind) == pl.String:
        return _strings(values, dialect, marks), None
    else:
        out = values.cast(scalar(kind), strict=False)
    if out.null_count() == values.null_count():
        return out, None
    return out, out.is_null() & values.is_not_null()


def _strings(values: pl.Series, dialect: Dialect, marks: frozenset[str]) -> pl.Series:
    escaped = values.str.contains(ESCAPE, literal=True) if ESCAPE in marks else None
    if dialect.empty_field in marks:
        values = values.replace(dialect.empty_field, "")
    if escaped is not None and escaped.any():
        distinct = values.filter(escaped).unique()
        values = values.replace(distinct, pl.Series([unescape(text.encode()) for text in distinct], dtype=pl.String))
    return values


def _lists(
    values: pl.Series, inner: str, dialect: Dialect, marks: frozenset[str]
) -> tuple[pl.Series, pl.Series | None]:
    """Sets and vectors, each a list: split once for the whole column, typed as one column, grouped again."""
    empty = (values == dialect.empty_field).fill_null(False)
    cells = pl.DataFrame({"cell": values.set(empty, None).str.split(dialect.set_separator)}).with_row_index("row")
    flat = cells.filter(pl.col("cell").is_not_null()).explode("cell", empty_as_null=False)
    elements, wrong = _scalars(flat["cell"].replace(dialect.unset_field, None), inner, dialect, marks)
    grouped = flat.select("row").with_columns(value=elements).group_by("row", maintain_order=True).agg("value")
    lists = cells.select("row").join(grouped, on="row", how="left", maintain_order="left")["value"]
    if empty.any():
        none = pl.Series([[]], dtype=lists.dtype).new_from_index(0, values.len())
        lists = none.zip_with(empty, lists)
    rows = None if wrong is None else cells["row"].is_in(flat["row"].filter(wrong).implode())
    return lists.alias(values.name), rows
