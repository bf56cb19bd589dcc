"""Zeek's cells as typed values: bools, sets and vectors, the empty string, escapes."""

from __future__ import annotations

import polars as pl

from enrich.batch import Dialect
from enrich.sources.zeek_types import column_type, element, scalar, unescape

_BOOL = {"T": True, "F": False}


ESCAPE = "\\"


def typed(values: pl.Series, kind: str, dialect: Dialect, marks: frozenset[str]) -> tuple[pl.Series, pl.Series | None]:
    """Make of a column of cells (null: unset) what its Zeek type says: values, and which cells are not of the type.

    ``marks``: which of the escape character and the empty field occur in the cells' text at all; the others need not be
    looked for.
    """
    inner = element(kind)
    if values.null_count() == values.len():
        return pl.Series(values.name, [None], column_type(kind)).new_from_index(0, values.len()), None
    if inner is not None:
        return _lists(values, inner, dialect, marks)
    if values.dtype != pl.String:
        return values, None
    return _scalars(values, kind, dialect, marks)


def _scalars(
    values: pl.Series, kind: str, dialect: Dialect, marks: frozenset[str]
) -> tuple[pl.Series, pl.Series | None]:
    if kind == "bool":
        out = values == "T"
        if not (out | (values == "F")).all():
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
    if dialect.empty_field in marks and (values == dialect.empty_field).any():
        values = values.replace(dialect.empty_field, "")
    if escaped is not None and escaped.any():
        distinct = values.filter(escaped).unique()
        values = values.replace(distinct, pl.Series([unescape(text.encode()) for text in distinct], dtype=pl.String))
    return values


def _lists(
    values: pl.Series, inner: str, dialect: Dialect, marks: frozenset[str]
) -> tuple[pl.Series, pl.Series | None]:
    """Sets and vectors, each a list, and which cells hold an element that is not of the type."""
    empty = (values == dialect.empty_field).fill_null(False) if dialect.empty_field in marks else None
    if empty is None or not empty.any():
        return _elements(values, inner, dialect, marks)
    none = pl.Series(values.name, [[]], column_type(f"vector[{inner}]")).new_from_index(0, values.len())
    if empty.all():
        return none, None
    lists, wrong = _elements(values.set(empty, None), inner, dialect, marks)
    return none.zip_with(empty, lists), wrong


def _elements(
    cells: pl.Series, inner: str, dialect: Dialect, marks: frozenset[str]
) -> tuple[pl.Series, pl.Series | None]:
    """Cells that hold elements, or nothing."""
    several = cells.str.contains(dialect.set_separator, literal=True).any()
    lists, wrong = (_split if several else _alone)(cells, inner, dialect, marks)
    return lists.alias(cells.name), wrong


def _alone(cells: pl.Series, inner: str, dialect: Dialect, marks: frozenset[str]) -> tuple[pl.Series, pl.Series | None]:
    """Cells of one element each, as nearly all are."""
    elements, wrong = _scalars(cells.replace(dialect.unset_field, None), inner, dialect, marks)
    lists = elements.to_frame("e").select(pl.when(pl.lit(cells.is_not_null())).then(pl.concat_list("e")))
    return lists.to_series(), wrong


def _split(cells: pl.Series, inner: str, dialect: Dialect, marks: frozenset[str]) -> tuple[pl.Series, pl.Series | None]:
    """Split once for the whole column, typed as one column, grouped again."""
    split = pl.DataFrame({"cell": cells.str.split(dialect.set_separator)}).with_row_index("row")
    flat = split.filter(pl.col("cell").is_not_null()).explode("cell", empty_as_null=False)
    elements, wrong = _scalars(flat["cell"].replace(dialect.unset_field, None), inner, dialect, marks)
    grouped = flat.select("row").with_columns(value=elements).group_by("row", maintain_order=True).agg("value")
    lists = split.select("row").join(grouped, on="row", how="left", maintain_order="left")["value"]
    return lists, None if wrong is None else split["row"].is_in(flat["row"].filter(wrong).implode())
