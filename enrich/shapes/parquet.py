"""Parquet: typed columns, one file a log.

A log's columns may change from batch to batch (late JSON fields, a header that changes), so each batch becomes a small
file first; the last step joins them into one, columns united, without holding it in memory.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import IO

import polars as pl

from enrich.batch import Batch, Form
from enrich.columns import Type
from enrich.shapes import Enriched, own_name


def frame(enriched: Enriched) -> pl.DataFrame:
    """A batch with its added columns, as one typed frame."""
    columns = _own(enriched.batch)
    taken = frozenset(columns.columns)
    for added in enriched.added:
        names = [name for name in added.table.columns if not name.startswith("_")]
        if names:
            columns = columns.hstack(added.frame().select(pl.col(name).alias(own_name(name, taken)) for name in names))
    return columns


def _own(batch: Batch) -> pl.DataFrame:
    if batch.raw is None or batch.form is Form.TSV:
        return batch.frame
    if batch.form is Form.EVE:
        return batch.fields.with_columns(batch.raw.alias("suricata"))
    found = objects(batch.raw)
    return found if found.width else batch.raw.to_frame("record")  # Parquet knows no rows without columns


def objects(lines: pl.Series) -> pl.DataFrame:
    """JSON objects as columns, their types inferred; what has no one type that Parquet knows is JSON text.

    So is what is nested deeply: inferring its type takes long, and takes the stack.
    """
    data = "\n".join(lines).encode()
    many = lines.str.count_matches(r"[\[{]") > _DEPTH
    outlines = {line: _outline(line) for line in lines.filter(many)}
    if all(depth <= _DEPTH for _, depth in outlines.values()):
        try:
            found = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
            if found.height == lines.len() and not any(_is_foreign(dtype) for dtype in found.dtypes):
                return found
        except pl.exceptions.PolarsError:
            pass
    kinds: dict[str, set[str]] = {}
    for line in lines:
        for name, value in json.loads(outlines[line][0] if line in outlines else line).items():
            kinds.setdefault(name, set()).update(
                ["deep"] if line in outlines and isinstance(value, list) else _kinds(value)
            )
    schema = {name: _type(found - {"null"}) for name, found in kinds.items()}
    return pl.read_ndjson(io.BytesIO(data), schema=schema)


_DEPTH = 32
"""So many objects and lists may be in one another where types are inferred."""
_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def _outline(record: str) -> tuple[str, int]:
    """A JSON record without what is in the objects and lists among its members, and how many are in one another."""
    kept, at, depth, deepest = [], 0, 0, 0
    for mark in _MARK.finditer(record):
        if mark[0] in ("[", "{"):
            depth += 1
            deepest = max(deepest, depth)
            if depth == 2:
                kept.append(record[at : mark.end()])
        elif mark[0] in ("]", "}"):
            if depth == 2:
                at = mark.start()
            depth -= 1
    return "".join([*kept, record[at:]]), deepest


_WHOLE = {"natural", "negative"}


def _type(kinds: set[str]) -> Type:
    """The type for values of some kinds: text, where no other holds all of them."""
    if "list" in kinds:
        inner = {kind.removeprefix("list of ") for kind in kinds - {"list"}}
        one = _type(inner)
        mixed = any(not kind.startswith("list of ") for kind in kinds - {"list"})
        return pl.String if mixed or (one == pl.String and inner - {"str"}) else pl.List(one)
    for few, dtype in (
        ({"bool"}, pl.Boolean),
        (_WHOLE, pl.Int64),
        ({"natural", "count"}, pl.UInt64),
        ({*_WHOLE, "float"}, pl.Float64),
    ):
        if kinds and kinds <= few:
            return dtype
    return pl.String


def _kinds(value: object) -> set[str]:
    """What a JSON value is, as far as it decides of what type its column is; of a list, what is in it, too."""
    if isinstance(value, list):
        inner = {kind for item in value for kind in _kinds(item)} - {"null"}
        return {"list", *(f"list of {kind}" for kind in inner)}
    if value is None:
        return {"null"}
    if isinstance(value, int) and not isinstance(value, bool):
        sign = "negative" if value < 0 else "natural" if value < 2**63 else "count"
        return {sign if -(2**63) <= value < 2**64 else "long"}
    return {type(value).__name__}


def _is_foreign(dtype: pl.DataType) -> bool:
    """Whether Parquet, or most of its readers, cannot hold a type: objects without members, integers of 128 bits."""
    if isinstance(dtype, pl.Struct):
        return not dtype.fields or any(_is_foreign(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]
    return dtype == pl.Int128 or (isinstance(dtype, pl.List) and _is_foreign(dtype.inner))  # type: ignore[arg-type]


def unite(parts: list[Path], target: IO[bytes]) -> None:
    """Join part files into one Parquet file. A column of several types becomes the widest of them, at last text."""
    scans = [pl.scan_parquet(part) for part in parts]
    schemas = [scan.collect_schema() for scan in scans]
    kinds: dict[str, set[pl.DataType]] = {}
    for schema in schemas:
        for name, dtype in schema.items():
            kinds.setdefault(name, set()).add(dtype)
    as_text = {name for name, found in kinds.items() if _as_text(found)}
    ready = []
    for scan, schema in zip(scans, schemas, strict=True):
        ready.append(scan.with_columns(_text(name, schema[name]) for name in schema if name in as_text))
    pl.concat(ready, how="diagonal_relaxed").sink_parquet(target, compression="zstd")


def _as_text(found: set[pl.DataType]) -> bool:
    known = {dtype for dtype in found if dtype != pl.Null}
    if any(dtype.is_nested() for dtype in known):
        return len(known) > 1
    if {pl.Int64, pl.UInt64} <= known:  # no type of 64 bits holds both
        return True
    return len(known) > 1 and not all(dtype.is_numeric() for dtype in known)


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as text: numbers and bools as JSON writes them, lists and objects as JSON."""
    if not dtype.is_nested():
        return pl.col(name).cast(pl.String)
    member = pl.struct(pl.col(name).alias("v")).struct.json_encode()
    return pl.when(pl.col(name).is_not_null()).then(member.str.slice(5).str.head(-1)).alias(name)
